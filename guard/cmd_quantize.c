/* cmd_quantize.c - parapet quantize: a guard's weights, or those of another model, in another storage type.
 *
 * Reads: cmd.h, cmd_convert.h (another model is one that is converted to a GGUF file).
 */
#include "guard/classify.h"
#include "guard/cmd.h"
#include "guard/cmd_convert.h"
#include "nn/plat.h"
#include <stdio.h>
#include <string.h>

static const cmd_flag quantize_flags[] = {
    {"--type", "TYPE", "int8",
     "int8 (guards alone: products read it as it lies), q8_0, q4_0, bf16, f32; of others also f16"},
    {"--force", NULL, NULL, "OUT may be there and is replaced (a guard's always is)"},
    {NULL, NULL, NULL, NULL}};

static nn_status type_of(nn_dtype *out, const char *name, nn_err *err)
{
    static const struct {
        const char *name;
        nn_dtype type;
    } known[] = {{"int8", NN_I8}, {"q8_0", NN_Q8_0}, {"q4_0", NN_Q4_0}, {"bf16", NN_BF16}, {"f32", NN_F32}};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(name, known[i].name) == 0) {
            *out = known[i].type;
            return NN_OK;
        }
    return nn_fail(err, NN_USAGE, "--type %s, want int8, q8_0, q4_0, bf16 or f32 of a guard", name);
}

/* Thresholds and calibration stay those that were chosen on the weights as they were. */
static nn_status quantize_guard(const char *from, const char *to, const char *type_name, nn_err *err)
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

static nn_status quantize_other(const char *from, const char *to, const char *type_name, bool force, nn_err *err)
{
    convert_wishes w = {.force = force};
    const size_t n = strlen(to);

    if (!type_name || !convert_type(&w.type, type_name))
        return nn_fail(err, NN_USAGE, "%s: no guard, want --type q8_0, q4_0, f16, bf16 or f32", from);
    if (n <= 5 || strcmp(to + n - 5, ".gguf") != 0)
        return nn_fail(err, NN_USAGE, "%s: want a name in .gguf (parapet convert writes folders too)", to);
    return convert_model(from, to, &w, err);
}

static nn_status quantize(const cmd_line *line, nn_err *err)
{
    const char *type = cmd_given(line, "--type"), *from = line->word[0], *to = line->word[1];
    convert_kind kind = CONVERT_OTHER;
    nn_status st;

    if ((st = convert_kind_of(&kind, from, err)) != NN_OK) return st;
    if (kind == CONVERT_GUARD) {
        if ((st = convert_check_paths(from, to, true, err)) != NN_OK) return st;
        return quantize_guard(from, to, type ? type : "int8", err);
    }
    return quantize_other(from, to, type, cmd_given(line, "--force") != NULL, err);
}

static int quantize_main(int argc, char **argv)
{
    cmd_line line;
    nn_err err = {0};
    nn_status st = cmd_parse(&line, &cmd_quantize, argc, argv, &err);

    if (st == NN_OK && line.n_word != 2)
        st = nn_fail(&err, NN_USAGE, "%zu files, want the model to read and the file to write", line.n_word);
    if (st == NN_OK) st = quantize(&line, &err);
    return cmd_end("quantize", st, 0, &err);
}

const cmd_verb cmd_quantize = {"quantize", "MODEL OUT",
                               "Writes a guard or another model with its weights in another type.", quantize_flags,
                               quantize_main};
