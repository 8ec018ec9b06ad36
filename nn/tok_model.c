/* tok_model.c - SentencePiece's tokenizer.model: a protocol buffer (Kudo and Richardson 2018, arXiv:1808.06226; message
 * ModelProto of sentencepiece_model.proto, field numbers below).
 *
 * Reads: tok_read_impl.h, cursor.h.   Read next: tok_gguf.c.
 * The wire: a varint key (field << 3 | type), then by type a varint, 8 bytes, a varint length and bytes, or 4 bytes.
 * Fields come in any order, the last of a kind holds, those that nobody asks for are passed. Groups were given up long
 * ago and are refused.
 */
#include "nn/cursor.h"
#include "nn/tok_read_impl.h"
#include <float.h>
#include <string.h>

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

enum { MODEL_PIECES = 1, MODEL_TRAINER = 2, MODEL_NORMALIZER = 3 };
enum { PIECE_TEXT = 1, PIECE_SCORE = 2, PIECE_TYPE = 3 };
enum { TRAINER_MODEL_TYPE = 3, TRAINER_SUFFIX = 24, TRAINER_BOS = 46, TRAINER_EOS = 47, TRAINER_PAD = 48 };
enum { NORMALIZER_CHARSMAP = 2, NORMALIZER_PREFIX = 3, NORMALIZER_SQUEEZE = 4, NORMALIZER_ESCAPE = 5 };
enum { TYPE_UNIGRAM = 1, TYPE_BPE = 2 };

/* One field: its number, and its value by wire type. */
typedef struct {
    uint32_t number, wire;
    uint64_t value;             /* a varint, or the bits of a fixed number */
    const unsigned char *bytes; /* len of them; NULL unless the wire type is WIRE_BYTES */
    size_t len;
} field;

typedef struct {
    nn_vocab *v;
    const char *name;
    const unsigned char *base; /* of the file, so that messages name its bytes */
    field bos, eos, pad;       /* their texts */
    uint64_t type;
    nn_err *err;
} reader;

/* --- the wire -------------------------------------------------------------------------------------------- */

static uint64_t varint(nn_cursor *c)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 70; shift += 7) {
        const uint64_t b = nn_cursor_u8(c);

        if (shift == 63 && b > 1) break;
        v |= (b & 0x7f) << shift;
        if (b < 0x80) return v;
    }
    nn_cursor_fail(c, "a number of more than 64 bits");
    return 0;
}

/* False at the end and after an error. */
static bool next_field(nn_cursor *c, field *f)
{
    memset(f, 0, sizeof *f);
    if (nn_cursor_left(c) == 0) return false;
    const uint64_t key = varint(c);

    if (c->status == NN_OK && (key >> 3 == 0 || key >> 3 > 0x1fffffff)) nn_cursor_fail(c, "no field number");
    f->number = (uint32_t)(key >> 3 & 0x1fffffff);
    f->wire = (uint32_t)(key & 7);
    switch (f->wire) {
    case WIRE_VARINT: f->value = varint(c); break;
    case WIRE_64: f->value = nn_cursor_u64(c); break;
    case WIRE_32: f->value = nn_cursor_u32(c); break;
    case WIRE_BYTES:
        f->len = nn_cursor_count(c, varint(c), 1, "field");
        f->bytes = nn_cursor_bytes(c, f->len);
        break;
    default: nn_cursor_fail(c, "field %lu of wire type %lu, want 0, 1, 2 or 5", (unsigned long)f->number,
                            (unsigned long)f->wire);
    }
    return c->status == NN_OK;
}

/* A known field must have the wire type that the message gives it. */
static void want(nn_cursor *c, const field *f, uint32_t wire)
{
    if (f->wire != wire)
        nn_cursor_fail(c, "field %lu of wire type %lu, want %lu", (unsigned long)f->number, (unsigned long)f->wire,
                       (unsigned long)wire);
}

/* A cursor over a message within the file. */
static nn_cursor inside(const reader *r, const field *f)
{
    nn_cursor c;

    nn_cursor_init(&c, r->base, (size_t)(f->bytes - r->base) + f->len, r->name, r->err);
    nn_cursor_seek(&c, (uint64_t)(f->bytes - r->base));
    return c;
}

/* --- messages -------------------------------------------------------------------------------------------- */

static nn_status add_piece(reader *r, nn_cursor *c, const field *text, float score, uint64_t type)
{
    static const nn_piece_type types[] = {NN_PIECE_NORMAL, NN_PIECE_NORMAL, NN_PIECE_UNKNOWN, NN_PIECE_CONTROL,
                                          NN_PIECE_USER,   NN_PIECE_UNUSED, NN_PIECE_BYTE};
    unsigned char byte = 0;

    if (type < 1 || type > 6)
        return nn_cursor_fail(c, "token %zu has type %llu, want 1 to 6", r->v->n, (unsigned long long)type);
    if (!(score >= -FLT_MAX && score <= FLT_MAX)) return nn_cursor_fail(c, "token %zu has no finite score", r->v->n);
    if (r->v->n == NN_TOK_IDS_MAX) return nn_cursor_fail(c, "more than %u tokens", NN_TOK_IDS_MAX);
    if (types[type] != NN_PIECE_BYTE)
        return nn_vocab_add(r->v, text->bytes ? (const char *)text->bytes : "", text->len, score, types[type], r->err);
    if (!text->bytes || !nn_byte_spelled(&byte, (const char *)text->bytes, text->len))
        return nn_cursor_fail(c, "token %zu is a byte, but not spelled <0x00>", r->v->n);
    const char one = (char)byte;
    return nn_vocab_add(r->v, &one, 1, score, NN_PIECE_BYTE, r->err);
}

static nn_status read_piece(reader *r, const field *message)
{
    nn_cursor c = inside(r, message);
    field f, text = {0, 0, 0, NULL, 0};
    uint64_t type = 1;
    float score = 0.0f;

    while (next_field(&c, &f)) {
        if (f.number == PIECE_TEXT) {
            want(&c, &f, WIRE_BYTES);
            text = f;
        } else if (f.number == PIECE_SCORE) {
            const uint32_t bits = (uint32_t)(f.value & UINT32_MAX);
            want(&c, &f, WIRE_32);
            memcpy(&score, &bits, sizeof score);
        } else if (f.number == PIECE_TYPE) {
            want(&c, &f, WIRE_VARINT);
            type = f.value;
        }
    }
    return c.status == NN_OK ? add_piece(r, &c, &text, score, type) : c.status;
}

static nn_status read_trainer(reader *r, const field *message)
{
    nn_cursor c = inside(r, message);
    field f;

    while (next_field(&c, &f)) {
        switch (f.number) {
        case TRAINER_MODEL_TYPE:
            want(&c, &f, WIRE_VARINT);
            r->type = f.value;
            break;
        case TRAINER_SUFFIX:
            want(&c, &f, WIRE_VARINT);
            if (f.value != 0) nn_cursor_fail(&c, "treat_whitespace_as_suffix is not run");
            break;
        case TRAINER_BOS: want(&c, &f, WIRE_BYTES), r->bos = f; break;
        case TRAINER_EOS: want(&c, &f, WIRE_BYTES), r->eos = f; break;
        case TRAINER_PAD: want(&c, &f, WIRE_BYTES), r->pad = f; break;
        default: break;
        }
    }
    return c.status;
}

static nn_status read_normalizer(reader *r, const field *message)
{
    nn_cursor c = inside(r, message);
    field f;

    while (next_field(&c, &f)) {
        switch (f.number) {
        case NORMALIZER_CHARSMAP:
            want(&c, &f, WIRE_BYTES);
            r->v->charsmap = f.len > 0 ? f.bytes : NULL;
            r->v->charsmap_len = f.len;
            break;
        case NORMALIZER_PREFIX: want(&c, &f, WIRE_VARINT), r->v->prefix_space = f.value != 0; break;
        case NORMALIZER_SQUEEZE: want(&c, &f, WIRE_VARINT), r->v->squeeze = f.value != 0; break;
        case NORMALIZER_ESCAPE:
            want(&c, &f, WIRE_VARINT);
            if (f.value == 0) nn_cursor_fail(&c, "escape_whitespaces off is not run");
            break;
        default: break;
        }
    }
    return c.status;
}

static nn_status read_messages(reader *r, nn_cursor *c)
{
    nn_status st = NN_OK;
    field f;

    while (st == NN_OK && next_field(c, &f)) {
        if (f.number < MODEL_PIECES || f.number > MODEL_NORMALIZER) continue;
        want(c, &f, WIRE_BYTES);
        if (c->status != NN_OK) break;
        if (f.number == MODEL_PIECES) st = read_piece(r, &f);
        else if (f.number == MODEL_TRAINER) st = read_trainer(r, &f);
        else st = read_normalizer(r, &f);
    }
    return st != NN_OK ? st : c->status;
}

/* --- special tokens -------------------------------------------------------------------------------------- */

/* SentencePiece looks for them by text among the control tokens, whatever ids the trainer was told. */
static int32_t find_control(const nn_vocab *v, const field *text, const char *def)
{
    const char *s = text->bytes ? (const char *)text->bytes : def;
    const size_t len = text->bytes ? text->len : strlen(def);

    for (size_t i = 0; i < v->n; i++) {
        const nn_piece *p = &v->piece[i];

        if (p->type == NN_PIECE_CONTROL && p->len == len && memcmp(p->text, s, len) == 0) return (int32_t)i;
    }
    return -1;
}

static nn_status find_specials(reader *r)
{
    nn_vocab *v = r->v;

    for (size_t i = 0; i < v->n; i++) {
        if (v->piece[i].type != NN_PIECE_UNKNOWN) continue;
        if (v->unk >= 0)
            return nn_fail(r->err, NN_FILE, "%s: tokens %ld and %zu are both unknown, want one", r->name, (long)v->unk,
                           i);
        v->unk = (int32_t)i;
    }
    v->bos = find_control(v, &r->bos, "<s>");
    v->eos = find_control(v, &r->eos, "</s>");
    v->pad = find_control(v, &r->pad, "<pad>");
    /* The file does not say; of the families that come in it, Llama's (BPE) add BOS and T5's (unigram) add EOS. */
    v->add_bos = v->model == NN_TOK_SPM && v->bos >= 0;
    v->add_eos = v->model == NN_TOK_UNIGRAM && v->eos >= 0;
    return nn_vocab_check_specials(v, r->name, r->err);
}

nn_status nn_vocab_from_sentencepiece(nn_vocab *v, const void *bytes, size_t len, const char *name, nn_err *err)
{
    static const field none = {0, 0, 0, NULL, 0};
    reader r = {v, name, bytes, none, none, none, TYPE_UNIGRAM, err};
    nn_cursor c;
    nn_status st;

    v->prefix_space = v->squeeze = true; /* the message's defaults */
    nn_cursor_init(&c, bytes, len, name, err);
    if ((st = read_messages(&r, &c)) != NN_OK) return st;
    if (v->n == 0) return nn_cursor_fail(&c, "no tokens");
    if (r.type != TYPE_UNIGRAM && r.type != TYPE_BPE)
        return nn_cursor_fail(&c, "model type %llu is not run, want 1 (unigram) or 2 (BPE)",
                              (unsigned long long)r.type);
    v->model = r.type == TYPE_BPE ? NN_TOK_SPM : NN_TOK_UNIGRAM;
    return find_specials(&r);
}
