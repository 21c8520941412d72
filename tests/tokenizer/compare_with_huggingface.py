#!/usr/bin/env python3
"""Compares `lowkey tokenize` with the Hugging Face library `tokenizers` on any text.

usage: compare_with_huggingface.py MODEL_DIR TEXT_FILE [--lowkey build/release/bin/lowkey]

MODEL_DIR holds a tokenizer.json. Prints the number of ids, whether they are the same, and the speed of both (of lowkey's whole
command, loading included, and of encode() of `tokenizers` on one thread). Exit code 0 when the ids are the same or when
`tokenizers` is not installed (which it says), 1 when they differ, 2 for wrong usage.
"""
import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path


def lowkey_ids(program, model, text_file):
    """Ids and seconds of one run of the command."""
    start = time.perf_counter()
    command = [program, "tokenize", model, "--file", text_file, "--no-special", "--json"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit code {result.returncode}\n{result.stderr}")
    return json.loads(result.stdout)["ids"], time.perf_counter() - start


def first_difference(ours, theirs):
    for i, (a, b) in enumerate(zip(ours, theirs)):
        if a != b:
            return i
    return min(len(ours), len(theirs))


def main():
    default_program = Path(__file__).resolve().parents[2] / "build/release/bin/lowkey"
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("text_file")
    parser.add_argument("--lowkey", default=str(default_program), help="the program to test")
    args = parser.parse_args()

    os.environ["RAYON_NUM_THREADS"] = "1"
    try:
        from tokenizers import Tokenizer
    except ImportError:
        print("skipped: the Python package `tokenizers` is not installed (pip install tokenizers)")
        return 0

    data = Path(args.text_file).read_bytes()
    text = data.decode(errors="replace")
    reference = Tokenizer.from_file(str(Path(args.model) / "tokenizer.json"))
    start = time.perf_counter()
    theirs = reference.encode(text, add_special_tokens=False).ids
    their_seconds = time.perf_counter() - start
    ours, our_seconds = lowkey_ids(args.lowkey, args.model, args.text_file)

    megabytes = len(data) / 1e6
    print(f"tokenizers: {len(theirs)} ids, {their_seconds:.3f} s, {megabytes / max(their_seconds, 1e-9):.1f} MB/s")
    print(f"lowkey:     {len(ours)} ids, {our_seconds:.3f} s with loading, {megabytes / max(our_seconds, 1e-9):.1f} MB/s")
    if ours == theirs:
        print("same ids")
        return 0
    at = first_difference(ours, theirs)
    print(f"different from id {at} on: lowkey {ours[at:at + 8]}, tokenizers {theirs[at:at + 8]}, behind")
    print(repr(reference.decode(theirs[max(0, at - 10):at], skip_special_tokens=False)))
    return 1


if __name__ == "__main__":
    sys.exit(main())
