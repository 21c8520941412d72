#!/usr/bin/env python3
"""Writes src/base/unicode_tables.cpp: what the library `tokenizers` knows of characters, asked of it code point by code point.

usage: make_unicode_tables.py OUT.cpp
needs: tokenizers 0.23, unicodedata2 16.0.0, fonttools (names of scripts and blocks only)

Its parts know different versions of Unicode (regular expressions 16, numerals and lower case 17, punctuation 8, normal forms 9),
so no one version of the Unicode Character Database can stand for it.
"""
import sys

import unicodedata2 as ucd
from fontTools.unicodedata import Blocks, Scripts
from tokenizers import Regex, normalizers, pre_tokenizers

ALL = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
CATEGORIES = "Cn Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Cs Co".split()
BINARY = """Alphabetic Uppercase Lowercase White_Space Math Dash Hyphen Hex_Digit ASCII_Hex_Digit Ideographic Radical Emoji
Emoji_Presentation Emoji_Modifier Emoji_Modifier_Base Emoji_Component Extended_Pictographic Diacritic Extender Cased Case_Ignorable ID_Start ID_Continue
Default_Ignorable_Code_Point Grapheme_Extend Join_Control Noncharacter_Code_Point Quotation_Mark Regional_Indicator Soft_Dotted
Terminal_Punctuation Sentence_Terminal Variation_Selector Bidi_Control Deprecated IDS_Binary_Operator IDS_Trinary_Operator Logical_Order_Exception""".split()
# Classes of POSIX, in \p{...} and in brackets.
POSIX = "Alnum Alpha Blank Cntrl Digit Graph Lower Print Punct Space Upper XDigit Word ASCII".split()


def matched(splitter, points):
    found = set()
    for i in range(0, len(points), 4096):
        for piece, _ in splitter.pre_tokenize_str("".join(map(chr, points[i : i + 4096]))):
            found.update(map(ord, piece))
    return found


def pattern_set(pattern, points=ALL):
    return matched(pre_tokenizers.Split(Regex(pattern), "removed", invert=True), points)


def property_set(name, points=ALL):
    return pattern_set("\\p{%s}" % name, points)


CLUSTERS = pre_tokenizers.Split(Regex("\\X"), "isolated")


def one_cluster(text):
    return len(CLUSTERS.pre_tokenize_str(text)) == 1


def ranges(points):
    out = []
    for c in sorted(points):
        if out and c == out[-1][1] + 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def runs(value_of):
    """(first code point, value) of every run of equal values; surrogates are what value_of says."""
    out = []
    for c in range(0x110000):
        value = value_of(c)
        if not out or out[-1][1] != value:
            out.append((c, value))
    return out


def loose(name):
    return "".join(c for c in name.lower() if c not in " _-")


class Writer:
    def __init__(self, path):
        self.file = open(path, "w", encoding="ascii")

    def line(self, text=""):
        print(text, file=self.file)

    def numbers(self, declaration, values):
        self.line(f"{declaration} = {{")
        row = ""
        for value in values:
            item = f"{value},"
            if len(row) + len(item) > 150:
                self.line(row)
                row = ""
            row += item
        self.line(row + "};")


def categories(w):
    category = {c: ucd.category(chr(c)) for c in ALL}
    for group in CATEGORIES + ["L", "M", "N", "P", "S", "Z", "C"]:
        if group == "Cs":
            continue
        assert property_set(group) == {c for c in ALL if category[c].startswith(group)}, group
    index = {name: i for i, name in enumerate(CATEGORIES)}
    found = runs(lambda c: index[category.get(c, "Cs")])
    w.numbers("extern const uint32_t kCategoryRuns[]", [c << 8 | value for c, value in found])
    w.line(f"extern const size_t kNumCategoryRuns = {len(found)};")
    return [c for c in ALL if category[c] != "Cn"]


def scripts(w, assigned):
    codes = {name: code for code, name in Scripts.NAMES.items()}
    names = sorted(codes)
    script_of, known = {}, []
    for name in names:
        try:
            found = property_set(name, assigned)
        except Exception:  # a script that is newer
            continue
        if name in ("Unknown", "Katakana_Or_Hiragana") or not found:
            continue
        known.append(name)
        for c in found:
            assert c not in script_of
            script_of[c] = len(known)
    found = runs(lambda c: script_of.get(c, 0))
    w.numbers("extern const uint32_t kScriptRuns[]", [c << 8 | value for c, value in found])
    w.line(f"extern const size_t kNumScriptRuns = {len(found)};")
    w.line("extern const char* const kScriptNames[] = {" + ",".join(f'"{loose(n)}"' for n in known) + "};")
    w.line("extern const char* const kScriptCodes[] = {" + ",".join(f'"{loose(codes[n])}"' for n in known) + "};")
    w.line(f"extern const size_t kNumScripts = {len(known)};")


def properties(w, assigned):
    sets = []
    for name in BINARY:
        try:
            sets.append((name, property_set(name)))
        except Exception:
            print("unknown to tokenizers:", name, file=sys.stderr)
    sets += [(name, property_set(name)) for name in POSIX]
    sets += [("posix " + name, pattern_set(f"[[:{name.lower()}:]]")) for name in POSIX]
    sets += [("escape " + name, pattern_set("\\" + name)) for name in "wds"]
    sets += [("class " + name, pattern_set(f"[\\{name}]")) for name in "wds"]
    joins = [c for c in ALL if not 0xAC00 <= c < 0xD7A4 and not 0x1100 <= c < 0x1200 and not 0xA960 <= c < 0xA980 and not 0xD7B0 <= c < 0xD800]
    sets += [
        ("cluster control", {c for c in ALL if not one_cluster(chr(c) + "\u0301")}),
        ("cluster prepend", {c for c in joins if one_cluster(chr(c) + "a")}),
        ("cluster trailing", {c for c in joins if one_cluster("a" + chr(c))}),
    ]
    for name in sorted({name for name in Blocks.VALUES if name != "No_Block"}):
        written = "In_" + name.replace(" ", "_").replace("-", "_")
        try:
            sets.append((written, property_set(written)))
        except Exception:  # a block that is newer
            continue
    sets += [
        ("tokenizers numeric", {c for c in ALL if alone(DIGITS, c)}),
        ("tokenizers punctuation", {c for c in ALL if alone(PUNCTUATION, c)}),
        ("tokenizers accents", {c for c in ALL if ACCENTS.normalize_str("a" + chr(c) + "b") == "ab"}),
    ]
    entries, values, places = [], [], {}
    for name, found in sets:
        if not found:
            continue
        edges = tuple(edge for pair in ranges(found) for edge in pair)
        if edges not in places:
            places[edges] = len(values)
            values += [edge - before for before, edge in zip((0,) + edges, edges)]
        entries.append((loose(name), places[edges], len(edges) // 2))
    w.numbers("extern const uint32_t kPropertyEdges[]", values)
    w.line("extern const PropertyEntry kProperties[] = {")
    for entry in sorted(entries):
        w.line('{"%s",%d,%d},' % entry)
    w.line("};")
    w.line(f"extern const size_t kNumProperties = {len(entries)};")


DIGITS = pre_tokenizers.Digits(individual_digits=True)
PUNCTUATION = pre_tokenizers.Punctuation("isolated")
ACCENTS = normalizers.StripAccents()


def alone(splitter, c):
    return len(splitter.pre_tokenize_str("a" + chr(c))) == 2


def case_maps(w):
    def single(text, c):
        return ord(text) if len(text) == 1 else c

    lowered = normalizers.Lowercase()
    lower = {c: single(lowered.normalize_str(chr(c)), c) for c in ALL}
    lower = {c: to for c, to in lower.items() if to != c}
    upper = {c: single(chr(c).upper(), c) for c in ALL}
    # Simple mappings where the full ones are longer: Greek letters with a subscript have capitals.
    upper.update({c: single(chr(c).title(), c) for c in ALL if len(chr(c).upper()) > 1 and 0x1F00 <= c < 0x2000})
    upper = {c: to for c, to in upper.items() if to != c}
    for c, to in lower.items():
        if to not in upper and c != 0x130 and not ucd.category(chr(c)) == "Lt" and chr(c).lower() == chr(c):
            upper[to] = c  # newer than this Python
    title = {c: single(chr(c).title(), upper.get(c, c)) for c in ALL}
    newer = {c for c in upper if chr(c).upper() == chr(c)}
    title = {c: to for c, to in title.items() if to != upper.get(c, c) and c not in newer}
    for name, mapping in (("Lower", lower), ("Upper", upper), ("Title", title)):
        w.numbers(f"extern const uint32_t k{name}[]", [x for pair in sorted(mapping.items()) for x in pair])
        w.line(f"extern const size_t kNum{name} = {len(mapping)};")


def normal_forms(w):
    nfc, nfd, nfkd = normalizers.NFC(), normalizers.NFD(), normalizers.NFKD()
    hangul = range(0xAC00, 0xAC00 + 11172)
    for name, form, base in (("Canonical", nfd, None), ("Compatible", nfkd, nfd)):
        values, count = [], 0
        for c in ALL:
            parts = form.normalize_str(chr(c))
            if c in hangul or parts == chr(c) or (base and parts == base.normalize_str(chr(c))):
                continue
            values += [c, len(parts)] + [ord(part) for part in parts]
            count += 1
        w.numbers(f"extern const uint32_t k{name}[]", values)
        w.line(f"extern const size_t kNum{name} = {count};")
    orders = {}
    for c in ALL:
        order = ucd.combining(chr(c))
        if order == 0 or len(nfd.normalize_str(chr(c))) > 1:
            continue
        probe = chr(c) + "\u0334" if order > 1 else "\u0301" + chr(c)
        if nfd.normalize_str("a" + probe) != "a" + probe:
            orders[c] = order
    # U+0344 and its like decompose: their orders are never asked for.
    found = runs(lambda c: orders.get(c, 0))
    w.numbers("extern const uint32_t kOrderRuns[]", [c << 8 | value for c, value in found])
    w.line(f"extern const size_t kNumOrderRuns = {len(found)};")
    pairs = []
    for c in ALL:
        mapping = ucd.decomposition(chr(c)).split()
        if len(mapping) != 2 or mapping[0].startswith("<"):
            continue
        first, second = (int(part, 16) for part in mapping)
        if nfc.normalize_str(chr(first) + chr(second)) == chr(c):
            pairs.append((first, second, c))
    w.numbers("extern const uint32_t kCompositions[]", [x for pair in sorted(pairs) for x in pair])
    w.line(f"extern const size_t kNumCompositions = {len(pairs)};")


def main():
    assert ucd.unidata_version == "16.0.0"
    w = Writer(sys.argv[1])
    w.line("// Made by scripts/make_unicode_tables.py; do not edit.")
    w.line("// clang-format off")
    w.line('#include "base/unicode_tables.h"')
    w.line()
    w.line("namespace lowkey::unicode_tables {")
    assigned = categories(w)
    scripts(w, assigned)
    properties(w, assigned)
    case_maps(w)
    normal_forms(w)
    w.line("}  // namespace lowkey::unicode_tables")


main()
