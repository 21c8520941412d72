#!/usr/bin/env python3
"""Measures lowkey and other engines in one run, one after another on the same threads, and prints a Markdown table.

    bench/peers/make_gguf.py MODEL MODEL-bf16.gguf
    bench/peers/side_by_side.py MODEL --peer llama.cpp:MODEL-bf16.gguf --plan razor.plan

MODEL is a Hugging Face directory; a peer is NAME:FILE.gguf, or NAME:FILE.gguf:TYPE for a cache of that type. NAME is
llama.cpp (`pip install llama-cpp-python`) or openvino (`pip install openvino-genai`); a peer that is not installed is
skipped, and nothing is measured where none is. All generate greedily. Prompts are random tokens; a peer's cache is filled by
a real prefill, lowkey's with random numbers. Before it is measured, each continues a short text, which tells whether the
files hold the same model. Progress goes to stderr."""
import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile

from peer import add_measures, measure_flags, say

HERE = os.path.dirname(os.path.realpath(__file__))
PEERS = {  # name: program, module, package
    "llama.cpp": ("llama_cpp_peer.py", "llama_cpp", "llama-cpp-python"),
    "openvino": ("openvino_peer.py", "openvino_genai", "openvino-genai"),
}
TEXT = "# Returns the n-th Fibonacci number.\ndef fibonacci(n):\n"


def fail(what):
    sys.exit(f"side_by_side.py: {what}")


def run(command):
    """A program's JSON."""
    say("$", *command)
    with tempfile.TemporaryFile("w+") as out:
        if subprocess.run(command, stdout=out, check=False).returncode:
            fail(f"failed: {' '.join(command)}")
        out.seek(0)
        return json.load(out)


def installed(peers):
    """Of NAME:FILE[:TYPE], those whose package is there."""
    for peer in peers:
        name, _, rest = peer.partition(":")
        path, _, cache = rest.partition(":")
        if name not in PEERS:
            fail(f"no such peer: {peer}; there are {', '.join(PEERS)}")
        if not os.path.exists(path):
            fail(f"no such file: {path}")
        program, module, package = PEERS[name]
        if importlib.util.find_spec(module) is None:
            print(f"side_by_side.py: skipped: {name} is not installed; pip install {package}")
        else:
            yield [sys.executable, os.path.join(HERE, program), path, *(["--cache", cache] if cache else [])]


def run_lowkey(a, plan):
    """What `lowkey bench` prints, with the tokens that continue TEXT."""
    flags = ["--json", "--threads", str(a.threads), *(["--plan", plan] if plan else [])]
    text = run([a.lowkey, "generate", a.model, "-p", TEXT, "-n", str(a.generate + 1), "--ignore-eos",
                "--temperature", "0", "--repeat-penalty", "1", *flags])
    return {**run([a.lowkey, "bench", a.model, "--json", *measure_flags(a), *(["--plan", plan] if plan else [])]),
            "ids": text["ids"]}


def lowkey_rows(a):
    """lowkey's own results, the uncompressed first, as a peer's."""
    full = None
    for plan in [None, *a.plan]:
        result = run_lowkey(a, plan)
        full = full or result
        result["engine"] = f"lowkey, {os.path.basename(plan)}" if plan else "lowkey"
        result["weights"] = f"{result['model']['dtype']}, {result['decode'][0]['weight_bytes'] / 1e9:.2f} GB"
        result["cache"] = result["model"]["dtype"]
        if plan:
            deepest, whole = result["decode"][-1], full["decode"][-1]
            share = deepest["cache_bytes"] / whole["cache_bytes"]
            result["cache"] += f", {100 * share:.0f} % of the bytes at {deepest['depth']}"
        yield result


def same_tokens(ids, others):
    """How many of the first tokens are the same."""
    same = 0
    while same < min(len(ids), len(others)) and ids[same] == others[same]:
        same += 1
    return f"{same} of {len(ids)}"


def table(a, rows):
    columns = [*(f"prefill {n}" for n in a.prompt), *(f"decode at {n}" for n in sorted(a.depths))]
    yield "| tokens/s | weights | cache | " + " | ".join(columns) + " | same text |"
    yield "|---" * (len(columns) + 4) + "|"
    full = rows[0]
    limits = [f"{run['tokens_per_second'] / run['limit_share']:.1f}" for run in full["prefill"] + full["decode"]]
    yield f"| *the machine's limit* | {full['weights']} | {full['cache']} | " + " | ".join(limits) + " | |"
    for row in rows:
        speeds = [f"{run['tokens_per_second']:.1f}" for run in row["prefill"] + row["decode"]]
        yield (f"| {row['engine']} | {row['weights']} | {row['cache']} | " + " | ".join(speeds)
               + f" | {same_tokens(full['ids'], row['ids'])} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="Hugging Face directory")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME:FILE.gguf[:TYPE]", help="may be given again")
    parser.add_argument("--plan", action="append", default=[], help="cache plan for lowkey; may be given again")
    parser.add_argument("--lowkey", default="build/release/bin/lowkey")
    add_measures(parser)
    a = parser.parse_args()
    for path in (a.model, a.lowkey, *a.plan):
        if not os.path.exists(path):
            fail(f"no such file: {path}")
    if not a.peer:
        fail("no peer; give --peer NAME:FILE.gguf")
    peers = list(installed(a.peer))
    if not peers:
        return

    text_ids = run([a.lowkey, "tokenize", a.model, "--text", TEXT, "--json"])["ids"]
    rows = list(lowkey_rows(a))
    skipped = []
    for command in peers:
        result = run([*command, *measure_flags(a), "--check", ",".join(map(str, text_ids))])
        if "skipped" in result:
            skipped.append(f"{os.path.basename(command[2])}: {result['skipped']}")
        else:
            rows.append(result)

    machine = rows[0]["machine"]
    print(f"{machine['processor']}, {a.threads} threads: memory reads {machine['read_gbs']:.1f} GB/s, products of bf16 "
          f"{machine['bf16_gflops']:.0f} GFLOP/s.\n")
    print("\n".join(table(a, rows)))
    for reason in skipped:
        print(f"\nSkipped: {reason}")


if __name__ == "__main__":
    main()
