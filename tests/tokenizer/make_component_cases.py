#!/usr/bin/env python3
"""Writes tests/data/tokenizers/components.jsonl: tokenizers with single components, as the library `tokenizers` runs them.

usage: make_component_cases.py OUT.jsonl

Every line holds a tokenizer.json ("tokenizer") and texts with their ids and what those decode to. The models are trained on
the texts without a pre-tokenizer, so that merges show where the components cut.
"""
import json
import sys

from tokenizers import Tokenizer, models, trainers

TEXTS = [
    "Hello, world! It's 1234 o'clock.", "  two  spaces  ", "a-b_c--d", "naïve café ÀÉ İI ẞß", "x\ty\n\nz", "١٢ ½ Ⅻ 3rd",
    "你好，世界。", "▁a▁ b", "ab12cd--34", "<x>tag</x> <x>", "a <y> b<y>c", "e\u0301\u0327 \u1e9b\u0323 \ufb01", "  ", "--",
    "don't WON'T we've", "word<w>word <w> <w>!", "a\u00a0b\u2003c\u180ed", "\u0130\u0301", "12345678", "aé<NY>e\u0301 <ny>",
    "C:\\path\\x {a: [1]} $5 + 5% ~ ^ | `q`", "", " a", "a ", "\u00ad\u200d\u200c x\u200dy", "tests\u0903 \u0e33\u0e31 \u20dd\u0488",
]


def split(pattern, behavior, invert=False):
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


def metaspace(**options):
    return {"type": "Metaspace", "replacement": "▁", **options}


NORMALIZERS = [{"type": t} for t in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents")]
NORMALIZERS += [{"type": "Strip", "strip_left": a, "strip_right": b} for a, b in ((True, True), (True, False), (False, True), (False, False))]
NORMALIZERS += [
    {"type": "Prepend", "prepend": "▁"},
    {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
    {"type": "Replace", "pattern": {"Regex": "[a-d]+|\\s{2,}"}, "content": "Q"},
    {"type": "Replace", "pattern": {"Regex": "x*"}, "content": "-"},
    {"type": "Replace", "pattern": {"String": "."}, "content": ""},
    {"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}]},
    {"type": "Sequence", "normalizers": []},
]
PATTERNS = [
    {"String": "-"}, {"String": "  "}, {"Regex": "-"}, {"Regex": "\\d{1,3}"}, {"Regex": "\\w+"}, {"Regex": "\\s+|[^\\s\\p{L}\\p{N}]"},
]
EXTRA_PATTERNS = [
    "\\d{1,3}+", "[a[bc]]+", "^\\w", "\\w$", "(?m:a.)", "\\h+", "[^\\w\\s]", "[\\w-]+", "(?i:WON'T|i)", "\\p{N}{2}?", "a{,2}b", "[[:punct:]]+",
    "\\s+(?!\\S)|\\s+", "(?<=o)\\s", "\\p{Lu}\\p{Ll}*", "[^\\S\\n]+", "\\u0061|é", "(\\d\\d){1,2}+", "\\p{Han}+|\\p{P}", "x?", "\\b", "(?>a|ab)c?", "\\W+", "[+-/]{1}",
]
PRE_TOKENIZERS = [split(p, b, i) for p in PATTERNS for b in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous") for i in (False, True)]
PRE_TOKENIZERS += [split({"Regex": p}, "Isolated") for p in EXTRA_PATTERNS]
PRE_TOKENIZERS += [{"type": "Digits", "individual_digits": i} for i in (False, True)]
PRE_TOKENIZERS += [{"type": "Punctuation", "behavior": b} for b in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")]
PRE_TOKENIZERS += [{"type": "Whitespace"}, {"type": "WhitespaceSplit"}]
PRE_TOKENIZERS += [metaspace(prepend_scheme=p, split=s) for p in ("always", "first", "never") for s in (False, True)]
PRE_TOKENIZERS += [metaspace(add_prefix_space=True), metaspace(add_prefix_space=False, prepend_scheme="never")]
PRE_TOKENIZERS += [{"type": "ByteLevel", "add_prefix_space": a, "trim_offsets": True, "use_regex": r} for a in (False, True) for r in (False, True)]
PRE_TOKENIZERS += [{"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Punctuation", "behavior": "Isolated"}, metaspace(prepend_scheme="first", split=True)]}]
DECODERS = [
    None, {"type": "Fuse"}, {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}, {"type": "ByteFallback"},
    {"type": "BPEDecoder", "suffix": "o"}, metaspace(prepend_scheme="always", split=True), metaspace(prepend_scheme="first", split=True), metaspace(prepend_scheme="never", split=True),
    {"type": "Strip", "content": "a", "start": 2, "stop": 0}, {"type": "Strip", "content": "-", "start": 0, "stop": 1},
    {"type": "Replace", "pattern": {"String": "b"}, "content": "BB"}, {"type": "Replace", "pattern": {"Regex": "[a-c]+"}, "content": "_"},
    {"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}, {"type": "Replace", "pattern": {"String": "ll"}, "content": "LL"}]},
    {"type": "Sequence", "decoders": [{"type": "Fuse"}, metaspace(prepend_scheme="always", split=True)]},
    {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
]
POST_PROCESSORS = [
    {"type": "BertProcessing", "sep": ["<x>", 901], "cls": ["<y>", 902]},
    {"type": "RobertaProcessing", "sep": ["<x>", 901], "cls": ["<y>", 902], "trim_offsets": True, "add_prefix_space": True},
    {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<x>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "<y>", "type_id": 0}}],
     "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
     "special_tokens": {"<x>": {"id": "<x>", "ids": [901, 901], "tokens": ["<x>", "<x>"]}, "<y>": {"id": "<y>", "ids": [902], "tokens": ["<y>"]}}},
]


def added(content, **flags):
    return {"id": -1, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False, **flags}


ADDED = [added("<x>", special=True), added("<y>", lstrip=True), added("<w>", single_word=True, rstrip=True), added("<NY>", normalized=True), added("é", normalized=True), added("--", lstrip=True, rstrip=True)]


def bpe(**options):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.train_from_iterator([t for t in TEXTS for _ in range(2)] + [t.replace(" ", "▁") for t in TEXTS], trainers.BpeTrainer(vocab_size=600, show_progress=False, special_tokens=["<unk>"]))
    model = json.loads(tokenizer.to_str())["model"]
    for char in options.pop("without", ""):
        del model["vocab"][char]
        model["merges"] = [m for m in model["merges"] if char not in m[0] + m[1]]
        model["vocab"] = {t: i for t, i in model["vocab"].items() if char not in t}
    for byte in options.pop("bytes", []):
        model["vocab"][f"<0x{byte:02X}>"] = 620 + byte
    model.update(options)
    return model


def unigram(**options):
    pieces = [["<unk>", 0.0]] + [[c, -5.0 - i / 7] for i, c in enumerate(sorted(set("".join(TEXTS)) - set("$é½")))]
    pieces += [[p, -6.0 - i] for i, p in enumerate(("Hello", "ab", "wor", "ld", "or", " two", "spaces", "on't", "--", "12", "1234", "23"))]
    if options.get("byte_fallback"):
        pieces += [[f"<0x{b:02X}>", -20.0] for b in range(256)]
    return {"type": "Unigram", "unk_id": 0, "byte_fallback": False, "vocab": pieces, **options}


def build(model, added_tokens=(), **components):
    tokenizer = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": {"type": "Fuse"}, **components, "model": model}
    next_id = len(model["vocab"])
    for token in added_tokens:
        known = model["vocab"].get(token["content"])
        tokenizer["added_tokens"].append({**token, "id": next_id if known is None else known})
        next_id += known is None
    return tokenizer


def all_tokenizers():
    plain = bpe(unk_token="<unk>")
    for c in NORMALIZERS:
        yield build(plain, normalizer=c)
    for c in PRE_TOKENIZERS:
        yield build(plain, pre_tokenizer=c)
    for c in DECODERS:
        yield build(plain, decoder=c)
    for c in POST_PROCESSORS:
        yield build(plain, post_processor=c)
    for n in (None, {"type": "NFC"}, {"type": "NFD"}, {"type": "Lowercase"}, {"type": "Prepend", "prepend": "▁"}):
        yield build(plain, ADDED, normalizer=n)
        yield build(plain, ADDED, normalizer=n, pre_tokenizer=metaspace(prepend_scheme="first", split=True))
    yield build(bpe(without="é1好"))
    yield build(bpe(without="é1好", unk_token="<unk>"))
    yield build(bpe(without="é1好世", unk_token="<unk>", fuse_unk=True))
    yield build(bpe(without="é1好", unk_token="<unk>", byte_fallback=True, bytes=range(256)), decoder={"type": "ByteFallback"})
    yield build(bpe(without="é1好", unk_token="<unk>", byte_fallback=True, bytes=range(0, 128)), decoder={"type": "ByteFallback"})
    yield build(bpe(ignore_merges=True, merges=[]), pre_tokenizer={"type": "WhitespaceSplit"})
    yield build({"type": "BPE", "dropout": None, "unk_token": "u", "continuing_subword_prefix": "##", "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": False, "ignore_merges": False,
                 "vocab": {t: i for i, t in enumerate(["u", "a", "b", "##a", "##b", "##c", "ab", "##bc", "abc", "##-", "-", "--"])}, "merges": [["a", "##b"], ["##b", "##c"], ["ab", "##c"], ["-", "##-"]]},
                pre_tokenizer={"type": "WhitespaceSplit"})
    yield build({"type": "BPE", "dropout": None, "unk_token": "u", "continuing_subword_prefix": None, "end_of_word_suffix": "</w>", "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                 "vocab": {t: i for i, t in enumerate(["u", "a", "b", "o", "r", "d", "a</w>", "b</w>", "d</w>", "or", "ord</w>", "rd</w>", "-", "-</w>", "--</w>"])}, "merges": [["r", "d</w>"], ["o", "rd</w>"], ["-", "-</w>"]]},
                pre_tokenizer={"type": "WhitespaceSplit"}, decoder={"type": "BPEDecoder", "suffix": "</w>"})
    yield build(unigram())
    yield build(unigram(), pre_tokenizer=metaspace(prepend_scheme="always", split=True))
    yield build(unigram(byte_fallback=True), decoder={"type": "ByteFallback"})


def main():
    lines = []
    models_seen = {}
    for tokenizer in all_tokenizers():
        reference = Tokenizer.from_str(json.dumps(tokenizer))
        cases = []
        for text in TEXTS:
            ids = reference.encode(text, add_special_tokens=False).ids
            cases.append({"text": text, "ids": ids, "ids_special": reference.encode(text).ids, "decoded": reference.decode(ids, skip_special_tokens=False)})
        # A model is written once; later lines give the number of its line.
        key = json.dumps(tokenizer["model"])
        if key in models_seen:
            tokenizer = {**tokenizer, "model": models_seen[key]}
        else:
            models_seen[key] = len(lines)
        lines.append(json.dumps({"tokenizer": tokenizer, "cases": cases}, ensure_ascii=True) + "\n")
    with open(sys.argv[1], "w") as out:
        out.writelines(lines)
    print(len(lines), "tokenizers,", len(lines) * len(TEXTS), "cases")


if __name__ == "__main__":
    main()
