#!/usr/bin/env python3
"""Perplexity of the command line against transformers, on the same windows of a text.

Usage: compare_with_transformers.py MODEL_DIR TEXT [--lowkey PROGRAM] [--dtype bf16]
       [--max-tokens 16384] [--length 2048] [--tolerance 0.005] [--threads 2]
Exit code 0: within the tolerance (relative); 1: not; 77: skipped, because torch or transformers is
not installed.
"""

import argparse
import json
import math
import subprocess
import sys


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("text")
    parser.add_argument("--lowkey", default="build/release/bin/lowkey")
    parser.add_argument("--dtype", default="bf16", choices=["bf16", "f32"])
    parser.add_argument("--max-tokens", type=int, default=16384)
    parser.add_argument("--length", type=int, default=2048)
    parser.add_argument("--tolerance", type=float, default=0.005)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as error:
        print(f"SKIPPED: {error}; pip install torch transformers")
        return 77

    command = [args.lowkey, "eval", "perplexity", args.model, "--text", args.text, "--length",
               str(args.length), "--max-tokens", str(args.max_tokens), "--dtype", args.dtype,
               "--threads", str(args.threads), "--json", "--quiet"]
    ours = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)

    torch.set_num_threads(args.threads)
    dtype = {"bf16": torch.bfloat16, "f32": torch.float32}[args.dtype]
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=dtype).eval()
    with open(args.text, encoding="utf-8", newline="") as file:
        ids = tokenizer(file.read(), add_special_tokens=False, verbose=False).input_ids
    ids = ids[:args.max_tokens]
    total, scored = 0.0, 0
    for start in range(0, len(ids) - args.length + 1, args.length):
        window = torch.tensor(ids[start:start + args.length])
        with torch.no_grad():
            logits = model(window[None]).logits[0, :-1]
        for rows, targets in zip(logits.split(256), window[1:].split(256)):
            logs = torch.log_softmax(rows.double(), dim=-1)
            total -= logs.gather(1, targets[:, None]).sum().item()
        scored += args.length - 1
        print(f"  {start + args.length} tokens: {math.exp(total / scored):.4f}", flush=True)
    theirs = math.exp(total / scored)
    difference = ours["perplexity"] / theirs - 1
    passed = ours["tokens"] == scored and abs(difference) <= args.tolerance
    print(f"{'passed' if passed else 'FAILED'}: perplexity {ours['perplexity']:.4f}, transformers "
          f"{theirs:.4f} ({difference:+.4%}) over {ours['tokens']} and {scored} tokens in "
          f"{args.dtype}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
