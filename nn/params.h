/* params.h - the table of weights: one row a tensor, from which everything about tensors is generated.
 *
 * Reads: model.h.   Read next: model_impl.h (the structs made from it), model.c (the walk over it).
 * Why: a tensor's name, shape, initialiser, decay and learning-rate group are written once. Adding a tensor to the
 * model is adding a row here and its use in model_body.c and trainer_bwd.c; files, optimiser, hash and prints follow.
 *
 * X(field, our name, gguf name, rows, cols, initialiser, decay, learning-rate group, present when)
 *   names        Hugging Face's Llama and Qwen3; llama.cpp's. Inside a layer without "model.layers.N." and "blk.N."
 *   rows, cols   of the row-major matrix [out, in]; rows 1 is a vector. `c` is the configuration.
 *   initialiser  NN_INIT_* of model_impl.h
 */
#ifndef NN_PARAMS_H
#define NN_PARAMS_H

#define NN_PARAMS_FRONT(X)                                                                                            \
    X(embed, "model.embed_tokens.weight", "token_embd.weight", c->vocab, c->width, NORMAL, true, EMBED, true)         \
    X(memory, "guard.memory.weight", "guard.memory.weight", c->memory_rows, c->width, SMALL, true, MEMORY,            \
      c->memory_rows > 0)

#define NN_PARAMS_LAYER(X)                                                                                            \
    X(attn_norm, "input_layernorm.weight", "attn_norm.weight", 1, c->width, ONE, false, BODY, true)                   \
    X(q, "self_attn.q_proj.weight", "attn_q.weight", c->heads * c->head_dim, c->width, NORMAL, true, BODY, true)      \
    X(k, "self_attn.k_proj.weight", "attn_k.weight", c->kv_heads * c->head_dim, c->width, NORMAL, true, BODY, true)   \
    X(v, "self_attn.v_proj.weight", "attn_v.weight", c->kv_heads * c->head_dim, c->width, NORMAL, true, BODY, true)   \
    X(q_bias, "self_attn.q_proj.bias", "attn_q.bias", 1, c->heads * c->head_dim, ZERO, false, BODY, c->qkv_bias)      \
    X(k_bias, "self_attn.k_proj.bias", "attn_k.bias", 1, c->kv_heads * c->head_dim, ZERO, false, BODY, c->qkv_bias)   \
    X(v_bias, "self_attn.v_proj.bias", "attn_v.bias", 1, c->kv_heads * c->head_dim, ZERO, false, BODY, c->qkv_bias)   \
    X(q_norm, "self_attn.q_norm.weight", "attn_q_norm.weight", 1, c->head_dim, ONE, false, BODY, c->qk_norm)          \
    X(k_norm, "self_attn.k_norm.weight", "attn_k_norm.weight", 1, c->head_dim, ONE, false, BODY, c->qk_norm)          \
    X(o, "self_attn.o_proj.weight", "attn_output.weight", c->width, c->heads * c->head_dim,                           \
      RESIDUAL, true, BODY, true)                                                                                     \
    X(ffn_norm, "post_attention_layernorm.weight", "ffn_norm.weight", 1, c->width, ONE, false, BODY, true)            \
    X(gate, "mlp.gate_proj.weight", "ffn_gate.weight", c->ff, c->width, NORMAL, true, BODY, true)                     \
    X(up, "mlp.up_proj.weight", "ffn_up.weight", c->ff, c->width, NORMAL, true, BODY, true)                           \
    X(down, "mlp.down_proj.weight", "ffn_down.weight", c->width, c->ff, RESIDUAL, true, BODY, true)

#define NN_PARAMS_BACK(X)                                                                                             \
    X(norm, "model.norm.weight", "output_norm.weight", 1, c->width, ONE, false, BODY, true)                           \
    X(output, "lm_head.weight", "output.weight", c->vocab, c->width, NORMAL, true, HEADS, c->lm_head && !c->tied)     \
    X(verdict, "cls.output.weight", "cls.output.weight", c->n_class, nn_pool_width(c), SMALL, true, HEADS,            \
      c->n_class > 0)                                                                                                 \
    X(category, "guard.category.weight", "guard.category.weight", c->n_category, nn_pool_width(c), SMALL, true, HEADS,\
      c->n_category > 0)
#endif
