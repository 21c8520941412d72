#!/usr/bin/env python3
"""Writes tests/data/tokenizers/regexes.json: what regular expressions of the library `tokenizers` match.

usage: make_regex_cases.py OUT.json

"sets": patterns of one character, with the number of code points that match and a digest of them. "cases": patterns, texts and the
matches in them. "forms": digests of what normalizers make of every code point.
"""
import json
import random
import sys

from tokenizers import Regex, normalizers, pre_tokenizers

ALL = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
GROUPS = "L M N P S Z C Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co Cn".split()
SETS = ["\\p{%s}" % g for g in GROUPS]
SETS += ["\\p{%s}" % n for n in ("Han", "Hiragana", "katakana", "Latin", "Greek", "Hani", "Emoji", "Extended_Pictographic", "Alphabetic", "White_Space", "InThai", "In_CJK_Unified_Ideographs", "^L", "Any", "Assigned", "Cased_Letter", "Word", "Alnum")]
SETS += ["\\P{Lu}", "\\P{^Lu}", "\\w", "\\W", "\\d", "\\D", "\\s", "\\S", "\\h", "\\H", "[\\w]", "[\\W\\d]", "[^\\S]", "."]
SETS += ["[[:%s:]]" % n for n in "alnum alpha ascii blank cntrl digit graph lower print punct space upper xdigit word ^alpha ^punct".split()]
SETS += ["[\\p{L}\\p{M}&&[^\\p{Han}]]", "[a-z&&[^b]&&c-f]", "[^a-z&&aeiou]", "[a[^b]]", "[[:alpha:]&&\\p{ASCII}]", "(?i:[a-k])", "(?i)[^s]", "(?i:é)", "(?i)σ", "(?i)[\\p{Lu}&&\\p{Greek}]", "(?m:.)", "[a&&]", "\\N", "\\O"]
PATTERNS = [
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    "[\\p{Han}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    "\\X", "\\R", "\\R+|\\N", "a(?i)b|c", "(?i:a|b(?-i)c)|d", "\\b\\w", "\\B.", "^.", ".$", "\\A.", ".\\z", "(?<=\\p{L})\\p{N}|(?<!\\p{L})\\p{M}", "(?>a|ab)c", "(?x: a b # no\n | c )", "(?#x)b", "(?<name>b)c",
    "\\w{2}+", "\\w{2}?", "\\w{,2}", "a++b", "[a-c-e]", "[]a]+", "[--/]", "\\u0061|\\x62|\\x{e9}", "x*", "(?m:a.)", "(?i)ſ|K", "[\\n\\t ]+", "\\p{Lu}\\p{Ll}*", "[^]a]b",
]
UNITS = list("abcdeksxABCKS019 '-_].,\t\n") + ["\r\n", "\r", "\u0085", "\u2028", "é", "e\u0301", "ß", "ſ", "\u212a", "漢", "字", "\U00031350", "\U0002ebf0", "\U00010d50", "\U0001d2c0", "が", "カ", "한", "\u1112\u1161\u11ab",
         "\U0001F469\u200d\U0001F469", "\U0001F469\U0001F3FD", "\U0001F1E6\U0001F1E7\U0001F1E8", "\u0600", "\u0e33", "\u0915\u094d\u0924", "\u0903", "\u00ad", "\u00a0", "\u3000", "٣", "½", "Ⅻ", "²", "'S", "'ll", "  "]


def digest(numbers):
    value = 0xCBF29CE484222325
    for number in numbers:
        for shift in (0, 8, 16):
            value = (value ^ (number >> shift & 0xFF)) * 0x100000001B3 % 2**64
    return f"{value:016x}"


def splitter(pattern):
    return pre_tokenizers.Split(Regex(pattern), "removed", invert=True)


def members(pattern):
    split, found = splitter(pattern), []
    for i in range(0, len(ALL), 4096):
        for piece, _ in split.pre_tokenize_str("".join(map(chr, ALL[i : i + 4096]))):
            found += map(ord, piece)
    return found


def main():
    rng = random.Random(16)
    texts = ["".join(rng.choice(UNITS) for _ in range(40)) for _ in range(12)]
    sets = [{"pattern": p, "count": len(m), "digest": digest(m)} for p, m in ((p, members(p)) for p in SETS)]
    cases = [{"pattern": p, "matches": [[piece for piece, _ in splitter(p).pre_tokenize_str(t)] for t in texts]} for p in PATTERNS]
    forms = {}
    for name in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents"):
        normalizer = getattr(normalizers, name)()
        forms[name] = digest([ord(x) for c in ALL for x in normalizer.normalize_str("a" + chr(c) + "\u0323\u0301") + "\n"])
    with open(sys.argv[1], "w", encoding="utf-8") as out:
        json.dump({"sets": sets, "texts": texts, "cases": cases, "forms": forms}, out, ensure_ascii=True, indent=0)
        out.write("\n")


main()
