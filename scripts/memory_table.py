#!/usr/bin/env python3
"""Runs one long prompt under several plans: bytes of the cache, resident memory and speed, as in docs/razor.md.

    scripts/memory_table.py MODEL --text book.txt --length 16384 --plan full.plan --plan razor.plan

`pages` are the bytes of the cache's pages at the end; `decoding` is what the process holds while it decodes, `peak` the
most that it ever held."""
import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile
import time

from program import run


def write_ids(path, ids):
    """A safetensors file with one int64 tensor `input_ids`."""
    header = json.dumps({"input_ids": {"dtype": "I64", "shape": [len(ids)], "data_offsets": [0, 8 * len(ids)]}})
    header += " " * (-len(header) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header.encode() + struct.pack(f"<{len(ids)}q", *ids))


def resident(pid):
    """VmRSS and VmHWM in MiB; None once the process is gone."""
    try:
        with open(f"/proc/{pid}/status") as file:
            fields = dict(line.split(":", 1) for line in file)
        return [int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM")]
    except (OSError, KeyError):
        return None


def measure(command):
    """The JSON of `generate`, its resident memory half-way through decoding, and its peak, in MiB."""
    print("$", *command, file=sys.stderr, flush=True)
    samples = []
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(command, stdout=out)
        while process.poll() is None:
            seen = resident(process.pid)
            if seen:
                samples.append((time.monotonic(), *seen))
            time.sleep(0.02)
        if process.returncode:
            sys.exit(f"failed: {' '.join(command)}")
        out.seek(0)
        result = json.load(out)
    half = samples[-1][0] - result["decode_seconds"] / 2
    decoding = min(samples, key=lambda sample: abs(sample[0] - half))
    return result, decoding[1], max(sample[2] for sample in samples)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--lowkey", default="build/release/bin/lowkey")
    parser.add_argument("--text", required=True, help="where the prompt comes from")
    parser.add_argument("--length", type=int, default=16384, help="tokens of the prompt")
    parser.add_argument("--generate", type=int, default=64)
    parser.add_argument("--plan", action="append", required=True)
    a = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ids = run([a.lowkey, "tokenize", a.model, "--file", a.text], quiet=())[0]["ids"]
        if len(ids) < a.length:
            sys.exit(f"{a.text} has {len(ids)} tokens, not {a.length}")
        prompt = os.path.join(folder, "prompt")
        write_ids(prompt, ids[:a.length])
        print("| plan | pages, MiB | of full | decoding, MiB | peak, MiB | prefill, s | tokens per s |")
        print("|---|---|---|---|---|---|---|", flush=True)
        for plan in a.plan:
            result, decoding, peak = measure([a.lowkey, "generate", a.model, "--ids", prompt, "-n", str(a.generate),
                                              "--ignore-eos", "--temperature", "0", "--plan", plan, "--json",
                                              "--quiet"])
            cache = result["cache"]
            speed = (a.generate - 1) / result["decode_seconds"]
            name = os.path.basename(plan).rsplit(".", 1)[0]
            print(f"| {name} | {cache['bytes_allocated'] / 2**20:.1f} | {cache['ratio']:.3f} | {decoding:.0f} | {peak:.0f} | "
                  f"{result['prefill_seconds']:.1f} | {speed:.1f} |", flush=True)


if __name__ == "__main__":
    main()
