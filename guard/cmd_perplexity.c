/* cmd_perplexity.c - parapet perplexity: how well a language model foresees a text.
 *
 * Reads: cmd_adapter.h, nn/perplexity.h.
 */
#include "nn/perplexity.h"
#include "guard/buf.h"
#include "guard/cmd_adapter.h"
#include "nn/plat.h"
#include "nn/pretrained.h"
#include <stdio.h>
#include <string.h>

#define TEXT_MAX_BYTES ((size_t)1 << 30)

static const cmd_flag perplexity_flags[] = {
    {"--model", "M", NULL, "a Hugging Face folder, a GGUF or llama2.c file"},
    {"--tokenizer", "FILE", NULL, "another tokenizer than the model's own"},
    {"--adapter", "FOLDER", NULL, CMD_ADAPTER_DOC},
    {"--context", "N", "512", "tokens of a window; the second half of each is scored"},
    {"--exact", NULL, NULL, "of the weights alone, without the rounding of llama.cpp's products (docs/models.md)"},
    {"--json", NULL, NULL, "one JSON object"},
    {"--threads", "N", "1", "threads; they change no byte"},
    {NULL, NULL, NULL, NULL}};

static void print_result(guard_buf *b, const nn_perplexity *p, bool json)
{
    char value[32], error[32];

    if (!json) {
        guard_fmt_fixed(value, p->perplexity, 4);
        guard_fmt_fixed(error, p->error, 4);
        guard_buf_fmt(b, "%zu tokens, %zu windows, %zu tokens scored: perplexity %s +- %s\n", p->tokens, p->windows,
                      p->scored, value, error);
        return;
    }
    guard_buf_str(b, "{");
    guard_json_key(b, "version");
    guard_json_u64(b, 1);
    guard_json_key(b, "tokens");
    guard_json_u64(b, p->tokens);
    guard_json_key(b, "windows");
    guard_json_u64(b, p->windows);
    guard_json_key(b, "scored");
    guard_json_u64(b, p->scored);
    guard_json_key(b, "nll");
    guard_json_double(b, p->nll);
    guard_json_key(b, "perplexity");
    guard_json_double(b, p->perplexity);
    guard_json_key(b, "error");
    guard_json_double(b, p->error);
    guard_buf_str(b, "}\n");
}

/* More than the model's own context is allowed, as published numbers are measured so; it is said. */
static nn_status choose_context(size_t *n, const cmd_line *line, const nn_pretrained *p, nn_err *err)
{
    const size_t own = nn_pretrained_config(p)->max_t;
    uint64_t asked = 0;
    const nn_status st = cmd_number(line, "--context", 8, 1u << 20, own < 512 ? own : 512, &asked, err);

    *n = (size_t)asked;
    if (st == NN_OK && asked > own)
        fprintf(stderr, "parapet perplexity: %s is for a context of %zu\n", nn_pretrained_path(p), own);
    return st;
}

static nn_status measure(const cmd_line *line, nn_err *err)
{
    nn_pretrained *p = NULL;
    nn_tok *tok = NULL;
    nn_model *m = NULL;
    nn_exec exec = {0};
    nn_file text = {0};
    nn_perplexity result;
    nn_load_options o = {0};
    guard_buf out = {0};
    uint64_t threads = 1;
    nn_status st;

    if ((st = cmd_number(line, "--threads", 1, NN_PAR_MAX, 1, &threads, err)) != NN_OK) goto done;
    if ((st = nn_file_read(&text, line->word[0], TEXT_MAX_BYTES, err)) != NN_OK) goto done;
    if ((st = nn_pretrained_open(&p, cmd_given(line, "--model"), err)) != NN_OK) goto done;
    if ((st = nn_pretrained_tok(&tok, p, cmd_given(line, "--tokenizer"), err)) != NN_OK) goto done;
    if ((st = cmd_adapt(line, p, err)) != NN_OK) goto done;
    if ((st = choose_context(&o.max_t, line, p, err)) != NN_OK) goto done;
    if ((st = nn_pretrained_load(&m, p, &o, err)) != NN_OK) goto done;
    if ((st = nn_exec_open(&exec, NULL, (size_t)threads, o.max_t, err)) != NN_OK) goto done;
    st = nn_perplexity_text(&result, m, &exec, tok, text.bytes ? (const char *)text.bytes : "", text.len, o.max_t,
                            cmd_given(line, "--exact") != NULL, NULL, NULL, err);
    if (st == NN_OK) print_result(&out, &result, cmd_given(line, "--json") != NULL);
    if (st == NN_OK) st = guard_buf_status(&out, err);
    if (st == NN_OK) fwrite(out.bytes, 1, out.len, stdout);
done:
    guard_buf_free(&out);
    nn_exec_free(&exec);
    nn_model_free(m);
    nn_tok_free(tok);
    nn_pretrained_close(p);
    nn_file_close(&text);
    return st;
}

static int perplexity_main(int argc, char **argv)
{
    cmd_line line;
    nn_err err = {0};
    nn_status st = cmd_parse(&line, &cmd_perplexity, argc, argv, &err);

    if (st == NN_OK && line.n_word != 1)
        st = nn_fail(&err, NN_USAGE, "%zu texts, want one file, or - for standard input", line.n_word);
    if (st == NN_OK && !cmd_given(&line, "--model"))
        st = nn_fail(&err, NN_USAGE, "no --model, want a folder or a file");
    if (st == NN_OK) st = measure(&line, &err);
    return cmd_end("perplexity", st, 0, &err);
}

const cmd_verb cmd_perplexity = {"perplexity", "--model M FILE | -",
                                 "Says how well a language model foresees a text, by llama.cpp's protocol.",
                                 perplexity_flags, perplexity_main};
