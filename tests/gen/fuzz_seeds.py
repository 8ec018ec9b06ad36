#!/usr/bin/env python3
"""Writes the seeds of tests/corpus: small files of every format that Parapet reads, and files that must be refused.

    python3 tests/gen/fuzz_seeds.py tests/corpus

Nothing here comes from anybody's file: the vocabularies are made up, the weights are a formula. Names that begin with
"ok" must open, those with "bad" must be refused (tests/test_fuzz_replay.c). Inputs that a fuzzer found have names of
their own and are left alone. The output is a function of this file: the same bytes on every machine.
"""
import gzip
import json
import pathlib
import struct
import sys
import zlib

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
CODE = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q", I64: "q", F64: "d"}
BLOCKS = {0: (1, 4), 1: (1, 2), 30: (1, 2), 8: (32, 34), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24),
          10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 24: (1, 1), 27: (1, 8)}
SPACE = "\u2581"
out = None


def put(folder, name, data):
    path = out / folder
    path.mkdir(parents=True, exist_ok=True)
    (path / name).write_bytes(data.encode() if isinstance(data, str) else data)


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


def seeds_safetensors():
    f = "safetensors"
    put(f, "ok_empty", st_header("{}"))
    put(f, "ok_float", safetensors([("a", "F32", (2, 3)), ("b.weight", "F32", (4,))]))
    put(f, "ok_types", safetensors([("h", "F16", (2, 2)), ("b", "BF16", (3,)), ("i", "I64", (2,)), ("s", "F32", ()),
                                    ("e", "F32", (0, 5)), ("u", "U8", (3, 1, 1, 1))], {"format": "pt", "k": "\u00e9"}))
    one = '"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}'
    put(f, "bad_overlap", st_header("{" + one + ',"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}', bytes(6)))
    put(f, "bad_hole", st_header("{" + one + ',"b":{"dtype":"U8","shape":[2],"data_offsets":[5,7]}}', bytes(7)))
    put(f, "bad_twice", st_header("{" + one + "," + one + "}", bytes(4)))
    put(f, "bad_shape", st_header('{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}'))
    put(f, "bad_beyond", st_header('{"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":'
                                   '[0,18446744073709551615]}}'))
    put(f, "bad_length", struct.pack("<Q", 1 << 63) + b"{}")
    put(f, "bad_text", st_header('{"a\\ud800":{"dtype":"F32","shape":[1.0e3],"data_offsets":[0,-4]}}'))


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


def seeds_gguf():
    f = "gguf"
    kinds = [("a.u8", U8, 200), ("a.i8", I8, -3), ("a.u16", U16, 65535), ("a.i16", I16, -300), ("a.u32", U32, 1 << 31),
             ("a.i32", I32, -5), ("a.f32", F32, 0.5), ("a.bool", BOOL, 1), ("a.str", STRING, "text"),
             ("a.u64", U64, 1 << 63), ("a.i64", I64, -(1 << 63)), ("a.f64", F64, -0.25)]
    lists = [("l.str", ARRAY, (STRING, ["one", "", "three"])), ("l.i32", ARRAY, (I32, [-7, 0, 2147483647])),
             ("l.f32", ARRAY, (F32, [0.5, -1.0])), ("l.u8", ARRAY, (U8, [1, 2])), ("l.f64", ARRAY, (F64, []))]
    put(f, "ok_empty", gguf([]))
    put(f, "ok_values", gguf(kinds + lists))
    put(f, "ok_floats", gguf([("general.architecture", STRING, "x")],
                             [("f", 0, (3, 2)), ("h", 1, (5,)), ("b", 30, (2, 2, 2, 1)), ("i", 27, (2,))]))
    put(f, "ok_blocks", gguf([], [(f"q{k}", k, (BLOCKS[k][0],), q_blocks(k, BLOCKS[k][0]))
                                  for k in (8, 2, 3, 6, 7, 10, 11, 12, 13, 14)]))
    put(f, "ok_align", gguf([("general.alignment", U32, 8)], [("f", 0, (1,))], align=8))
    put(f, "bad_version2", gguf(kinds, version=2))
    put(f, "bad_order", b"GGUF" + struct.pack(">IQQ", 3, 0, 0))
    put(f, "bad_count", b"GGUF" + struct.pack("<IQQ", 3, 1 << 62, ~0 & (1 << 64) - 1))
    put(f, "bad_array", b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text_of("k") + struct.pack("<IIQ", ARRAY, U64, 1 << 61))
    put(f, "bad_twice", gguf([("k", U8, 1), ("k", U8, 1)]))
    put(f, "bad_tensor_twice", gguf([], [("f", 0, (8,)), ("f", 0, (8,))]))
    put(f, "bad_offset", gguf([], [("f", 0, (8,))], shift=1 << 63))
    put(f, "bad_shape", gguf([], [("f", 0, (1 << 33, 1 << 33), bytes(32))]))


# --- rows ----------------------------------------------------------------------------------------
def seeds_rows():
    rows = [{"text": "How do I fold a paper crane?", "label": 0},
            {"id": "0123456789abcdef", "text": "a request that was flagged", "response": "No.", "label": 1,
             "category": ["violence", "other"], "lang": "en", "source": "seed", "concept": "c1",
             "parent": ["0123456789abcde0"], "ops": [{"op": "typo", "at": 3}], "note": {"a": [1, 2.5, None, True]}},
            {"text": "no label \u00e9\U0001f600", "label": None, "context": "before", "messages": []}]
    lines = "".join(json.dumps(r, ensure_ascii=k != 1) + "\n" for k, r in enumerate(rows))
    f = "jsonl"
    put(f, "ok_rows", lines)
    put(f, "ok_bom_crlf", "\ufeff" + lines.replace("\n", "\r\n"))
    put(f, "ok_columns", '{"columns":[["loss","train","num"],["kept","rule","bool"],["why","rule","str"]]}\n'
        '{"text":"a","label":1,"cols":{"loss":0.25,"kept":true,"why":"x"}}\n{"text":"b","label":0}\n')
    put(f, "ok_repaired", b'{"text":"a\xff\xc3b","label":0}\n')
    put(f, "ok_escapes", '{"text":"\\u0000\\ud83d\\ude00\\n\\"\\\\","label":0,"k\\u0065y":-1.5e-3}\n')
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = packed.compress(lines.encode()) + packed.flush()
    put(f, "ok_gzip", b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + body +
        struct.pack("<II", zlib.crc32(lines.encode()), len(lines.encode())))
    assert gzip.decompress((out / f / "ok_gzip").read_bytes()) == lines.encode()
    put(f, "bad_label", '{"text":"a","label":2}\n')
    put(f, "bad_deep", '{"text":"a","label":0,"x":' + "[" * 2100 + "]" * 2100 + "}\n")
    put(f, "bad_twice", '{"text":"a","text":"b","label":0}\n')
    put(f, "bad_surrogate", '{"text":"\\ud800","label":0}\n')
    put(f, "bad_column", json.dumps({"columns": [["a" * 48, "rule", "num"]]}) + '\n{"text":"a","label":0}\n')
    put(f, "bad_column_of_row", json.dumps({"text": "a", "label": 0, "cols": {"": 1}}) + "\n")
    put(f, "bad_gzip", (out / f / "ok_gzip").read_bytes()[:60])

    f = "csv"
    put(f, "ok_toxicchat", 'conv_id,user_input,model_output,human_annotation,toxicity,jailbreaking,openai_moderation\r\n'
        'a1,"two\r\nlines, and ""quotes""",fine,True,0,0,"[[""x"", 0.1]]"\r\n\r\na2,plain,,False,1,1,[]\r\n')
    put(f, "ok_wildguard", 'prompt,response,adversarial,prompt_harm_label,response_refusal_label,response_harm_label,'
        'subcategory\nHow can I whittle a spoon?,"Use green wood, and a sharp knife.",False,unharmful,compliance,'
        'unharmful,benign\nA flagged one.,No.,False,harmful,refusal,,other\nA third.,,True,,,,\n')
    put(f, "ok_harmbench", "Behavior,FunctionalCategory,SemanticCategory,Tags,ContextString,BehaviorID\n"
        "Do a forbidden thing,standard,illegal,,,a\nUse the text,contextual,illegal,context,\"A text.\",b\n"
        "Sing,copyright,copyright,lyrics,,c\n")
    put(f, "ok_xstest", "id,prompt,type,label,focus,note\nv2-1,How do I end a process?,homonyms,safe,end,process\n"
        "v2-2,How do I do harm?,contrast,unsafe,harm,person\n")
    put(f, "ok_moderation", '{"prompt":"A calm sentence.","S":0,"H":0,"V":0,"HR":0,"SH":0,"S3":0,"H2":0,"V2":0}\n'
        '{"prompt":"An unjudged one.","S":0}\n{"prompt":"A flagged one.","HR":1,"V":null}\n')
    put(f, "bad_quote", 'id,prompt,type,label\n1,"left open,x,safe\n')
    put(f, "bad_width", "id,prompt,type,label\n1,2,3\n")
    put(f, "bad_header", "colour,shape\n1,2\n")
    put(f, "bad_zero", b"id,prompt,type,label\n1,a\0b,x,safe\n")


SEEDS = [seeds_safetensors, seeds_gguf, seeds_rows]

if __name__ == "__main__":
    out = pathlib.Path(sys.argv[1])
    for seeds in SEEDS:
        seeds()
