#include "guard/label.h"
#include "guard/classify_impl.h"
#include <stdio.h>
#include <string.h>

nn_status guard_check_base(const nn_pretrained *p, const nn_tok *tok, size_t window, nn_err *err)
{
    const nn_config *c = nn_pretrained_config(p);

    if (nn_tok_vocab(tok) > c->vocab)
        return nn_fail(err, NN_USAGE, "%s: embeddings of %zu ids, want at least the tokenizer's %zu",
                       nn_pretrained_path(p), c->vocab, nn_tok_vocab(tok));
    if (window > c->max_t)
        return nn_fail(err, NN_USAGE, "%s: a context of %zu tokens, want a window of at most that, not %zu",
                       nn_pretrained_path(p), c->max_t, window);
    return NN_OK;
}

nn_status guard_label_head(nn_model *m, const nn_pretrained *p, const int32_t label[2], nn_err *err)
{
    const size_t C = nn_model_config(m)->width;
    nn_tensor head;
    nn_status st = NN_OK;

    if (!nn_model_find(m, "cls.output.weight", &head) || head.rows != 2 || head.cols != C || !head.data)
        return nn_fail(err, NN_USAGE, "%s: no verdict head of the model's width, want pool 'last'",
                       nn_pretrained_path(p));
    for (size_t i = 0; i < 2 && st == NN_OK; i++)
        st = nn_pretrained_output_row(p, head.data + i * C, (size_t)label[i], err);
    return st;
}

static nn_status load(nn_model **m, const nn_pretrained *p, const int32_t label[2], size_t window, nn_err *err)
{
    const nn_load_options o = {.max_t = window, .n_class = 2, .pool = NN_POOL_LAST, .no_lm_head = true};
    nn_status st;

    if ((st = nn_pretrained_load(m, p, &o, err)) != NN_OK) return st;
    return guard_label_head(*m, p, label, err);
}

nn_status guard_from_labels(guard_classifier **out, const nn_pretrained *p, const nn_tok *tok, const guard_format *f,
                            const int32_t label[2], const guard_label_options *o, nn_err *err)
{
    guard_parts parts = {.window = o->window, .stride = o->stride, .format = *f};
    nn_status st;

    *out = NULL;
    snprintf(parts.name, sizeof parts.name, "%s", o->name);
    if (o->taxonomy) parts.taxonomy = *o->taxonomy;
    guard_parts_uncalibrated(&parts);
    if ((st = guard_check_base(p, tok, o->window, err)) != NN_OK) goto done;
    if ((st = nn_tok_clone(&parts.tok, tok, err)) != NN_OK) goto done;
    if ((st = load(&parts.m, p, label, o->window, err)) != NN_OK) goto done;
    st = guard_classifier_build(out, &parts, err);
done:
    if (st != NN_OK) {
        nn_tok_free(parts.tok);
        nn_model_free(parts.m);
    }
    return st;
}
