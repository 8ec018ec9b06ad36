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

from fuzz_formats import *  # noqa: F403

out = None


def put(folder, name, data):
    path = out / folder
    path.mkdir(parents=True, exist_ok=True)
    (path / name).write_bytes(data.encode() if isinstance(data, str) else data)


# --- safetensors ---------------------------------------------------------------------------------
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
    put(f, "bad_array", b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text_of("k") +
        struct.pack("<IIQ", ARRAY, U64, 1 << 61))
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
    body = lines.encode() # as a stored block: what a compressor makes of it depends on the compressor
    put(f, "ok_gzip", b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01" + struct.pack("<HH", len(body), len(body) ^ 0xffff) + body +
        struct.pack("<II", zlib.crc32(body), len(body)))
    assert gzip.decompress((out / f / "ok_gzip").read_bytes()) == lines.encode()
    put(f, "bad_label", '{"text":"a","label":2}\n')
    put(f, "bad_deep", '{"text":"a","label":0,"x":' + "[" * 2100 + "]" * 2100 + "}\n")
    put(f, "bad_twice", '{"text":"a","text":"b","label":0}\n')
    put(f, "bad_surrogate", '{"text":"\\ud800","label":0}\n')
    put(f, "bad_column", json.dumps({"columns": [["a" * 48, "rule", "num"]]}) + '\n{"text":"a","label":0}\n')
    put(f, "bad_column_of_row", json.dumps({"text": "a", "label": 0, "cols": {"": 1}}) + "\n")
    put(f, "bad_gzip", (out / f / "ok_gzip").read_bytes()[:60])

    f = "csv"
    put(f, "ok_toxicchat", 'conv_id,user_input,model_output,human_annotation,toxicity,jailbreaking,openai_moderation'
        '\r\n'
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


# --- vocabularies --------------------------------------------------------------------------------
SPACE = "\u2581"
NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
WORDS = [SPACE, "e", "l", "o", "h", "a", "s", "x", "<", ">", "1", "2", "!", "ll", "he", SPACE + "h", "llo", "hello",
         SPACE + "hello", "\u4f60", "\u00e9"]
SEPARATOR = "\n====\n"


def pieces(with_bytes=False):
    """(text, score, type) of a vocabulary with SentencePiece's habits."""
    v = [("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL)]
    if with_bytes:
        v += [(f"<0x{b:02X}>", 0.0, BYTE) for b in range(256)]
    return v + [(w, -float(i) - 1, NORMAL) for i, w in enumerate(WORDS)] + [("<|user|>", 0.0, USER)]


def holed():
    return [(t if i != 8 else "", s, k) for i, (t, s, k) in enumerate(pieces())]


def byte_spelling():
    """GPT-2's character of each byte: itself when it prints, else the next from U+0100 on."""
    prints = [*range(33, 127), *range(161, 173), *range(174, 256)]
    at = iter(range(256, 512))
    return [chr(b) if b in prints else chr(next(at)) for b in range(256)]


def bpe():
    """Byte-level tokens and merges."""
    tokens = byte_spelling()
    blank = tokens[32]
    merges = [("l", "l"), ("h", "e"), (blank, "h"), ("he", "ll"), ("hell", "o"), ("1", "2"), (blank, "hello")]
    return tokens + [a + b for a, b in merges], merges


def vocabulary_keys(model, v, pre=None, merges=(), types=True, extra=()):
    k = "tokenizer.ggml."
    keys = [(k + "model", STRING, model), (k + "tokens", ARRAY, (STRING, [t for t, _, _ in v]))]
    if pre:
        keys += [(k + "pre", STRING, pre), (k + "merges", ARRAY, (STRING, [a + " " + b for a, b in merges]))]
    else:
        keys.append((k + "scores", ARRAY, (F32, [s for _, s, _ in v])))
    if types:
        keys.append((k + "token_type", ARRAY, (I32, [t for _, _, t in v])))
    return keys + [(k + name, kind, x) for name, kind, x in extra]


def charsmap():
    """SentencePiece's precompiled normalizer of one rule: a double-array trie (Aoe 1989) that knows no text."""
    return struct.pack("<I", 4 * 256) + bytes(4 * 256) + b"a\0"


def seeds_tok_gguf():
    f = "tok_gguf"
    tokens, merges = bpe()
    plain = [(t, 0.0, NORMAL) for t in tokens]
    for pre in ("gpt-2", "llama-bpe", "qwen2", "starcoder", "falcon"):
        bos = [("bos_token_id", U32, 0), ("add_bos_token", BOOL, pre == "qwen2")]
        put(f, "ok_" + pre, gguf(vocabulary_keys("gpt2", plain, pre, merges, types=False, extra=bos)))
    put(f, "ok_llama", gguf(vocabulary_keys("llama", pieces(), extra=[
        ("bos_token_id", U32, 1), ("eos_token_id", U32, 2), ("unknown_token_id", U32, 0),
        ("add_space_prefix", BOOL, 1)])))
    t5 = [("<pad>", 0.0, CONTROL), ("</s>", 0.0, CONTROL), ("<unk>", 0.0, UNKNOWN)] + pieces()[3:]
    put(f, "ok_t5", gguf(vocabulary_keys("t5", t5, extra=[("remove_extra_whitespaces", BOOL, 1)])))
    special = [(t, s, CONTROL if k == UNKNOWN else k) for t, s, k in pieces()]
    put(f, "ok_special_unknown", gguf(vocabulary_keys("llama", special, extra=[("unknown_token_id", U32, 0)])))
    put(f, "bad_unknown_is_bos", gguf(vocabulary_keys("llama", special, extra=[("unknown_token_id", U32, 1)])))
    put(f, "bad_merge", gguf(vocabulary_keys("gpt2", plain, "gpt-2", [("no", "token")], types=False)))
    put(f, "bad_pre", gguf(vocabulary_keys("gpt2", plain, "nobody-knows", merges, types=False)))
    put(f, "bad_special", gguf(vocabulary_keys("llama", pieces(), extra=[("bos_token_id", U32, 1000)])))
    put(f, "bad_scores", gguf(vocabulary_keys("llama", pieces())[:2] + [
        ("tokenizer.ggml.scores", ARRAY, (F32, [float("nan")] * len(pieces())))]))
    put(f, "bad_types", gguf(vocabulary_keys("llama", [(t, s, 9) for t, s, _ in pieces()])))
    put(f, "bad_hole", gguf(vocabulary_keys("llama", holed())))
    put(f, "bad_twice", gguf(vocabulary_keys("gpt2", plain + plain[:1], "gpt-2", merges, types=False)))
    put(f, "bad_model", gguf(vocabulary_keys("rwkv", pieces())))


def seeds_tok_model():
    f = "tok_model"
    number = {NORMAL: 1, UNKNOWN: 2, CONTROL: 3, USER: 4, UNUSED: 5, BYTE: 6}

    def model(v, kind=2, normalizer=field(3, 1) + field(4, 0), trainer=b"", tail=b""):
        b = b"".join(field(1, field(1, t) + field(2, s) + (field(3, number[k]) if k != NORMAL else b""))
                     for t, s, k in v)
        return b + field(2, field(3, kind) + trainer) + field(3, field(1, "identity") + normalizer) + tail

    put(f, "ok_bpe", model(pieces()))
    put(f, "ok_bytes", model(pieces(True)[:200] + pieces(True)[200:], trainer=field(35, 1)))
    put(f, "ok_unigram", model(pieces(), 1, field(3, 0) + field(4, 1)))
    no_blank = [p for p in pieces() if p[0] != SPACE]  # an unknown run goes over it
    put(f, "ok_no_blank", model(no_blank))
    put(f, "ok_no_blank_unigram", model(no_blank, 1))
    put(f, "ok_charsmap", model(pieces(), 1, field(2, charsmap())))
    put(f, "ok_unknown_fields", model(pieces(), tail=field(90, 7) + field(91, "text") + field(92, 0.5)))
    put(f, "bad_group", model(pieces(), tail=varint(93 << 3 | 3)))
    put(f, "bad_varint", model(pieces(), tail=b"\xff" * 11))
    put(f, "bad_length", model(pieces(), tail=varint(1 << 3 | 2) + varint(1 << 63)))
    put(f, "bad_kind", model(pieces(), 3))
    put(f, "bad_score", model([(t, float("nan"), k) for t, _, k in pieces()]))
    put(f, "bad_hole", model(holed()))
    put(f, "twice", model(pieces() + pieces()[5:6]))
    put(f, "bad_empty", b"")


def seeds_tok_llama2c():
    f = "tok_llama2c"

    def file(v, longest=None):
        v = [(t.replace(SPACE, " "), s) for t, s, _ in v]
        v[1:3] = [("\n<s>\n", 0.0), ("\n</s>\n", 0.0)]
        longest = max(len(t.encode()) for t, _ in v) if longest is None else longest
        return struct.pack("<I", longest) + b"".join(struct.pack("<fI", s, len(t.encode())) + t.encode() for t, s in v)

    put(f, "ok_bytes", file(pieces(True)[:-1]))
    put(f, "ok_small", file(pieces()[:-1]))
    put(f, "bad_length", file(pieces())[:4] + struct.pack("<fI", 0.0, 0xffffffff) + b"<unk>")
    put(f, "bad_longest", file(pieces(), 2))
    put(f, "bad_score", file([(t, float("inf"), k) for t, _, k in pieces()]))
    put(f, "bad_hole", file(holed()))


def tokenizer_json(model, normalizer=None, pre=None, decoder=None, post=None, added=()):
    return json.dumps({"version": "1.0", "truncation": None, "padding": None, "added_tokens": [
        {"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
         "special": s} for i, t, s in added], "normalizer": normalizer, "pre_tokenizer": pre, "post_processor": post,
        "decoder": decoder, "model": model}, ensure_ascii=False, separators=(",", ":"))


def bpe_json(vocab, merges, **options):
    return {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "vocab": vocab,
            "merges": merges, **options}


BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}


def llama_json(**options):
    """BPE over characters with bytes to fall back on, as Llama 2's file says it."""
    v = [("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL)]
    v += [(f"<0x{b:02X}>", 0.0, BYTE) for b in range(256)] + [(w, 0.0, NORMAL) for w in WORDS]
    model = bpe_json({t: i for i, (t, _, _) in enumerate(v)},
                     ["l l", "h e", SPACE + " h", "ll o", "he llo", SPACE + " hello"],
                     unk_token="<unk>", fuse_unk=True, byte_fallback=True, **options)
    normal = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": SPACE},
                                                  {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}]}
    decoder = {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
                                                {"type": "ByteFallback"}, {"type": "Fuse"},
                                                {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
    post = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                                                     {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}}
    return tokenizer_json(model, normal, None, decoder, post, [(0, "<unk>", True), (1, "<s>", True), (2, "</s>", True)])


def seeds_tok_json():
    f = "tok_json"
    tokens, merges = bpe()
    vocab = {t: i for i, t in enumerate(tokens)}
    n = len(tokens)
    added = [(n, "<|end|>", True), (n + 1, "<|user|>", False)]
    words = [[t, s] for t, s, _ in pieces()[:-1]]
    gpt2 = bpe_json(vocab, [a + " " + b for a, b in merges])
    put(f, "ok_gpt2", tokenizer_json(gpt2, None, BYTE_LEVEL, BYTE_LEVEL, BYTE_LEVEL, added) + SEPARATOR +
        json.dumps({"add_bos_token": False, "bos_token": "<|end|>", "eos_token": {"content": "<|end|>"},
                    "pad_token": None}))
    put(f, "ok_pairs", tokenizer_json(bpe_json(vocab, [list(m) for m in merges], ignore_merges=True), {"type": "NFC"},
                                      BYTE_LEVEL, BYTE_LEVEL, None, added))
    put(f, "ok_digits", tokenizer_json(gpt2, None, {"type": "Sequence", "pretokenizers": [
        {"type": "Digits", "individual_digits": True}, BYTE_LEVEL]}, BYTE_LEVEL, None, added))
    put(f, "ok_llama", llama_json())
    space = {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "always", "split": True}
    put(f, "ok_unigram", tokenizer_json({"type": "Unigram", "unk_id": 0, "vocab": words, "byte_fallback": False}, None,
                                        space, space, None, [(0, "<unk>", True), (1, "<s>", True), (2, "</s>", True)]))
    put(f, "bad_merge", tokenizer_json(bpe_json(vocab, ["no token"]), None, BYTE_LEVEL, BYTE_LEVEL))
    put(f, "bad_hole", tokenizer_json(bpe_json({**vocab, "hell": 4000}, []), None, BYTE_LEVEL, BYTE_LEVEL))
    put(f, "bad_type", tokenizer_json({"type": "WordPiece", "vocab": {}}))
    put(f, "bad_normalizer", tokenizer_json(gpt2, {"type": "Strip"}, BYTE_LEVEL, BYTE_LEVEL))
    put(f, "bad_id", tokenizer_json(bpe_json({**vocab, "zz": -1}, []), None, BYTE_LEVEL, BYTE_LEVEL))
    put(f, "bad_text", '{"model":{"type":"BPE","vocab":{"a":0,"a":1},"merges":[["a"]]},"added_tokens":[{}]}')


def seeds_tok_parts():
    f = "tok_parts"
    tokens, merges = bpe()
    vocab = json.dumps({t: i for i, t in enumerate(tokens)}, ensure_ascii=False)
    text = "#version: 0.2\n" + "".join(a + " " + b + "\n" for a, b in merges)
    n = len(tokens)
    qwen = {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|end|>", "added_tokens_decoder": {
        str(n): {"content": "<|end|>", "special": True}, str(n + 1): {"content": "<|user|>", "lstrip": True}}}
    special = json.dumps({"bos_token": {"content": "<|end|>"}, "additional_special_tokens": ["<|end|>"]})
    put(f, "ok_bare", SEPARATOR.join([vocab, text]))
    put(f, "ok_qwen2", SEPARATOR.join([vocab, text, json.dumps(qwen), "", special]))
    put(f, "ok_added", SEPARATOR.join([vocab, text.replace("\n", "\r\n"), "", json.dumps({"<|end|>": n}), special]))
    put(f, "bad_class", SEPARATOR.join([vocab, text, json.dumps({"tokenizer_class": "RobertaTokenizer"})]))
    put(f, "bad_merge", SEPARATOR.join([vocab, "no token\n"]))
    put(f, "bad_hole", SEPARATOR.join([vocab, text, "", json.dumps({"<|end|>": 4000})]))
    put(f, "bad_id", SEPARATOR.join([vocab, text, json.dumps({"added_tokens_decoder": {"-1": {"content": "x"}}})]))


# --- models --------------------------------------------------------------------------------------
SMALL = {"V": 25, "L": 1, "C": 8, "H": 2, "K": 1, "D": 4, "F": 8, "T": 16, "tied": True}


def seeds_model_gguf():
    f = "model_gguf"
    own = vocabulary_keys("llama", pieces(), extra=[("bos_token_id", U32, 1), ("eos_token_id", U32, 2)])
    big = {"V": 6, "L": 1, "C": 256, "H": 1, "K": 1, "D": 2, "F": 1, "T": 8, "tied": True}
    block = {"V": 8, "L": 1, "C": 32, "H": 2, "K": 1, "D": 16, "F": 32, "T": 16, "tied": True}
    put(f, "ok_llama", gguf_model("llama", SMALL, own + [("tokenizer.chat_template", STRING, "{{ messages }}")]))
    scaling = [("llama.rope.scaling.type", STRING, "linear"), ("llama.rope.scaling.factor", F32, 2.0)]
    put(f, "ok_untied", gguf_model("llama", dict(SMALL, tied=False, V=7, L=2), scaling, kind=1))
    put(f, "ok_qwen2", gguf_model("qwen2", dict(SMALL, V=9), bias=True, kind=30))
    put(f, "ok_qwen3", gguf_model("qwen3", dict(SMALL, V=9), qk_norm=True))
    put(f, "ok_q4_0", gguf_model("llama", block, kind=2))
    put(f, "ok_q8_0", gguf_model("llama", dict(block, V=3, K=2, F=2), kind=8))
    put(f, "ok_q4_k", gguf_model("llama", big, kind=12))
    put(f, "ok_q6_k", gguf_model("llama", big, kind=14))
    put(f, "bad_arch", gguf_model("gpt2", SMALL))
    put(f, "bad_shape", gguf_model("llama", dict(SMALL, F=9)).replace(b"feed_forward_length\4\0\0\0\x09",
                                                                    b"feed_forward_length\4\0\0\0\x0a"))
    put(f, "bad_layers", gguf_model("llama", SMALL).replace(b"block_count\4\0\0\0\1", b"block_count\4\0\0\0\2"))
    put(f, "bad_heads", gguf_model("llama", SMALL).replace(b"head_count\4\0\0\0\2", b"head_count\4\0\0\0\0"))


def seeds_llama2c():
    f = "llama2c"
    c = dict(SMALL, V=9, L=2)
    put(f, "ok_tied", llama2c_model(c))
    put(f, "ok_untied", llama2c_model(dict(c, tied=False, K=2)))
    put(f, "ok_version1", llama2c_model(c, 1))
    put(f, "ok_version1_untied", llama2c_model(dict(c, tied=False), 1))
    put(f, "bad_version2", llama2c_model(c, 2))
    put(f, "bad_numbers", struct.pack("<7i", *[1 << 30] * 5, -(1 << 31), 1 << 30) + bytes(64))
    put(f, "bad_zero", struct.pack("<7i", 8, 8, 0, 2, 1, 9, 16) + bytes(64))
    put(f, "bad_longer", llama2c_model(c) + b"\0")


def hf_folder(arch, c, weights=None, bias=False, qk_norm=False, more=(), rest=(), dtype="F32"):
    config = {"architectures": [arch], "model_type": arch.split("For")[0].lower(), "hidden_size": c["C"],
              "intermediate_size": c["F"], "num_hidden_layers": c["L"], "num_attention_heads": c["H"],
              "num_key_value_heads": c["K"], "head_dim": c["D"], "vocab_size": c["V"],
              "max_position_embeddings": c["T"], "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
              "tie_word_embeddings": c["tied"], "hidden_act": "silu",
              "bos_token_id": 1, "eos_token_id": [2], **dict(more)}
    named = [(hf_name(n), dtype, (r, w) if r else (w,)) for n, r, w in tensors_of(c, bias, qk_norm)]
    part = weights if weights is not None else safetensors(named)
    parts = [json.dumps(config, separators=(",", ":")).encode(), part] + [r.encode() for r in rest]
    return SEPARATOR.encode().join(parts)


def seeds_hf_folder():
    f = "hf_folder"
    c = dict(SMALL, V=9)
    scaling = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 8}
    put(f, "ok_llama", hf_folder("LlamaForCausalLM", c, more={"rope_scaling": scaling}))
    put(f, "ok_mistral", hf_folder("MistralForCausalLM", dict(c, tied=False, V=7), more={"sliding_window": 4},
                                   dtype="BF16"))
    put(f, "ok_qwen2", hf_folder("Qwen2ForCausalLM", c, bias=True, more={"use_sliding_window": False}, dtype="F16"))
    put(f, "ok_qwen3", hf_folder("Qwen3ForCausalLM", c, qk_norm=True))
    put(f, "ok_linear", hf_folder("LlamaForCausalLM", dict(c, V=3),
                                  more={"rope_scaling": {"type": "linear", "factor": 2.0}},
                                  rest=["", "", '{"eos_token_id":[1,2],"bos_token_id":0}']))
    put(f, "bad_arch", hf_folder("GPT2LMHeadModel", c, st_header("{}")))
    put(f, "bad_missing", hf_folder("LlamaForCausalLM", c, st_header("{}")))
    put(f, "bad_size", hf_folder("LlamaForCausalLM", c, st_header("{}"), more={"hidden_size": 1 << 63}))
    put(f, "bad_number", hf_folder("LlamaForCausalLM", c, st_header("{}"), more={"rms_norm_eps": "small"}))
    put(f, "bad_scaling", hf_folder("LlamaForCausalLM", c, st_header("{}"),
                                    more={"rope_scaling": {"rope_type": "yarn"}}))
    index = {"metadata": {}, "weight_map": {"model.embed_tokens.weight": "../second.safetensors"}}
    put(f, "bad_path", hf_folder("LlamaForCausalLM", c, b"", rest=["", "", "", json.dumps(index)]))


# --- JSON ----------------------------------------------------------------------------------------
def seeds_json():
    f = "json"
    put(f, "ok_values", '{"a":[1,-0,2.5e-3,1E+2,true,false,null,"\\u00e9\\ud83d\\ude00\\n\\"",{}],"":[[],[[]]]} \n')
    put(f, "ok_texts", '["\u00e9\U0001f600","\\u0000","\\/\\b\\f\\r\\t",{"k":"v","k":"w"}]')
    put(f, "ok_number", "-123456789012345678901234567890.5e-300")
    put(f, "ok_deep", "[" * 200 + "]" * 200)
    put(f, "bad_deep", "[" * 300 + "]" * 300)
    put(f, "bad_comma", '{"a":1,}')
    put(f, "bad_zero", "[01]")
    put(f, "bad_surrogate", '"\\ud800\\u0041"')
    put(f, "bad_control", b'"a\x01"')
    put(f, "bad_utf8", b'"\xed\xa0\x80"')
    put(f, "bad_more", "{} x")


# --- what language models say, and files of it ---------------------------------------------------
def seeds_answer():
    f = "answer"
    put(f, "ok_word", "**Unsafe.** It asks for help with a theft.\n")
    put(f, "ok_thoughts", "<think>\nIs it safe? 1 < 2.\n</think>\n\nnot safe")
    put(f, "ok_object", 'Here it is:\n```json\n{"label": "safe", "score": 0.25, "sure": true, "more": [{}]}\n```\n')
    put(f, "ok_list", "Sure:\n1. \"One\"\n2) two\n(3) three\n- \u201cfour\u201d\n\u2022 \u00abfive\u00bb\n"
        "I hope so.\n")
    put(f, "ok_lines", "one\n\n two\u00a0\n```\nthree\n")
    put(f, "ok_array", '```json\n[\n  "a\\u00e9\\n", " b ", "", "\\u0000"\n]\n```')
    put(f, "bad_thoughts", "<think> Is it safe? {\"label\":\"safe\"}")
    put(f, "bad_blank", " \t\u00a0\r\n\u3000")
    put(f, "bad_empty", "")


def seeds_answers():
    def line(k, end, text, **more):
        return json.dumps({"address": f"{k:064x}", "end": end, "text": text, **more}, separators=(",", ":"))

    f = "answers"
    put(f, "ok_lines", "".join(line(k * 0x9e3779b97f4a7c15 ** 4 % 2 ** 256, "answered", f"answer {k}") + "\n"
                               for k in range(9)))
    put(f, "ok_texts", line(1, "refused", "content filter: \u00e9\U0001f600") + "\n" + line(2, "answered", "") + "\n" +
        line(1 << 255, "answered", "\0\n\"\\") + "\n")
    put(f, "ok_same_again", (line(1, "answered", "a") + "\n") * 2)
    put(f, "ok_empty", "")
    put(f, "bad_torn", line(1, "answered", "a") + "\n" + line(2, "answered", "b")[:90])
    put(f, "bad_other", line(1, "answered", "a") + "\n" + line(1, "answered", "b") + "\n")
    put(f, "bad_member", line(1, "answered", "a", model="x") + "\n")
    put(f, "bad_twice", line(1, "answered", "a")[:-1] + ',"text":"a"}\n')
    put(f, "bad_end", line(1, "stopped", "a") + "\n")
    put(f, "bad_address", line(1, "answered", "a").replace("0000", "000G", 1) + "\n")
    put(f, "bad_kind", '{"address":1,"end":"answered","text":null}\n')
    put(f, "bad_line", "\n")


# --- adapters ------------------------------------------------------------------------------------
LORA_SHAPES = {"q_proj": ("self_attn", 8, 8), "k_proj": ("self_attn", 4, 8), "v_proj": ("self_attn", 4, 8),
               "o_proj": ("self_attn", 8, 8), "gate_proj": ("mlp", 6, 8), "up_proj": ("mlp", 6, 8),
               "down_proj": ("mlp", 8, 6)}  # the model of tests/fuzz_lora.c


def lora_folder(targets, rank=2, dtype="F32", layers=2, more=(), width=0):
    config = {"base_model_name_or_path": "some/base", "peft_type": "LORA", "r": rank, "lora_alpha": 4,
              "lora_dropout": 0.05, "target_modules": list(targets), "bias": "none", "task_type": "CAUSAL_LM",
              "fan_in_fan_out": False, "inference_mode": True, "init_lora_weights": True, **dict(more)}
    named = []
    for layer in range(layers):
        for t in targets:
            part, rows, cols = LORA_SHAPES[t]
            name = f"base_model.model.model.layers.{layer}.{part}.{t}.lora_"
            named += [(name + "A.weight", dtype, (2, cols + width)), (name + "B.weight", dtype, (rows, 2))]
    return SEPARATOR.encode().join([json.dumps(config, separators=(",", ":")).encode(), safetensors(named)])


def seeds_lora():
    f = "lora"
    put(f, "ok_all", lora_folder(LORA_SHAPES))
    put(f, "ok_two", lora_folder(["q_proj", "v_proj"], dtype="BF16"))
    put(f, "ok_down", lora_folder(["down_proj"], dtype="F16", more={"lora_alpha": 0.5, "base_model_name_or_path": None,
                                                                   "rank_pattern": {}, "peft_version": "0.19.1"}))
    put(f, "ok_keys", lora_folder(["k_proj"], more={"init_lora_weights": "gaussian", "lora_dropout": 0.0}))
    put(f, "bad_rank", lora_folder(["q_proj"], rank=3))
    put(f, "bad_base", lora_folder(["q_proj"], width=1))
    put(f, "bad_layers", lora_folder(["q_proj"], layers=1))
    put(f, "bad_more_layers", lora_folder(["q_proj"], layers=3))
    put(f, "bad_module", lora_folder(["q_proj"], more={"target_modules": ["lm_head"]}))
    put(f, "bad_dora", lora_folder(["q_proj"], more={"use_dora": True}))
    put(f, "bad_alpha", lora_folder(["q_proj"], more={"lora_alpha": -1}))
    put(f, "bad_no_weights", lora_folder(["q_proj"]).split(SEPARATOR.encode())[0])


SEEDS = [seeds_json, seeds_safetensors, seeds_gguf, seeds_rows, seeds_tok_gguf, seeds_tok_model, seeds_tok_llama2c,
         seeds_tok_json, seeds_model_gguf, seeds_llama2c, seeds_hf_folder, seeds_answer,
         seeds_answers, seeds_lora, seeds_tok_parts]

if __name__ == "__main__":
    out = pathlib.Path(sys.argv[1])
    for seeds in SEEDS:
        seeds()
