#!/usr/bin/env python3
"""hf_random.py - writes a Hugging Face folder of random weights in the shape of a 300M Mistral model, to measure with.

usage: tests/gen/hf_random.py FOLDER [layers=17]        (601 MB of bfloat16 with 17 layers; keep it outside the repository)

No tokenizer: run:open_model(FOLDER, { tokenizer = .. }) takes one of at most 32768 ids. Weights are between 0.008 and 0.031 in
size, either sign, from a fixed seed; norms are 1. Needs nothing beside Python 3.9.
"""
import json
import os
import random
import struct
import sys

VOCAB, WIDTH, FF, HEADS, KV_HEADS = 32768, 1024, 4096, 16, 8


def tensors(layers):
    head = WIDTH // HEADS
    yield "model.embed_tokens.weight", [VOCAB, WIDTH]
    for i in range(layers):
        p = f"model.layers.{i}."
        yield p + "input_layernorm.weight", [WIDTH]
        yield p + "self_attn.q_proj.weight", [HEADS * head, WIDTH]
        yield p + "self_attn.k_proj.weight", [KV_HEADS * head, WIDTH]
        yield p + "self_attn.v_proj.weight", [KV_HEADS * head, WIDTH]
        yield p + "self_attn.o_proj.weight", [WIDTH, HEADS * head]
        yield p + "post_attention_layernorm.weight", [WIDTH]
        yield p + "mlp.gate_proj.weight", [FF, WIDTH]
        yield p + "mlp.up_proj.weight", [FF, WIDTH]
        yield p + "mlp.down_proj.weight", [WIDTH, FF]
    yield "model.norm.weight", [WIDTH]


def values(rng, n, vector):
    if vector:
        return b"\x80\x3f" * n
    out = bytearray(rng.randbytes(2 * n))
    # The high byte of a bfloat16: sign, and an exponent of -7 or -6 with the low byte's first bit.
    out[1::2] = bytes(out[1::2]).translate(bytes(0x3C | (b & 0x80) for b in range(256)))
    return bytes(out)


def main():
    folder, layers = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 17
    os.makedirs(folder, exist_ok=True)
    config = {"architectures": ["MistralForCausalLM"], "model_type": "mistral", "vocab_size": VOCAB, "hidden_size": WIDTH,
              "intermediate_size": FF, "num_hidden_layers": layers, "num_attention_heads": HEADS,
              "num_key_value_heads": KV_HEADS, "max_position_embeddings": 4096, "sliding_window": 4096, "rms_norm_eps": 1e-5,
              "rope_theta": 10000.0, "tie_word_embeddings": True, "hidden_act": "silu", "torch_dtype": "bfloat16",
              "bos_token_id": 1, "eos_token_id": 2}
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(config, f, indent=1)
    header, at, rng = {}, 0, random.Random(1)
    for name, shape in tensors(layers):
        n = 1
        for d in shape:
            n *= d
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + 2 * n]}
        at += 2 * n
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(folder, "model.safetensors"), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for name, shape in tensors(layers):
            count = shape[0] * (shape[1] if len(shape) > 1 else 1)
            f.write(values(rng, count, len(shape) == 1))
    print(f"{folder}: {at // 2} weights")


main()
