/* cmd_generate.c - parapet generate: text from a language model on disk, or requests from the generator of a run, for
 * people who study what the guard is up against.
 *
 * Reads: cmd_generate.h.   Read next: cmd_generate_text.c, cmd_generate_lm.c.
 */
#include "guard/cmd_generate.h"
#include "guard/cmd_adapter.h"
#include "nn/gguf.h"
#include "nn/plat.h"
#include <stdio.h>

static const cmd_flag generate_flags[] = {
    {"--model", "M", NULL, "a Hugging Face folder, a GGUF or llama2.c file, or a run's models/NN_*.gguf"},
    {"--prompt", "TEXT", NULL, "goes before; - reads it from standard input; none: the model begins a text"},
    {"--chat", "[NAME]", NULL, "the prompt is a message: written as this family wants it, or the file's template"},
    {"--system", "TEXT", NULL, "with --chat: what the model is told first"},
    {"--max-tokens", "N", "256, requests 48", "no more than these"},
    {"--stop", "TEXT", NULL, "ends where this would come, and does not print it"},
    {"--tokenizer", "FILE", NULL, "another tokenizer than the model's own"},
    {"--adapter", "FOLDER", NULL, CMD_ADAPTER_DOC},
    {"--temperature", "T", "1", "0 is greedy"},
    {"--top-k", "K", "0", "0: all"},
    {"--top-p", "P", "1", "1: all"},
    {"--seed", "N", "1", "seed of the draws"},
    {"--exact", NULL, NULL, "by the weights alone, without the rounding of llama.cpp's products (docs/models.md)"},
    {"--threads", "N", "1", "threads; they change no byte"},
    {"--label", "NAME", "safe", "of a run's generator: safe or unsafe, what is asked for"},
    {"--category", "NAME", "none", "of a run's generator: category of the taxonomy"},
    {"--n", "N", "1", "of a run's generator: how many requests"},
    {NULL, NULL, NULL, NULL}};

static nn_status read_wishes(generate_wishes *w, const cmd_line *line, nn_err *err)
{
    uint64_t top_k = 0;
    double temperature = 1.0, top_p = 1.0;
    nn_status st = cmd_number(line, "--top-k", 0, 1000000, 0, &top_k, err);

    if (st == NN_OK) st = cmd_number(line, "--seed", 0, UINT64_MAX, 1, &w->seed, err);
    if (st == NN_OK) st = cmd_number(line, "--threads", 1, NN_PAR_MAX, 1, &w->threads, err);
    if (st == NN_OK) st = cmd_real(line, "--temperature", 0.0, 100.0, 1.0, &temperature, err);
    if (st == NN_OK) st = cmd_real(line, "--top-p", 0.0, 1.0, 1.0, &top_p, err);
    w->sampler = nn_sampler_default();
    w->sampler.temperature = (float)temperature;
    w->sampler.top_k = (size_t)top_k;
    w->sampler.top_p = (float)top_p;
    return st;
}

/* Whether the file says that it is a run's generator. One that is no GGUF at all is somebody else's to refuse. */
static nn_status is_requests(bool *yes, const char *path, nn_err *err)
{
    nn_file f = {0};
    nn_gguf *g = NULL;
    uint64_t version;
    char inside[1024];

    *yes = false;
    snprintf(inside, sizeof inside, "%s/.", path);
    if (nn_path_exists(inside)) return NN_OK; /* a folder */
    const nn_status st = nn_file_open(&f, path, err);
    if (st == NN_OK && nn_gguf_open_memory(&g, f.bytes, f.len, path, NULL) == NN_OK)
        *yes = nn_gguf_u64(g, "generator.version", &version);
    nn_gguf_close(g);
    nn_file_close(&f);
    return st;
}

/* A flag of the other kind of model would do nothing here, so it is no use to take it. */
static nn_status refuse_others(const cmd_line *line, bool requests, nn_err *err)
{
    static const char *const of_text[] = {"--prompt", "--chat", "--system", "--stop", "--tokenizer", "--adapter",
                                          "--exact", NULL};
    static const char *const of_requests[] = {"--label", "--category", "--n", NULL};

    for (const char *const *flag = requests ? of_text : of_requests; *flag; flag++)
        if (cmd_given(line, *flag))
            return nn_fail(err, NN_USAGE, "%s: it means nothing to %s", *flag,
                           requests ? "the generator of a run, which takes --label, --category and --n"
                                    : "a language model, which takes --prompt, --chat, --system and --stop");
    if (cmd_given(line, "--system") && !cmd_given(line, "--chat"))
        return nn_fail(err, NN_USAGE, "--system: it needs --chat, which says how the model wants it written");
    return NN_OK;
}

static nn_status generate(const cmd_line *line, nn_err *err)
{
    const char *model = cmd_given(line, "--model");
    generate_wishes w = {0};
    bool requests = false;
    nn_status st = read_wishes(&w, line, err);

    if (st == NN_OK && line->n_word > 0)
        st = nn_fail(err, NN_USAGE, "'%s': want what goes before the text with --prompt", line->word[0]);
    if (st == NN_OK && !model) st = nn_fail(err, NN_USAGE, "no --model, want a folder or a file");
    if (st == NN_OK) st = is_requests(&requests, model, err);
    if (st == NN_OK) st = refuse_others(line, requests, err);
    if (st != NN_OK) return st;
    return requests ? generate_requests(line, model, &w, err) : generate_text(line, model, &w, err);
}

static int generate_main(int argc, char **argv)
{
    cmd_line line;
    nn_err err = {0};
    nn_status st = cmd_parse(&line, &cmd_generate, argc, argv, &err);

    if (st == NN_OK) st = generate(&line, &err);
    return cmd_end("generate", st, 0, &err);
}

const cmd_verb cmd_generate = {
    "generate", "--model M [--prompt TEXT]",
    "Writes text with a language model; with a run's generator requests, one a line, never answers.", generate_flags,
    generate_main};
