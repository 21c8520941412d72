#!/usr/bin/env python3
"""Measures Eigen Attention plans of a model: the tables of docs/eigen.md.

    scripts/eigen_table.py MODEL --calibration wiki.valid.txt --text wiki.test.txt

Every plan is calibrated on 4 x 1024 tokens of one text and scored on 4 x 1024 tokens of the other. The second table
prefills one long prompt and reports the page pool's bytes and the process's peak memory. Progress goes to stderr."""
import argparse
import os
import tempfile

from program import run

BASES = [("keys", "values"), ("keys-shared", "values"), ("joint", "values"), ("joint-rotated", "values"),
         ("product", "values-wo"), ("product-rotated", "values-wo"), ("keys-weighted", "values-wo"),
         ("keys-attended", "values-wo"), ("keys-attended", "values-out")]


def rows():
    yield "**default**", []
    few = ["--search-tokens", "1024"]  # on which layers' errors are measured
    for key, value in reversed(BASES):
        yield f"`{key}` + `{value}`", [*few, "--allocation", "uniform", "--key-basis", key, "--value-basis", value]
    yield "paper (`--preset paper`)", [*few, "--preset", "paper"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--lowkey", default="build/release/bin/lowkey")
    parser.add_argument("--calibration", required=True, help="text to calibrate on")
    parser.add_argument("--text", required=True, help="text to score")
    parser.add_argument("--keep", type=float, nargs="+", default=[0.8, 0.6, 0.5])
    parser.add_argument("--sequences", type=int, default=4)
    parser.add_argument("--length", type=int, default=1024)
    parser.add_argument("--long", type=int, default=16384, help="tokens of the long prompt; 0 leaves it out")
    a = parser.parse_args()
    size = ["--sequences", str(a.sequences), "--length", str(a.length)]
    with tempfile.TemporaryDirectory() as folder:
        stats, plan = f"{folder}/stats", f"{folder}/plan"
        run([a.lowkey, "calibrate", a.model, "--text", a.calibration, *size, "-o", stats])
        score = [a.lowkey, "eval", "perplexity", a.model, "--text", a.text]
        full, _ = run([*score, *size])
        print(f"Uncompressed: perplexity {full['perplexity']:.2f}.\n")
        print("| keys + values | " + " | ".join(f"keep {k:g}" for k in a.keep) + " |")
        print("|---" * (len(a.keep) + 1) + "|", flush=True)
        kept = {}
        for name, flags in rows():
            cells = []
            for keep in a.keep:
                made, _ = run([a.lowkey, "plan", a.model, "--method", "eigen", "--stats", stats, "--keep", str(keep),
                               *flags, "-o", plan])
                result, _ = run([*score, *size, "--plan", plan])
                cells.append(f"{result['perplexity']:.2f} ({made['page_share']:.3f})")
                if not flags:
                    kept[keep] = f"{folder}/{keep}.plan"
                    os.rename(plan, kept[keep])
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
        if not a.long:
            return
        print("\n| default plan | `cache.ratio` | `bytes_allocated`, MiB | peak resident memory, MiB |\n|---|---|---|---|")
        for keep, path in [(1, None), *kept.items()]:
            result, resident = run([*score, "--sequences", "1", "--length", str(a.long),
                                    *(["--plan", path] if path else [])])
            cache = result["cache"]
            print(f"| {'none' if path is None else f'keep {keep:g}'} | {cache['ratio']:.3f} | "
                  f"{cache['bytes_allocated'] / 2**20:.1f} | {resident:.0f} |", flush=True)


if __name__ == "__main__":
    main()
