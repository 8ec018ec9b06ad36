/* cmd_help.c - parapet help, help VERB, help paper, help lua. */
#include "guard/buf.h"
#include "guard/cmd.h"
#include "guard/lua/lua_api.h"
#include "guard/nearest.h"
#include <stdio.h>
#include <string.h>

static const cmd_flag help_flags[] = {{NULL, NULL, NULL, NULL}};

static const char paper_text[] =
    "Which file is which step of \"Lightweight Safety Guardrails via Synthetic Data and RL-guided\n"
    "Adversarial Training\" (arXiv 2507.08284). Of the study only the abstract and two summaries were at\n"
    "hand: numbers and choices here are ours, and docs/design.md says why.\n\n"
    "  human-curated seeds            data/seeds.jsonl, scripts/taxonomy.lua\n"
    "  tiered augmentation            scripts/templates/, data/lexicon/, guard/augment.c\n"
    "    concept expansion              guard/lexicon.c          query structures   templates/structures.lua\n"
    "    style mutations                guard/augment_style.c    templates/styles.lua\n"
    "  curation                       scripts/curation.lua, guard/curate.c\n"
    "    loss-based selection           guard_curate_loss        (held-out, over folds)\n"
    "    embedding similarity           guard_curate_similarity  (to human-written rows)\n"
    "    judges, majority vote          guard/judges.c\n"
    "  the small decoder-only guard   guard/train_guard.c, guard/classify.c; nn/model.c, nn/trainer.c\n"
    "    its linear wide part           guard/wide.c, guard/wide_solve.c, guard/ngram.c\n"
    "  hard-but-learnable selection   scripts/curation.lua: hard_but_learnable; run:score\n"
    "  the generator, fine-tuned      guard/lm.c, nn/decode.c\n"
    "  RL against the guard           guard/adversary.c, scripts/adversary.lua (reward, watch)\n"
    "  hard negatives back            scripts/adversary.lua: hard_negative, replay; run:accept\n"
    "  evaluation                     guard/evaluate.c, guard/metrics.c, guard/import_*.c\n"
    "  what a run leaves behind       guard/run.c, guard/ledger.c, guard/audit.c, guard/lineage.c, guard/report.c\n";

static void print_verbs(void)
{
    puts("parapet VERB ...: a lightweight safety guardrail and the pipeline that makes it\n");
    for (size_t i = 0; cmd_verbs[i] != NULL; i++) printf("  %-10s %s\n", cmd_verbs[i]->verb, cmd_verbs[i]->doc);
    puts("\n'parapet VERB --help' lists a verb's flags; 'parapet help paper' says which file is which step of the "
         "study;\n"
         "'parapet help lua' prints everything a script can call.\n"
         "Exit status: 0 done or safe, 1 flagged or different, 2 usage, 3 content of a row or script, 4 file, 5 limit, "
         "130 and 143 stopped.");
}

static nn_status help_topic(const char *topic, nn_err *err)
{
    const char *names[24] = {"paper", "lua"};
    size_t n = 2;
    if (strcmp(topic, "paper") == 0) {
        fputs(paper_text, stdout);
        return NN_OK;
    }
    if (strcmp(topic, "lua") == 0) {
        guard_buf b = {0};
        lua_api_markdown(&b);
        const nn_status st = guard_buf_status(&b, err);
        if (st == NN_OK) fwrite(b.bytes, 1, b.len, stdout);
        guard_buf_free(&b);
        return st;
    }
    for (size_t i = 0; cmd_verbs[i] != NULL; i++) {
        if (strcmp(topic, cmd_verbs[i]->verb) == 0) {
            cmd_help(cmd_verbs[i]);
            return NN_OK;
        }
        names[n++] = cmd_verbs[i]->verb;
    }
    const char *near = guard_nearest(topic, names, n);
    return nn_fail(err, NN_USAGE, "'%s' is no topic, %s%s", topic,
                   near != NULL ? "did you mean " : "want a verb, paper or lua", near != NULL ? near : "");
}

static int help_main(int argc, char **argv)
{
    cmd_line line;
    nn_err err = {0};
    nn_status st = cmd_parse(&line, &cmd_help_verb, argc, argv, &err);
    if (st == NN_OK && line.n_word > 1) st = nn_fail(&err, NN_USAGE, "%zu topics, want one", line.n_word);
    if (st == NN_OK && line.n_word == 0) print_verbs();
    else if (st == NN_OK) st = help_topic(line.word[0], &err);
    return cmd_end("help", st, 0, &err);
}

const cmd_verb cmd_help_verb = {"help", "[VERB | paper | lua]", "Says what there is.", help_flags, help_main};
