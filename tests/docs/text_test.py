#!/usr/bin/env python3
"""Checks what README.md and docs say about the repository: flags, files, links.

Usage: text_test.py --lowkey PROGRAM

- A `--flag` in code exists: in the command that is named with it, or, where it stands alone, in some command or script.
- A path in code exists; so does a file named alone or by its last folders (`families/qwen2.cpp`). Names in capitals are
  placeholders, `{h,cpp}` stands for both.
- A relative link leads to a file, and its #anchor to a heading of it.
- What a page calls a folder of src is one (the table of docs/architecture.md).
A failure names the page and line.
"""
import argparse
import re
import subprocess
import sys
from pathlib import Path

from pages import ROOT, code_of, pages

# Flags of programs that are not ours, and of none.
FOREIGN_FLAGS = {"--preset", "--build", "--target", "--gtest_filter", "--benchmark_filter", "--install", "--prefix", "--help",
                 "--version", "--cflags", "--libs", "--local-dir"}
SOURCE = re.compile(r"(?:[\w.{},*-]+/)*[\w{},*-]+\.(?:h|cpp|inl|py|cmake|sh|md|jinja|lst)")
FOLDERS = {"src", "tests", "docs", "scripts", "bench", "fuzz", "models", "examples", "include", "cmake", ".ci"}


def help_of(lowkey, words):
    result = subprocess.run([lowkey, *words, "--help"], stdout=subprocess.PIPE, text=True, check=True)
    return result.stdout


def commands_of(lowkey, words=()):
    """Flags by command ('eval ruler'), of all commands below `words`."""
    text = help_of(lowkey, words)
    methods = re.search(r"^Methods:\n((?:  .*\n)+)", text, re.MULTILINE)
    for method in re.findall(r"^  (\w+) ", methods.group(1), re.MULTILINE) if methods else []:
        text += subprocess.run([lowkey, *words, "--method", method, "--help"], stdout=subprocess.PIPE, text=True, check=True).stdout
    found = {" ".join(words): set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", text))}
    listed = re.search(r"^(?:SUBCOMMANDS|Subcommands):\n((?: .*\n?)+)", text, re.MULTILINE)
    for name in re.findall(r"^  ([a-z-]+) ", listed.group(1), re.MULTILINE) if listed else []:
        found.update(commands_of(lowkey, (*words, name)))
    return found


def flags_of_scripts():
    flags = set()
    for folder in ("scripts", "tests", "bench", "fuzz", "examples"):
        for file in (ROOT / folder).rglob("*.py"):
            flags.update(re.findall(r'add_argument\("(--[\w-]+)"', file.read_text(encoding="utf-8")))
    return flags


def files_of_repository():
    """Paths of all files but those that are built."""
    found = []
    for file in ROOT.rglob("*"):
        path = file.relative_to(ROOT)
        if path.parts[0] not in ("build", ".git") and "__pycache__" not in path.parts and file.is_file():
            found.append(path.as_posix())
    return found


def expand(pattern):
    """`a.{h,cpp}` as both names."""
    brace = re.search(r"\{([^{}]*)\}", pattern)
    if not brace:
        return [pattern]
    return [name for part in brace.group(1).split(",")
            for name in expand(pattern[:brace.start()] + part + pattern[brace.end():])]


def unknown_flags(code, commands, scripts):
    """Flags of a piece of code that nothing knows."""
    flags = re.findall(r"(?<![\w-])--[a-zA-Z][\w-]*", code.text)
    if not flags:
        return []
    known = set().union(*commands.values()) | scripts
    for name in sorted(commands, key=len, reverse=True):
        if name and re.search(rf"\b{name}\b", code.text) and ("lowkey " + name in code.text or code.text.startswith(name + " ")):
            known = commands[name]
            break
    return [flag for flag in flags if flag not in known | FOREIGN_FLAGS]


def missing_files(code, files):
    """Files that a piece of code names and the repository lacks."""
    missing = []
    words = code.text.split() if code.language is None else []
    for word in words:
        word = word.strip("(),;:")
        for name in expand(word):
            if "*" in name or re.search(r"[A-Z]{3,}|<|\$", name) and not name.endswith(".md"):
                continue
            if name.split("/")[0] in FOLDERS and "/" in name:
                if not (ROOT / name).exists():
                    missing.append(name)
            elif SOURCE.fullmatch(name) and name.endswith((".cpp", ".h", ".inl")):
                if not any(path == name or path.endswith("/" + name) for path in files):
                    missing.append(name)
    return missing


def anchors_of(path):
    """Anchors of a page's headings, as GitHub names them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page):
    """(line, link) of links to what is not there."""
    broken, fenced = [], False
    for number, line in enumerate((ROOT / page).read_text(encoding="utf-8").splitlines(), 1):
        fenced ^= line.lstrip().startswith("```")
        for link in [] if fenced else re.findall(r"\]\(([^()\s]+)\)", re.sub(r"`[^`]*`", "", line)):
            if re.match(r"[a-z]+:", link):
                continue
            path, _, anchor = link.partition("#")
            target = (ROOT / page).parent / path if path else ROOT / page
            if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors_of(target)):
                broken.append((number, link))
    return broken


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lowkey", required=True)
    args = parser.parse_args()
    commands, scripts, files = commands_of(args.lowkey), flags_of_scripts(), files_of_repository()
    failures = []
    for name in commands:
        if not re.search(rf"Examples?:\s+(.*\| )?lowkey {name}", help_of(args.lowkey, name.split())):
            failures.append(f"`lowkey {name} --help` shows no example")
    for page in pages():
        for code in code_of(page):
            failures += [f"{code.where()}: no command or script has {flag}: {code.text}"
                         for flag in unknown_flags(code, commands, scripts)]
            failures += [f"{code.where()}: no such file: {name}" for name in missing_files(code, files)]
        failures += [f"{page}:{line}: broken link: {link}" for line, link in broken_links(page)]
    for failure in failures:
        print(f"FAILED: {failure}")
    print(f"{len(pages())} pages, {len(commands)} commands, {len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
