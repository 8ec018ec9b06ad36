/* cmd_quantize.c - parapet quantize: a guard's weights in another storage type. */
#include "guard/classify.h"
#include "guard/cmd.h"
#include "nn/plat.h"
#include <stdio.h>
#include <string.h>

static const cmd_flag quantize_flags[] = {
    {"--type", "TYPE", "int8", "int8 (fastest: products read it as it lies), q8_0, bf16 or f32"},
    {NULL, NULL, NULL, NULL}};

static nn_status type_of(nn_dtype *out, const char *name, nn_err *err)
{
    static const struct {
        const char *name;
        nn_dtype type;
    } known[] = {{"int8", NN_I8}, {"q8_0", NN_Q8_0}, {"bf16", NN_BF16}, {"f32", NN_F32}};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(name, known[i].name) == 0) {
            *out = known[i].type;
            return NN_OK;
        }
    return nn_fail(err, NN_USAGE, "--type %s, want int8, q8_0, bf16 or f32", name);
}

/* Thresholds and calibration stay those that were chosen on the weights as they were. */
static nn_status quantize(const char *from, const char *to, const char *type_name, nn_err *err)
{
    guard_classifier *g = NULL;
    nn_dtype type = NN_I8;
    nn_file before = {0}, after = {0};
    nn_status st;

    if ((st = type_of(&type, type_name, err)) != NN_OK) return st;
    if ((st = guard_classifier_open(&g, from, err)) != NN_OK) return st;
    if (type != NN_I8 && (st = guard_classifier_floats(g, err)) != NN_OK) goto done;
    if ((st = guard_classifier_save(g, to, type, err)) != NN_OK) goto done;
    if ((st = nn_file_open(&before, from, err)) != NN_OK || (st = nn_file_open(&after, to, err)) != NN_OK) goto done;
    printf("%s: %zu bytes, %s; from %zu bytes; thresholds and calibration as they were\n", to, after.len, type_name,
           before.len);
done:
    nn_file_close(&after);
    nn_file_close(&before);
    guard_classifier_close(g);
    return st;
}

static int quantize_main(int argc, char **argv)
{
    cmd_line line;
    nn_err err = {0};
    nn_status st = cmd_parse(&line, &cmd_quantize, argc, argv, &err);

    if (st == NN_OK && line.n_word != 2)
        st = nn_fail(&err, NN_USAGE, "%zu files, want the guard to read and the file to write", line.n_word);
    if (st == NN_OK) {
        const char *type = cmd_given(&line, "--type");
        st = quantize(line.word[0], line.word[1], type ? type : "int8", &err);
    }
    return cmd_end("quantize", st, 0, &err);
}

const cmd_verb cmd_quantize = {"quantize", "GUARD OUT", "Writes a guard with its weights in another storage type.",
                               quantize_flags, quantize_main};
