#!/usr/bin/env python3
"""Compares token policies at equal bytes: the tables of docs/razor.md.

    scripts/razor_table.py small --haystack essays/ --text book.txt --lengths 1024 2048 4096

Every plan is made for each length, so that it takes the bytes that RazorAttention takes there: the needle grid and the
perplexity of what follows a prompt of that length (decoded through the cache). Progress goes to stderr."""
import argparse
import tempfile

from program import run


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
    parser.add_argument("--sequences", type=int, default=4, help="prompts of the perplexity, per length")
    parser.add_argument("--only", nargs="+", help="rows to run, by name")
    parser.add_argument("--decode-question", action="store_true", help="ask after the text was compressed")
    a = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        plan = f"{folder}/plan"
        window = ["--window", str(a.window), "--window-fraction", str(a.window_fraction)]
        razor = ["--method", "razor", *window]
        found, _ = run([a.lowkey, "plan", a.model, *razor, "--induction", str(a.induction), "--echo", str(a.echo),
                        "-o", plan])
        heads = found["retrieval_heads"]
        # The same heads in every row: scores are not computed again.
        named = ["--retrieval-heads", ",".join(f"{layer}:{head}" for layer, head in heads) or "none"]
        induction_only, _ = run([a.lowkey, "plan", a.model, *razor, "--induction", str(a.induction), "--echo", "0",
                                 "-o", plan])
        without_echo = ["--retrieval-heads", ",".join(f"{layer}:{head}" for layer, head
                                                      in induction_only["retrieval_heads"]) or "none"]
        rows = {
            "full": lambda share: None,
            "razor": lambda share: [*razor, *named],
            "razor without echo heads": lambda share: [*razor, *without_echo],
            "razor, random heads": lambda share: [*razor, "--random-heads", str(len(heads))],
            "razor without compensation": lambda share: [*razor, *named, "--no-compensation"],
            "streaming": lambda share: ["--method", "streaming", "--keep", f"{share:.4f}"],
            "h2o": lambda share: ["--method", "h2o", "--keep", f"{share:.4f}"],
            "snapkv": lambda share: ["--method", "snapkv", "--keep", f"{share:.4f}"],
            "pyramidkv": lambda share: ["--method", "pyramidkv", "--keep", f"{share:.4f}"],
        }
        print(f"{len(heads)} retrieval heads: " + " ".join(f"{layer}:{head}" for layer, head in heads) + "\n")
        print("| | " + " | ".join(f"{n} tokens" for n in a.lengths) + " |")
        print("|---" * (len(a.lengths) + 1) + "|", flush=True)
        shares = {}
        needle = ["--haystack", a.haystack, "--depths", a.depths, "--trials", str(a.trials), "--needles",
                  str(a.needles), *(["--decode-question"] if a.decode_question else [])]
        for name, make in rows.items():
            if a.only and name not in a.only and name != "razor":
                continue
            cells = []
            for n in a.lengths:
                flags = make(shares.get(n, 1.0))
                with_plan = []
                if flags is not None:
                    run([a.lowkey, "plan", a.model, *flags, "-o", plan])
                    with_plan = ["--plan", plan]
                found, _ = run([a.lowkey, "eval", "needle", a.model, *needle, "--lengths", str(n), *with_plan])
                scored, _ = run([a.lowkey, "eval", "perplexity", a.model, "--text", a.text, "--length", str(n + a.scored),
                              "--prefill", str(n), "--sequences", str(a.sequences), *with_plan])
                ratio = found["cache"]["ratio"]
                if name == "razor":
                    shares[n] = min(1.0, ratio)
                cells.append(f"{found['mean']:.2f}, {scored['perplexity']:.2f} ({ratio:.2f})")
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
