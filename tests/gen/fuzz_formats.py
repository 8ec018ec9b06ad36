"""What tests/gen/fuzz_seeds.py writes: small files in the formats that Parapet reads, numbers by a formula."""
import json
import struct

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
CODE = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q", I64: "q", F64: "d"}
BLOCKS = {0: (1, 4), 1: (1, 2), 30: (1, 2), 8: (32, 34), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24),
          10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 24: (1, 1), 27: (1, 8)}


def weight(i):
    """Small, no two neighbours alike, exact in half precision."""
    return ((i * 37) % 61 - 30) / 256


def floats(n, start=0):
    return struct.pack(f"<{n}f", *(weight(start + i) for i in range(n)))


def halves(n, start=0):
    return struct.pack(f"<{n}e", *(weight(start + i) for i in range(n)))


# --- safetensors ---------------------------------------------------------------------------------
WIDTH = {"F32": 4, "F16": 2, "BF16": 2, "I64": 8, "U8": 1, "BOOL": 1, "F64": 8}


def count(shape):
    n = 1
    for d in shape:
        n *= d
    return n


def safetensors(tensors, meta=None, tail=b""):
    """tensors: (name, dtype, shape[, bytes])"""
    head, data = {}, b""
    if meta:
        head["__metadata__"] = meta
    for name, dtype, shape, *given in tensors:
        n = count(shape)
        body = given[0] if given else halves(n, len(data)) if dtype == "F16" else \
            b"".join(floats(1, len(data) + i)[2:] for i in range(n)) if dtype == "BF16" else \
            floats(n, len(data)) if dtype == "F32" else bytes(n * WIDTH[dtype])
        head[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [len(data), len(data) + len(body)]}
        data += body
    text = json.dumps(head, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + data + tail


def st_header(text, data=b""):
    return struct.pack("<Q", len(text)) + text.encode() + data


# --- GGUF ----------------------------------------------------------------------------------------
def text_of(s):
    b = s if isinstance(s, bytes) else s.encode()
    return struct.pack("<Q", len(b)) + b


def value(kind, v):
    if kind == STRING:
        return text_of(v)
    if kind == ARRAY:
        of, items = v
        return struct.pack("<IQ", of, len(items)) + b"".join(value(of, x) for x in items)
    return struct.pack("<" + CODE[kind], v)


def gguf(keys, tensors=(), version=3, align=32, shift=0):
    """keys: (name, kind, value); tensors: (name, type, dims innermost first[, bytes])"""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(keys))
    for name, kind, v in keys:
        head += text_of(name) + struct.pack("<I", kind) + value(kind, v)
    data = b""
    for name, kind, dims, *given in tensors:
        per, size = BLOCKS[kind]
        n = count(dims)
        body = given[0] if given else floats(n, len(data)) if kind == 0 else halves(n, len(data)) if kind == 1 else \
            bytes(n // per * size)
        data += bytes(-len(data) % align)
        head += text_of(name) + struct.pack("<I", len(dims)) + struct.pack(f"<{len(dims)}Q", *dims)
        head += struct.pack("<IQ", kind, len(data) + shift)
        data += body
    return head + (bytes(-len(head) % align) + data if tensors else b"")


def q_blocks(kind, n):
    """Blocks whose bytes count up, with the 16-bit scales (wherever they stand) made finite."""
    per, size = BLOCKS[kind]
    body = bytearray((7 * i + 3) & 0x3b for i in range(n // per * size))
    return bytes(body)


# --- protocol buffers ----------------------------------------------------------------------------
def varint(v):
    v &= (1 << 64) - 1
    b = b""
    while v >= 0x80:
        b += bytes([v & 0x7f | 0x80])
        v >>= 7
    return b + bytes([v])


def field(number, v):
    """An int as a varint, a float as four bytes, text or bytes with its length."""
    if isinstance(v, float):
        return varint(number << 3 | 5) + struct.pack("<f", v)
    if isinstance(v, int):
        return varint(number << 3) + varint(v)
    b = v.encode() if isinstance(v, str) else v
    return varint(number << 3 | 2) + varint(len(b)) + b


# --- models --------------------------------------------------------------------------------------
HF_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
            "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
            "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm",
            "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
            "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}


def tensors_of(c, bias=False, qk_norm=False):
    """(GGUF name, rows or 0, cols) of a configuration {V L C H K D F tied}."""
    q, k = c["H"] * c["D"], c["K"] * c["D"]
    layer = [("attn_norm.weight", 0, c["C"]), ("attn_q.weight", q, c["C"]), ("attn_k.weight", k, c["C"]),
             ("attn_v.weight", k, c["C"]), ("attn_output.weight", c["C"], q), ("ffn_norm.weight", 0, c["C"]),
             ("ffn_gate.weight", c["F"], c["C"]), ("ffn_up.weight", c["F"], c["C"]),
             ("ffn_down.weight", c["C"], c["F"])]
    if bias:
        layer += [("attn_q.bias", 0, q), ("attn_k.bias", 0, k), ("attn_v.bias", 0, k)]
    if qk_norm:
        layer += [("attn_q_norm.weight", 0, c["D"]), ("attn_k_norm.weight", 0, c["D"])]
    all_of = [("token_embd.weight", c["V"], c["C"])]
    all_of += [(f"blk.{n}.{name}", r, w) for n in range(c["L"]) for name, r, w in layer]
    all_of.append(("output_norm.weight", 0, c["C"]))
    return all_of + ([] if c["tied"] else [("output.weight", c["V"], c["C"])])


def hf_name(name):
    part = name.split(".")
    layer = f"model.layers.{part[1]}." if part[0] == "blk" else ""
    return f"{layer}{HF_NAMES[part[-2]]}.{part[-1]}"


def gguf_model(arch, c, keys=(), kind=0, bias=False, qk_norm=False):
    """kind: the type of matrices whose rows are whole blocks of it; other tensors are F32, or F16 beside big blocks."""
    a = arch + "."
    head = [("general.architecture", STRING, arch), (a + "block_count", U32, c["L"]),
            (a + "context_length", U32, c["T"]), (a + "embedding_length", U32, c["C"]),
            (a + "feed_forward_length", U32, c["F"]),
            (a + "attention.head_count", U32, c["H"]), (a + "attention.head_count_kv", U32, c["K"]),
            (a + "attention.key_length", U32, c["D"]), (a + "attention.value_length", U32, c["D"]),
            (a + "rope.dimension_count", U32, c["D"]), (a + "rope.freq_base", F32, 10000.0),
            (a + "attention.layer_norm_rms_epsilon", F32, 1e-5), (a + "vocab_size", U32, c["V"])]
    per = BLOCKS[kind][0]
    tensors = []
    for name, rows, cols in tensors_of(c, bias, qk_norm):
        dims = (cols, rows) if rows else (cols,)
        if rows and cols % per == 0:
            n = rows * cols
            tensors.append((name, kind, dims, q_blocks(kind, n)) if per > 1 else (name, kind, dims))
        else:
            tensors.append((name, 1 if per == 256 else 0, dims))
    return gguf(head + list(keys), tensors)


def llama2c_model(c, version=0):
    by_name = {name: rows * cols if rows else cols for name, rows, cols in tensors_of(dict(c, tied=False))}
    kinds = ["attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_down", "ffn_up"]

    def all_of(kind):
        return b"".join(floats(n, len(name)) for name, n in by_name.items()
                        if name.split(".")[-2] == kind and name.endswith("weight"))

    vocab = c["V"] if c["tied"] or version else -c["V"]
    numbers = struct.pack("<7i", c["C"], c["F"], c["L"], c["H"], c["K"], vocab, c["T"])
    if version == 0:
        order = ["token_embd"] + kinds + ["output_norm"]
        return numbers + b"".join(map(all_of, order)) + bytes(4 * c["T"] * c["D"]) + \
            (b"" if c["tied"] else all_of("output"))
    order = ["attn_norm", "ffn_norm", "output_norm", "token_embd", "attn_q", "attn_k", "attn_v", "attn_output",
             "ffn_gate", "ffn_down", "ffn_up"] + ([] if c["tied"] else ["output"])
    head = struct.pack("<2I", 0x616b3432, version) + numbers + bytes([c["tied"]])
    return head + bytes(256 - len(head)) + b"".join(map(all_of, order))
