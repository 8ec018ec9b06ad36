/* cmd_convert.c - parapet convert: a model as another program reads it, a GGUF file or a Hugging Face folder.
 *
 * Reads: cmd_adapter.h, cmd_convert.h, nn/pretrained.h, nn/model_write.h.   Read next: cmd_quantize.c.
 * A guard goes out for llama.cpp alone and as what llama.cpp has: decoder, verdict head, vocabulary. What of it stays
 * behind is said, because without it the verdicts are others.
 */
#include "guard/cmd_convert.h"
#include "guard/classify.h"
#include "guard/cmd_adapter.h"
#include "guard/lm.h"
#include "nn/pretrained.h"
#include "nn/tok_json_write.h"
#include <stdio.h>
#include <string.h>

enum { PATH_CAP = 1024 };

static const cmd_flag convert_flags[] = {
    {"--type", "TYPE", "as they are", "of the weights: f32, f16, bf16; in a GGUF file also q8_0, q4_0"},
    {"--for", "PROGRAM", NULL, "llama.cpp: refuse what it would compute otherwise; a guard goes out this way alone"},
    {"--tokenizer", "FILE", NULL, "another tokenizer than the model's own"},
    {"--adapter", "FOLDER", NULL, CMD_ADAPTER_DOC ", as floats, then rounded to the type of each matrix"},
    {"--force", NULL, NULL, "OUT may be there and is replaced"},
    {NULL, NULL, NULL, NULL}};

bool convert_type(nn_dtype *out, const char *name)
{
    static const struct {
        const char *name;
        nn_dtype type;
    } known[] = {{"f32", NN_F32}, {"f16", NN_F16}, {"bf16", NN_BF16}, {"q8_0", NN_Q8_0}, {"q4_0", NN_Q4_0}};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(name, known[i].name) == 0) {
            *out = known[i].type;
            return true;
        }
    return false;
}

/* --- paths ---------------------------------------------------------------------------------------------------- */

static bool is_folder(const char *path)
{
    char inside[PATH_CAP];

    snprintf(inside, sizeof inside, "%.1000s/.", path);
    return nn_path_exists(inside);
}

static bool is_gguf_name(const char *path)
{
    const size_t n = strlen(path);

    return n > 5 && strcmp(path + n - 5, ".gguf") == 0;
}

nn_status convert_kind_of(convert_kind *kind, const char *path, nn_err *err)
{
    nn_file f = {0};
    nn_gguf *g = NULL;
    uint64_t version;
    nn_status st;

    *kind = CONVERT_OTHER;
    if (is_folder(path)) return NN_OK;
    if ((st = nn_file_open(&f, path, err)) != NN_OK) return st;
    if (nn_gguf_open_memory(&g, f.bytes, f.len, path, NULL) == NN_OK) {
        if (nn_gguf_u64(g, "guard.version", &version)) *kind = CONVERT_GUARD;
        else if (nn_gguf_u64(g, "generator.version", &version)) *kind = CONVERT_GENERATOR;
    }
    nn_gguf_close(g);
    nn_file_close(&f);
    return NN_OK;
}

/* What is read is never replaced: OUT is another path, and no folder that it lies in. */
static nn_status check_apart(const char *from, const char *what, const char *to, nn_err *err)
{
    char a[PATH_CAP], b[PATH_CAP];
    nn_status st;

    if ((st = nn_path_real(from, a, sizeof a, err)) != NN_OK) return st;
    if (!nn_path_exists(to)) return NN_OK;
    if ((st = nn_path_real(to, b, sizeof b, err)) != NN_OK) return st;
    const size_t n = strlen(b);
    const bool begins = strncmp(a, b, n) == 0, same = begins && a[n] == '\0';

    if (!same && !(begins && a[n] == '/' && !strchr(a + n + 1, '/'))) return NN_OK;
    return nn_fail(err, NN_USAGE, "%s: %sthe %s that is read, want another path", to, same ? "" : "holds ", what);
}

nn_status convert_check_paths(const char *from, const char *to, bool force, nn_err *err)
{
    nn_status st;

    if (strlen(to) == 0 || strlen(to) >= PATH_CAP - 64)
        return nn_fail(err, NN_USAGE, "OUT '%.80s': a path of %zu bytes, want 1 to %d", to, strlen(to), PATH_CAP - 65);
    if ((st = check_apart(from, "model", to, err)) != NN_OK) return st;
    if (!nn_path_exists(to)) return NN_OK;
    if (is_folder(to) && is_gguf_name(to)) return nn_fail(err, NN_USAGE, "%s: a folder, want a file", to);
    if (force || (is_folder(to) && nn_dir_empty(to))) return NN_OK;
    return nn_fail(err, NN_USAGE, "%s: is there already, want another path or --force", to);
}

/* --- what is read --------------------------------------------------------------------------------------------- */

typedef struct {
    nn_pretrained *file;
    guard_classifier *guard;
    guard_lm *lm;
    nn_model *loaded;   /* of file; or the floats of an int8 guard */
    nn_tok *tok;        /* of file, or NULL */
    nn_err tok_problem; /* why there is none */
    const nn_model *m;
    const nn_tok *vocabulary;
} source;

static void source_close(source *s)
{
    nn_tok_free(s->tok);
    nn_model_free(s->loaded);
    nn_pretrained_close(s->file);
    guard_classifier_close(s->guard);
    guard_lm_free(s->lm);
}

static nn_status open_other(source *s, const char *path, const convert_wishes *w, nn_err *err)
{
    const nn_load_options o = {.floats = false};
    nn_status st;

    if ((st = nn_pretrained_open(&s->file, path, err)) != NN_OK) return st;
    if ((st = nn_pretrained_load(&s->loaded, s->file, &o, err)) != NN_OK) return st;
    st = nn_pretrained_tok(&s->tok, s->file, w->tokenizer, &s->tok_problem);
    s->m = s->loaded;
    s->vocabulary = s->tok;
    if (st != NN_OK && w->tokenizer) return nn_fail(err, st, "%s", s->tok_problem.text);
    /* WHY after the weights: they are loaded as they lie, and each row gets its adapter when it is written. */
    return w->adapter ? cmd_adapt_with("convert", w->adapter, s->file, err) : NN_OK;
}

static nn_status open_guard(source *s, const char *path, nn_err *err)
{
    nn_status st;

    if ((st = guard_classifier_open(&s->guard, path, err)) != NN_OK) return st;
    const guard_parts *p = guard_classifier_parts(s->guard);
    s->m = p->m;
    s->vocabulary = p->tok;
    if (!p->m) return nn_fail(err, NN_USAGE, "%s: a guard without a decoder, want one that has", path);
    if (!nn_model_is_i8(p->m)) return NN_OK;
    if ((st = nn_model_dequantize(&s->loaded, p->m, err)) != NN_OK) return st;
    s->m = s->loaded;
    fprintf(stderr, "parapet convert: %s: its weights are int8; written is what they stand for, scale * q, as floats "
            "before --type\n", path);
    return NN_OK;
}

static nn_status open_source(source *s, convert_kind kind, const char *path, const convert_wishes *w, nn_err *err)
{
    nn_status st;

    if (kind == CONVERT_OTHER) return open_other(s, path, w, err);
    if (w->adapter)
        return nn_fail(err, NN_USAGE, "--adapter: %s holds what a run has merged, want the model that the adapters "
                       "stand beside", path);
    if (w->tokenizer) return nn_fail(err, NN_USAGE, "--tokenizer: %s has its own and no other", path);
    if (kind == CONVERT_GUARD && !w->llama_cpp)
        return nn_fail(err, NN_USAGE, "%s: a guard, want --for llama.cpp (its decoder and verdict head alone), or "
                       "`parapet quantize`", path);
    if (kind == CONVERT_GUARD) return open_guard(s, path, err);
    if ((st = guard_lm_open(&s->lm, path, err)) != NN_OK) return st;
    s->m = guard_lm_model(s->lm);
    s->vocabulary = guard_lm_tok(s->lm);
    return NN_OK;
}

/* --- what is said --------------------------------------------------------------------------------------------- */

static void say_left_out(const guard_parts *p)
{
    const nn_config *c = nn_model_config(p->m);

    fprintf(stderr, "parapet convert: left out, so verdicts are not this guard's:\n");
    if (p->wide) fprintf(stderr, "  the wide part, whose logit is added to the decoder's\n");
    if (c->memory_rows) fprintf(stderr, "  the n-gram memory, whose rows are added to the embedding\n");
    if (c->n_category) fprintf(stderr, "  the category head\n");
    fprintf(stderr, "  calibration, thresholds and windows (%zu tokens, every %zu)\n", p->window, p->stride);
    fprintf(stderr, "  the prompt format: what stands around the judged text is the caller's to write\n");
    fprintf(stderr, "  keys under guard.*, those of the tokenizer too: llama.cpp reads tokenizer.ggml.* alone\n");
}

/* Whether the keys of the format say all of a tokenizer is known when they were read again. */
static nn_status check_tokenizer(const source *s, const char *to, nn_err *err)
{
    nn_pretrained *p = NULL;
    nn_tok *back = NULL;
    char hex[2][65];
    bool same = false;
    nn_status st;

    if (!s->vocabulary || nn_tok_is_own(s->vocabulary)) return NN_OK;
    if (s->guard) return NN_OK; /* with its head it is no model that we would open */
    if ((st = nn_pretrained_open(&p, to, err)) != NN_OK) return st;
    nn_tok_hash(s->vocabulary, hex[0]);
    hex[1][0] = '\0';
    if (nn_pretrained_tok(&back, p, NULL, NULL) == NN_OK) {
        nn_tok_hash(back, hex[1]);
        st = nn_tok_same_spm(&same, back, s->vocabulary, err); /* merges have become scores */
    }
    if (st == NN_OK && !same && strcmp(hex[0], hex[1]) != 0)
        fprintf(stderr, "parapet convert: the tokenizer has options for which GGUF has no key: what reads this file "
                "may split some texts otherwise\n");
    nn_tok_free(back);
    nn_pretrained_close(p);
    return st;
}

static nn_status say_written(const char *from, const char *to, const convert_wishes *w, nn_err *err)
{
    char weights[PATH_CAP + 32];
    size_t n = strlen(to);
    uint64_t bytes = 0;
    nn_status st;

    while (n > 1 && to[n - 1] == '/') n--;
    snprintf(weights, sizeof weights, "%.*s%s", (int)n, to, is_gguf_name(to) ? "" : "/model.safetensors");
    if ((st = nn_file_size(weights, &bytes, err)) != NN_OK) return st;
    printf("%s: %llu bytes, weights %s; from %s%s%s\n", weights, (unsigned long long)bytes,
           w->type == NN_DTYPE_OTHER ? "as they were" : nn_dtype_name(w->type), from, w->adapter ? " with " : "",
           w->adapter ? w->adapter : "");
    return NN_OK;
}

/* --- what is written ------------------------------------------------------------------------------------------ */

static void set_options(nn_write_options *o, const source *s, const convert_wishes *w)
{
    *o = nn_write_default();
    o->type = w->type;
    o->llama_cpp = w->llama_cpp;
    o->labels = s->guard != NULL;
    if (!s->file) return;
    o->lora = nn_pretrained_adapter(s->file);
    o->n_stop = nn_pretrained_stops(s->file, o->stop, NN_WRITE_STOPS);
    o->chat = nn_pretrained_chat_template(s->file, &o->chat_len);
}

/* A text that does not end where it should is no small thing to find out later. */
static void say_stops(const source *s, const nn_write_options *o)
{
    const size_t room = s->vocabulary ? NN_WRITE_STOPS_GGUF : 0;
    size_t n = 0;

    for (size_t i = 0; i < o->n_stop; i++) n += !s->vocabulary || o->stop[i] != nn_tok_eos(s->vocabulary);
    if (n > room)
        fprintf(stderr, "parapet convert: %zu of the %zu ids that end a text are left out: GGUF has keys for EOS and "
                "%u more%s\n", n - room, o->n_stop, NN_WRITE_STOPS_GGUF, s->vocabulary ? "" : ", beside a tokenizer");
}

static nn_status write_gguf(const source *s, const char *to, const nn_write_options *o, nn_err *err)
{
    nn_status st;

    if (!s->vocabulary && !o->llama_cpp)
        fprintf(stderr, "parapet convert: no tokenizer in %s (%s)\n", to, s->tok_problem.text);
    if ((st = nn_model_write_gguf(to, s->m, s->vocabulary, o, err)) != NN_OK) return st;
    say_stops(s, o);
    if (s->guard) say_left_out(guard_classifier_parts(s->guard));
    return check_tokenizer(s, to, err);
}

/* Where Hugging Face's library may give other ids. */
static void say_tokenizer(const char *to, const nn_tok_json_notes *n)
{
    if (!n->ties && !n->users && !n->other_space) return;
    fprintf(stderr, "parapet convert: %s/tokenizer.json: Hugging Face's library may split some texts otherwise:\n", to);
    if (n->ties)
        fprintf(stderr, "  %zu pieces have a score that another one has too; a list of merges knows no equals\n",
                n->ties);
    if (n->users)
        fprintf(stderr, "  behind each of the %zu pieces that are matched as they stand it puts a blank\n", n->users);
    if (n->other_space) fprintf(stderr, "  it drops tabs and newlines at the end of a text, not blanks alone\n");
}

/* Files of a tokenizer that came from none; what cannot be written is said, and the model is there without it. */
static nn_status write_tokenizer(const source *s, const char *to, const nn_write_options *o, nn_err *err)
{
    nn_err problem = s->tok_problem;
    nn_tok_json_notes notes = {0};
    nn_status st = NN_USAGE;

    if (s->vocabulary) {
        problem = (nn_err){NN_OK, ""};
        st = nn_tok_write_json(to, s->vocabulary, o->chat, o->chat_len, &notes, &problem);
    }
    if (st == NN_OK) say_tokenizer(to, &notes);
    if (st == NN_OK) return NN_OK;
    if (st != NN_USAGE) return nn_fail(err, st, "%s", problem.text);
    fprintf(stderr, "parapet convert: no tokenizer in %s (%s)\n", to, problem.text);
    return NN_OK;
}

/* The files of the tokenizer, from beside the weights or from where --tokenizer says. */
static nn_status write_folder(const source *s, const char *from, const char *to, const char *tokenizer,
                              const nn_write_options *o, nn_err *err)
{
    const char *beside = tokenizer ? tokenizer : from;
    size_t n = 0;
    nn_status st;

    if ((st = nn_model_write_hf(to, s->m, s->vocabulary, o, err)) != NN_OK) return st;
    if (is_folder(beside) && (st = nn_model_copy_tokenizer(to, beside, &n, err)) != NN_OK) return st;
    return n ? NN_OK : write_tokenizer(s, to, o, err);
}

nn_status convert_model(const char *from, const char *to, const convert_wishes *w, nn_err *err)
{
    const bool gguf = is_gguf_name(to);
    convert_kind kind = CONVERT_OTHER;
    nn_write_options o;
    source s = {0};
    nn_status st;

    if ((st = convert_check_paths(from, to, w->force, err)) != NN_OK) return st;
    if (w->tokenizer && (st = check_apart(w->tokenizer, "tokenizer", to, err)) != NN_OK) return st;
    if (w->llama_cpp && !gguf) return nn_fail(err, NN_USAGE, "%s: want a name in .gguf for llama.cpp", to);
    if ((st = convert_kind_of(&kind, from, err)) != NN_OK) return st;
    if ((st = open_source(&s, kind, from, w, err)) != NN_OK) goto done;
    set_options(&o, &s, w);
    st = gguf ? write_gguf(&s, to, &o, err) : write_folder(&s, from, to, w->tokenizer, &o, err);
    if (st == NN_OK) st = say_written(from, to, w, err);
done:
    source_close(&s);
    return st;
}

/* --- the verb ------------------------------------------------------------------------------------------------- */

static nn_status read_wishes(convert_wishes *w, const cmd_line *line, nn_err *err)
{
    const char *type = cmd_given(line, "--type"), *program = cmd_given(line, "--for");

    *w = (convert_wishes){.type = NN_DTYPE_OTHER};
    w->force = cmd_given(line, "--force") != NULL;
    w->tokenizer = cmd_given(line, "--tokenizer");
    w->adapter = cmd_given(line, "--adapter");
    w->llama_cpp = program != NULL;
    if (line->n_word != 2)
        return nn_fail(err, NN_USAGE, "%zu paths, want the model to read and what to write", line->n_word);
    if (program && strcmp(program, "llama.cpp") != 0)
        return nn_fail(err, NN_USAGE, "--for %s, want llama.cpp", program);
    if (type && !convert_type(&w->type, type))
        return nn_fail(err, NN_USAGE, "--type %s, want f32, f16, bf16, q8_0 or q4_0", type);
    return NN_OK;
}

static int convert_main(int argc, char **argv)
{
    convert_wishes w;
    cmd_line line;
    nn_err err = {0};
    nn_status st = cmd_parse(&line, &cmd_convert, argc, argv, &err);

    if (st == NN_OK) st = read_wishes(&w, &line, &err);
    if (st == NN_OK) st = convert_model(line.word[0], line.word[1], &w, &err);
    return cmd_end("convert", st, 0, &err);
}

const cmd_verb cmd_convert = {"convert", "MODEL OUT",
                              "Writes a model as a GGUF file (OUT ends in .gguf) or a Hugging Face folder.",
                              convert_flags, convert_main};
