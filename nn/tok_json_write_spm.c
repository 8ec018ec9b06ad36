/* tok_json_write_spm.c - the parts of a tokenizer.json that SentencePiece's BPE and Unigram need: what they do to
 * blanks, and their models.
 *
 * Reads: tok_json_write_impl.h.   Read next: tok_json_text.c (which reads the parts back).
 * The parts are those of Hugging Face's own files: of Llama 2 where a blank is put before every text (Prepend,
 * Replace), of T5 where runs of blanks become one, or none is put before one (Metaspace).
 */
#include "nn/arena.h"
#include "nn/tok_json_write_impl.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARK "\xe2\x96\x81" /* U+2581, SentencePiece's blank */

typedef nn_tok_json_writer writer;

/* Metaspace puts a blank only before what begins with none; squeezed texts begin with none. */
static bool is_metaspace(const nn_vocab *v)
{
    return v->prefix_space && (v->prefix_unless_blank || v->squeeze);
}

/* --- normalizer and pre-tokenizer ------------------------------------------------------------------------------ */

static void put_charsmap(writer *w)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *b = w->v->charsmap;
    const size_t len = w->v->charsmap_len;

    nn_tj_put(w, "{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"");
    for (size_t i = 0; i < len; i += 3) { /* base64: RFC 4648 */
        const uint32_t bits = (uint32_t)b[i] << 16 | (i + 1 < len ? (uint32_t)b[i + 1] << 8 : 0) |
                              (i + 2 < len ? (uint32_t)b[i + 2] : 0);
        const char text[4] = {digits[bits >> 18 & 63], digits[bits >> 12 & 63],
                              i + 1 < len ? digits[bits >> 6 & 63] : '=', i + 2 < len ? digits[bits & 63] : '='};

        nn_sink_add(&w->s, text, sizeof text);
    }
    nn_tj_put(w, "\"}");
}

/* One more part of a sequence. */
static void put_part(writer *w, bool *first, const char *text)
{
    if (!*first) nn_tj_put(w, ",");
    *first = false;
    nn_tj_put(w, text);
}

void nn_tj_spm_normalizer(writer *w)
{
    const nn_vocab *v = w->v;
    bool first = true;

    if (is_metaspace(v) && !v->squeeze && !v->charsmap && !v->nfc && !v->nfkc && !v->lowercase) {
        nn_tj_put(w, "\"normalizer\":null,\n");
        return;
    }
    nn_tj_put(w, "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[");
    if (v->nfc) put_part(w, &first, "{\"type\":\"NFC\"}");
    if (v->nfkc) put_part(w, &first, "{\"type\":\"NFKC\"}");
    if (v->charsmap) put_part(w, &first, "");
    if (v->charsmap) put_charsmap(w);
    if (v->lowercase) put_part(w, &first, "{\"type\":\"Lowercase\"}");
    if (v->squeeze) {
        put_part(w, &first, "{\"type\":\"Strip\"");
        nn_tj_flag(w, ",\"strip_left\":", !v->prefix_space);
        nn_tj_put(w, ",\"strip_right\":true},{\"type\":\"Replace\",\"pattern\":{\"Regex\":\" {2,}\"},"
                     "\"content\":\"" MARK "\"}");
    }
    if (v->prefix_space && !is_metaspace(v)) put_part(w, &first, "{\"type\":\"Prepend\",\"prepend\":\"" MARK "\"}");
    if (!is_metaspace(v))
        put_part(w, &first, "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"" MARK "\"}");
    nn_tj_put(w, "]},\n");
}

void nn_tj_spm_pre_tokenizer(writer *w)
{
    if (is_metaspace(w->v))
        nn_tj_put(w, "\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"" MARK "\","
                     "\"prepend_scheme\":\"first\",\"split\":false},\n");
    else
        nn_tj_put(w, "\"pre_tokenizer\":null,\n");
}

void nn_tj_spm_decoder(writer *w)
{
    nn_tj_put(w, "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":"
                 "{\"String\":\"" MARK "\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}");
    if (w->v->prefix_space) nn_tj_put(w, ",{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}");
    nn_tj_put(w, "]},\n");
}

/* --- model ------------------------------------------------------------------------------------------------------- */

static bool has_bytes(const nn_vocab *v)
{
    for (size_t id = 0; id < v->n; id++)
        if (v->piece[id].type == NN_PIECE_BYTE) return true;
    return false;
}

nn_status nn_tj_find_merges(writer *w, nn_err *err)
{
    const nn_vocab *v = w->v;
    nn_status st;

    if (v->model != NN_TOK_SPM) return NN_OK;
    if (v->n_merge == 0) return nn_tok_spm_list(&w->merge, &w->n_merge, &w->ties, w->t, err);
    if ((st = nn_alloc((void **)&w->merge, 3 * v->n_merge, sizeof *w->merge, err)) != NN_OK) return st;
    memcpy(w->merge, v->merge, 3 * v->n_merge * sizeof *w->merge);
    w->n_merge = v->n_merge;
    return NN_OK;
}

/* [["text", score], ..]: 17 digits give every float, as the double that the library computes with. */
static void put_scores(writer *w)
{
    char number[40];

    nn_tj_put(w, "\"vocab\":[");
    for (size_t id = 0; id < w->v->n; id++) {
        nn_tj_put(w, id ? ",\n[" : "\n[");
        nn_tj_token(w, id);
        snprintf(number, sizeof number, ",%.17g]", (double)w->v->piece[id].score);
        nn_tj_put(w, number);
    }
    nn_tj_put(w, "]");
}

void nn_tj_spm_model(writer *w)
{
    const nn_vocab *v = w->v;

    if (v->model == NN_TOK_UNIGRAM) {
        nn_tj_put(w, "\"model\":{\"type\":\"Unigram\",\"unk_id\":");
        nn_tj_number(w, (size_t)v->unk); /* there is no such model without one */
        nn_tj_flag(w, ",\"byte_fallback\":", has_bytes(v));
        nn_tj_put(w, ",\n");
        put_scores(w);
    } else {
        nn_tj_put(w, "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":");
        if (v->unk >= 0) nn_tj_token(w, (size_t)v->unk);
        else nn_tj_put(w, "null");
        nn_tj_put(w, ",\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,\"fuse_unk\":true");
        nn_tj_flag(w, ",\"byte_fallback\":", has_bytes(v));
        nn_tj_put(w, ",\"ignore_merges\":false,\n");
        nn_tj_ids(w);
        nn_tj_put(w, ",\n");
        nn_tj_merges(w, w->merge, w->n_merge, 3);
    }
    nn_tj_put(w, "}}\n");
}

/* --- what comes back --------------------------------------------------------------------------------------------- */

/* What is never made from a text may come back as another kind of such. */
static bool same_type(const nn_vocab *v, const nn_vocab *back, size_t id)
{
    const nn_piece_type was = v->piece[id].type, is = back->piece[id].type;
    const bool unknown = v->unk == (int32_t)id;

    if (was == NN_PIECE_UNUSED || (was == NN_PIECE_UNKNOWN && !unknown)) return is == NN_PIECE_CONTROL;
    return was == is || (unknown && was == NN_PIECE_CONTROL && is == NN_PIECE_UNKNOWN);
}

static bool same_piece(const nn_vocab *v, const nn_vocab *back, size_t id)
{
    const nn_piece *a = v->piece + id, *b = back->piece + id;

    if (a->len != b->len || (a->len && memcmp(a->text, b->text, a->len) != 0)) return false;
    if (a->lstrip != b->lstrip || a->rstrip != b->rstrip || !same_type(v, back, id)) return false;
    return v->model != NN_TOK_UNIGRAM || memcmp(&a->score, &b->score, sizeof a->score) == 0;
}

bool nn_tj_same_spm(const writer *w, const nn_vocab *back)
{
    const nn_vocab *v = w->v;
    const bool unless = v->prefix_unless_blank || v->squeeze;

    if (v->model != back->model || v->n != back->n || w->n_merge != back->n_merge) return false;
    if (v->prefix_space != back->prefix_space || (v->prefix_space && unless != back->prefix_unless_blank)) return false;
    if (v->squeeze != back->squeeze || v->nfc != back->nfc || v->nfkc != back->nfkc) return false;
    if (v->lowercase != back->lowercase || v->charsmap_len != back->charsmap_len) return false;
    if (v->charsmap_len && memcmp(v->charsmap, back->charsmap, v->charsmap_len) != 0) return false;
    if (v->bos != back->bos || v->eos != back->eos || v->unk != back->unk || v->pad != back->pad) return false;
    if (v->add_bos != back->add_bos || v->add_eos != back->add_eos) return false;
    for (size_t id = 0; id < v->n; id++)
        if (!same_piece(v, back, id)) return false;
    return w->n_merge == 0 || memcmp(w->merge, back->merge, 3 * w->n_merge * sizeof *w->merge) == 0;
}

void nn_tj_note_spm(nn_tok_json_notes *notes, const writer *w)
{
    const nn_vocab *v = w->v;

    notes->ties = w->ties;
    for (size_t id = 0; v->prefix_space && !is_metaspace(v) && id < v->n; id++)
        notes->users += v->piece[id].type == NN_PIECE_USER;
    notes->other_space = v->squeeze && !v->charsmap;
}

/* --- scores beside merges ---------------------------------------------------------------------------------------- */

static int by_ids(const void *a, const void *b)
{
    const int32_t *x = a, *y = b;

    if (x[0] != y[0]) return x[0] < y[0] ? -1 : 1;
    return x[1] < y[1] ? -1 : (x[1] > y[1] ? 1 : 0);
}

nn_status nn_tok_same_spm(bool *same, const nn_tok *scores, const nn_tok *merges, nn_err *err)
{
    writer w = {.t = scores};
    nn_vocab back;
    nn_status st;

    *same = false;
    if (nn_tok_is_own(scores) || nn_tok_is_own(merges)) return NN_OK;
    w.v = &scores->other->source;
    if (w.v->model != NN_TOK_SPM || w.v->n_merge > 0 || merges->other->source.n_merge == 0) return NN_OK;
    if ((st = nn_vocab_copy(&back, &merges->other->source, err)) != NN_OK) return st;
    for (size_t i = 0, end; i < back.n_merge; i = end) { /* ways to one piece, in the order of find_merges */
        for (end = i; end < back.n_merge && back.merge[3 * end + 2] == back.merge[3 * i + 2];) end++;
        qsort(back.merge + 3 * i, end - i, 3 * sizeof *back.merge, by_ids);
    }
    if ((st = nn_tj_find_merges(&w, err)) == NN_OK) *same = nn_tj_same_spm(&w, &back);
    nn_free(w.merge);
    nn_vocab_free(&back);
    return st;
}
