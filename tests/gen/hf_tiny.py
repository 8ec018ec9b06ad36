#!/usr/bin/env python3
"""Golden logits for tests/test_pretrained_hf.c, from Hugging Face transformers.

Each case is a config.json. Its weights are a formula of the tensor's name and the index, which the test computes too:
no weights are kept. Printed: six logits of two rows each. Made with the modeling code of transformers 4.55.0.

    python3 tests/gen/hf_tiny.py            (needs transformers and torch)
"""
import json

import torch
from transformers import AutoConfig, AutoModelForCausalLM

T = 24
BASE = {
    "hidden_size": 32, "intermediate_size": 56, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 48, "max_position_embeddings": 128, "rms_norm_eps": 1e-5,
    "hidden_act": "silu", "bos_token_id": 1, "eos_token_id": 2,
}
CASES = {
    "llama_wide_heads": {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "head_dim": 16,
                         "rope_theta": 10000.0, "tie_word_embeddings": True},
    "llama_llama3": {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "head_dim": 16,
                     "rope_theta": 10000.0, "tie_word_embeddings": False,
                     "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                                      "high_freq_factor": 4.0, "original_max_position_embeddings": 64}},
    "llama_linear": {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "rope_theta": 500000.0,
                     "tie_word_embeddings": False, "rope_scaling": {"type": "linear", "factor": 4.0}},
    "mistral_window": {"model_type": "mistral", "architectures": ["MistralForCausalLM"], "rope_theta": 10000.0,
                       "tie_word_embeddings": False, "sliding_window": 5},
    "qwen2_biases": {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "rope_theta": 1000000.0,
                     "tie_word_embeddings": True, "use_sliding_window": False, "sliding_window": 4096,
                     "max_window_layers": 1},
    "qwen2_window": {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "rope_theta": 10000.0,
                     "tie_word_embeddings": True, "use_sliding_window": True, "sliding_window": 7,
                     "max_window_layers": 0},
    "qwen3_norms": {"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "head_dim": 16,
                    "rope_theta": 1000000.0, "tie_word_embeddings": True, "attention_bias": False,
                    "use_sliding_window": False, "sliding_window": None},
}


def fnv1a(name):
    h = 0x811C9DC5
    for c in name.encode():
        h = (h ^ c) * 0x01000193 & 0xFFFFFFFF
    return h


def weights(name, n):
    """24 mixed bits as a number in [-1/2, 1/2); around 1 for a norm."""
    seed = fnv1a(name)
    out = []
    for i in range(n):
        x = seed + i * 0x9E3779B1 & 0xFFFFFFFF
        x ^= x >> 16
        x = x * 0x85EBCA6B & 0xFFFFFFFF
        x ^= x >> 13
        x = x * 0xC2B2AE35 & 0xFFFFFFFF
        x ^= x >> 16
        v = ((x >> 8) - (1 << 23)) / (1 << 24)
        out.append(1.0 + v / 2 if "norm" in name else v)
    return out


def ids():
    return [1] + [(7 * i * i + 3 * i + 5) % 48 for i in range(1, T)]


def logits(case):
    config = AutoConfig.for_model(**{**BASE, **CASES[case]})
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").double().eval()
    state = model.state_dict()
    for name, t in state.items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        t.copy_(torch.tensor(weights(name, t.numel()), dtype=torch.float32).double().reshape(t.shape))
    if config.tie_word_embeddings:
        model.lm_head.weight = model.model.embed_tokens.weight
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids()]), use_cache=False).logits[0]


def main():
    for case in CASES:
        out = logits(case)
        print(case, json.dumps({**BASE, **CASES[case]}))
        for row in (T // 2, T - 1):
            print("    {" + ", ".join("%.9g" % v for v in out[row, :6].tolist()) + "},")


if __name__ == "__main__":
    main()
