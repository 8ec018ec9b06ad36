/* tok_json_write_impl.h - a tokenizer.json being written; private to tok_json_write*.c.
 *
 * Reads: tok_impl.h, sink.h.   Read next: tok_json_write.c (the file as a whole), tok_json_write_spm.c (what differs
 * with SentencePiece's models).
 */
#ifndef NN_TOK_JSON_WRITE_IMPL_H
#define NN_TOK_JSON_WRITE_IMPL_H
#include "nn/sink.h"
#include "nn/tok_impl.h"
#include "nn/tok_json_write.h"
#include "nn/tok_saved.h"

typedef struct {
    nn_sink s;
    const nn_tok *t;
    const nn_vocab *v; /* NULL: ours */
    int32_t *merge;    /* [n_merge, 3] as in nn_vocab: of a SentencePiece BPE, what its scores stand for; owned */
    size_t n_merge;
    size_t ties; /* among the scores of pieces that merging makes */
    char text[NN_SAVED_SPELLING + 1];
} nn_tok_json_writer;

void nn_tj_put(nn_tok_json_writer *w, const char *text);
void nn_tj_number(nn_tok_json_writer *w, size_t n);
void nn_tj_flag(nn_tok_json_writer *w, const char *before, bool flag);
/* As the vocabulary of the file has it: bytes as GPT-2 prints them, or <0x0A>; all else as it is. */
void nn_tj_token(nn_tok_json_writer *w, size_t id);
/* "merges": with `step` ids a merge. */
void nn_tj_merges(nn_tok_json_writer *w, const int32_t *merge, size_t n, size_t step);
/* "vocab": an object of ids by text. */
void nn_tj_ids(nn_tok_json_writer *w);

/* --- tok_json_write_spm.c ------------------------------------------------------------------------------------ */
/* Fills w->merge. */
NN_CHECKED nn_status nn_tj_find_merges(nn_tok_json_writer *w, nn_err *err);
void nn_tj_spm_normalizer(nn_tok_json_writer *w); /* each with its key and, but for the model, a comma */
void nn_tj_spm_pre_tokenizer(nn_tok_json_writer *w);
void nn_tj_spm_decoder(nn_tok_json_writer *w);
void nn_tj_spm_model(nn_tok_json_writer *w);
/* Whether what was read back says the same, though not with the same fields. */
bool nn_tj_same_spm(const nn_tok_json_writer *w, const nn_vocab *back);
void nn_tj_note_spm(nn_tok_json_notes *notes, const nn_tok_json_writer *w);
#endif
