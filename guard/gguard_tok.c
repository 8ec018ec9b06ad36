/* gguard_tok.c - a guard's tokenizer and prompt format, out of its file.
 *
 * Reads: gguard_read.h, nn/tok_gguf_write.h.   Read next: gguard_model.c.
 * Our format needs no keys: its ids are the same in every vocabulary of ours.
 */
#include "guard/gguard_read.h"
#include "nn/tok_gguf_write.h"
#include <string.h>

static void read_part(guard_reader *r, guard_format *f, guard_format_part part)
{
    int32_t ids[GUARD_FORMAT_IDS];
    nn_gg_type type = NN_GG_U8;
    size_t n = 0;

    if (r->st != NN_OK) return;
    if (!nn_gguf_array(r->g, guard_format_keys[part], &type, &n) || n > GUARD_FORMAT_IDS ||
        !nn_gguf_array_i32(r->g, guard_format_keys[part], ids, n) || !guard_format_add(f, part, ids, n))
        guard_refuse(r, guard_format_keys[part], "ids, at most 1024 in all parts");
}

static void read_format(guard_reader *r, guard_format *f)
{
    int32_t place[3] = {0};

    memset(f, 0, sizeof *f);
    for (size_t i = 0; i < GUARD_FORMAT_PARTS; i++) read_part(r, f, (guard_format_part)i);
    f->response = guard_get_bool(r, GUARD_KEY_RESPONSE);
    if (r->st != NN_OK) return;
    bool good = nn_gguf_array_i32(r->g, GUARD_KEY_PLACES, place, 3);
    for (size_t i = 0; i < 3; i++) good = good && place[i] >= GUARD_PLACE_MORE && place[i] <= GUARD_PLACE_BLANK;
    if (!good) guard_refuse(r, GUARD_KEY_PLACES, "three numbers from 0 to 2");
    f->prompt = (guard_place)place[0];
    f->context = (guard_place)place[1];
    f->answer = (guard_place)place[2];
}

void guard_read_tokenizer(guard_reader *r, guard_parts *p)
{
    const bool own = guard_get_choice(r, GUARD_KEY_PROMPT, GUARD_PROMPT_FORMAT, GUARD_PROMPT_OTHER);
    nn_err cause = {NN_OK, ""};

    if (r->st != NN_OK) return;
    const nn_status st = nn_tok_get_gguf(&p->tok, r->g, r->name, own, &cause);
    if (st != NN_OK) r->st = nn_fail(r->err, st == NN_LIMIT ? NN_LIMIT : NN_FILE, "%s", cause.text);
    if (own) guard_format_own(&p->format);
    else read_format(r, &p->format);
}
