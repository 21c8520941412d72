#!/usr/bin/env python3
"""Compares token policies at equal bytes: the tables of docs/razor.md.

    scripts/razor_table.py MODEL --haystack essays/ --text book.txt --lengths 1024 2048 4096 --results results/

For each length all plans take the same prompts, each computed once: the needle grid, and the perplexity of what follows
a prompt of that length, decoded through the cache. The baselines get as many whole pages per KV head as RazorAttention
takes on average, rounded up. Cells are printed as they come, the table at the end; what --results holds already is not
run again. Progress goes to stderr."""
import argparse
import json
import math
import os
import tempfile

from program import run

TILE = 16  # tokens
PAGE_BYTES = 32 * 1024
LEAST_OBSERVED = 33  # SnapKV's last queries, and a token that they choose


class Table:
    def __init__(self, a, folder):
        self.a = a
        self.folder = folder
        info, _ = run([a.lowkey, "info", a.model], quiet=())
        self.heads = info["num_layers"] * info["num_kv_heads"]
        self.page_tokens = PAGE_BYTES * self.heads // info["kv_bytes_per_token"] // TILE * TILE
        self.window = ["--window", str(a.window), "--window-fraction", str(a.window_fraction)]
        self.find_heads()

    def json(self, name, command):
        """What a command prints, kept under a name."""
        path = os.path.join(self.folder, name)
        if not os.path.exists(path):
            result, _ = run(command)
            with open(path + ".new", "w") as file:
                json.dump(result, file)
            os.rename(path + ".new", path)
        with open(path) as file:
            return json.load(file)

    def find_heads(self):
        """The heads that RazorAttention keeps whole, and those of them that it keeps for their induction score."""
        a = self.a
        found = self.json("heads.json", [a.lowkey, "plan", a.model, "--method", "razor", *self.window, "--induction",
                                         str(a.induction), "--echo", str(a.echo), "-o",
                                         os.path.join(self.folder, "heads.plan")])
        self.retrieval = [f"{layer}:{head}" for layer, head in found["retrieval_heads"]]
        group = len(found["induction"][0]) * len(found["induction"]) // self.heads
        scores = {f"{layer}:{i // group}": max(row[i:i + group])
                  for layer, row in enumerate(found["induction"]) for i in range(0, len(row), group)}
        count = math.ceil(a.induction * self.heads - 1e-9)
        best = sorted(scores, key=scores.get, reverse=True)[:count]
        self.induction_only = [head for head in self.retrieval if head in best]

    def plan(self, row, length, flags):
        path = os.path.join(self.folder, f"{row.replace(' ', '-').replace(',', '')}-{length}.plan")
        if not os.path.exists(path):
            run([self.a.lowkey, "plan", self.a.model, *flags, "-o", path])
        return path

    def razor(self, heads, *flags):
        return ["--method", "razor", *self.window, "--retrieval-heads", ",".join(heads) or "none", *flags]

    def plans(self, length):
        """The plan of each row."""
        a = self.a
        razor = self.plan("razor", length, self.razor(self.retrieval))
        shown, _ = run([a.lowkey, "inspect", razor, "--context", str(length)], quiet=())
        pages = -(-shown["cache"]["bytes_allocated"] // (PAGE_BYTES * self.heads))
        whole = pages * self.page_tokens
        heavy = min(length, whole - TILE) // 2  # what is decoded replaces other tokens
        capacity = max(LEAST_OBSERVED, min(length, whole - a.scored))  # what is decoded stays
        # The first page holds the sinks, and a window crosses one border between pages.
        window = max(1, min(length, (pages - 2) * self.page_tokens))
        rows = {
            "full": ["--method", "full"],
            "razor": self.razor(self.retrieval),
            "razor without echo heads": self.razor(self.induction_only),
            "razor, random heads": ["--method", "razor", *self.window, "--random-heads", str(len(self.retrieval))],
            "razor without compensation": self.razor(self.retrieval, "--no-compensation"),
            "streaming": ["--method", "streaming", "--window", str(window)],
            "h2o": ["--method", "h2o", "--recent", str(heavy), "--heavy", str(heavy)],
            "snapkv": ["--method", "snapkv", "--capacity", str(capacity)],
            "pyramidkv": ["--method", "pyramidkv", "--capacity", str(capacity)],
        }
        return {row: self.plan(row, length, flags) for row, flags in rows.items() if not a.only or row in a.only}

    def measure(self, length):
        """{row: cell} of one length."""
        a = self.a
        plans = self.plans(length)
        with_plans = [flag for path in plans.values() for flag in ("--plan", path)]
        suffix = f"{length}-{len(plans)}"
        needle = self.json(f"needle-{suffix}.json", [
            a.lowkey, "eval", "needle", a.model, "--haystack", a.haystack, "--depths", a.depths, "--trials",
            str(a.trials), "--needles", str(a.needles), *(["--decode-question"] if a.decode_question else []),
            "--lengths", str(length), *with_plans, "--resume", os.path.join(self.folder, f"needle-{suffix}.jsonl")])
        scored = self.json(f"perplexity-{suffix}.json", [
            a.lowkey, "eval", "perplexity", a.model, "--text", a.text, "--length", str(length + a.scored), "--prefill",
            str(length), "--sequences", str(a.sequences), *with_plans]) if a.sequences else None
        cells = {}
        for i, row in enumerate(plans):
            found = needle["plans"][i]
            cells[row] = f"{found['mean']:.2f}"
            if scored:
                cells[row] += f", {scored['plans'][i]['perplexity']:.2f}"
            cells[row] += f" ({found['cache']['ratio']:.2f})"
            print(f"{length} tokens, {row}: {cells[row]}", flush=True)
        return cells


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--lowkey", default="build/release/bin/lowkey")
    parser.add_argument("--haystack", required=True, help="folder of texts that hide the needles")
    parser.add_argument("--text", required=True, help="text whose perplexity is measured")
    parser.add_argument("--lengths", type=int, nargs="+", default=[1024, 2048, 4096])
    parser.add_argument("--depths", default="0,0.25,0.5,0.75,1")
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--needles", type=int, default=1)
    parser.add_argument("--window", type=int, default=128, help="least window of RazorAttention's other heads")
    parser.add_argument("--window-fraction", type=float, default=0.2)
    parser.add_argument("--induction", type=float, default=0.14)
    parser.add_argument("--echo", type=float, default=0.01)
    parser.add_argument("--scored", type=int, default=128, help="tokens scored after each prompt")
    parser.add_argument("--sequences", type=int, default=4, help="prompts of the perplexity, per length; 0: none")
    parser.add_argument("--only", nargs="+", help="rows to run, by name (two or more)")
    parser.add_argument("--decode-question", action="store_true", help="ask after the text was compressed")
    parser.add_argument("--results", help="folder that keeps plans and results")
    a = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        folder = a.results or temporary
        os.makedirs(folder, exist_ok=True)
        table = Table(a, folder)
        print(f"{len(table.retrieval)} of {table.heads} KV heads retrieve: {' '.join(table.retrieval)}; without echo "
              f"heads: {' '.join(table.induction_only)}\n", flush=True)
        columns = [table.measure(length) for length in a.lengths]
    print("\n| | " + " | ".join(f"{n} tokens" for n in a.lengths) + " |")
    print("|---" * (len(a.lengths) + 1) + "|")
    for row in columns[0]:
        print(f"| {row} | " + " | ".join(column[row] for column in columns) + " |")


if __name__ == "__main__":
    main()
