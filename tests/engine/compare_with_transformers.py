#!/usr/bin/env python3
"""Greedy generation of the command line against transformers, both in f32: ids must be equal.

Usage: compare_with_transformers.py MODEL_DIR [--lowkey PROGRAM] [--tokens 32] [--threads 2]
Exit code 0: equal; 1: not; 77: skipped, because torch or transformers is not installed.
"""

import argparse
import json
import subprocess
import sys

PROMPTS = [
    "Once upon a time there was a little girl who",
    "def quick_sort(values):\n",
    "The three largest cities of France are",
    "Question: what is 12 times 12?\nAnswer:",
    "It was a dark night; Sélène — the captain's 3rd daughter — said: «",
]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--lowkey", default="build/release/bin/lowkey")
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as error:
        print(f"SKIPPED: {error}; pip install torch transformers")
        return 77

    torch.set_num_threads(args.threads)
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
    failures = 0
    for prompt in PROMPTS:
        command = [args.lowkey, "generate", args.model, "-p", prompt, "-n", str(args.tokens),
                   "--temperature", "0", "--dtype", "f32", "--threads", str(args.threads), "--json", "--quiet"]
        ours = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        with torch.no_grad():
            theirs = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False,
                                    max_new_tokens=args.tokens)
        theirs = theirs[0, ids.shape[1]:].tolist()
        text = tokenizer.decode(theirs, skip_special_tokens=True)
        equal = ours["ids"] == theirs and ours["prompt_tokens"] == ids.shape[1]
        equal = equal and ours["text"] == text
        print(f"{'equal' if equal else 'DIFFERENT'}: {len(theirs)} tokens after {prompt!r}")
        if not equal:
            failures += 1
            print(f"  lowkey       {ours['ids']} {ours['text']!r}")
            print(f"  transformers {theirs} {text!r}")
    print(f"{len(PROMPTS) - failures} of {len(PROMPTS)} prompts equal")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
