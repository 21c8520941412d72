#!/usr/bin/env python3
"""Zero-shot scores of the command line against transformers: lm-evaluation-harness's protocol for
PIQA and LAMBADA, written again here, every choice run as a whole sequence of its own.

Usage: compare_zeroshot_with_transformers.py MODEL_DIR TASK DATA [--lowkey PROGRAM] [--limit 200]
       [--dtype bf16] [--native-logits] [--questions N] [--tolerance 0.01] [--threads 2]
TASK is piqa or lambada, DATA its .jsonl file (piqa: labels in the records or beside). Passes when
no more than N answers differ (default: 1 in bf16, 0 in f32) and LAMBADA's perplexity is within the
tolerance (relative). In bf16 transformers rounds even the logits to 8 bits, which decides near ties
by chance; lowkey does not, so the output head computes in f32 here, unless --native-logits leaves
it as it is. Exit code 0: passed; 1: not; 77: skipped, because torch or transformers is not
installed.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile


def read_questions(task, path, limit):
    """(context, continuations, characters of the answers, index of the right one) of each record."""
    with open(path, encoding="utf-8") as file:
        records = [json.loads(line) for line in file if line.strip()][:limit]
    if task == "lambada":
        for record in records:
            *front, word = record["text"].split(" ")
            yield " ".join(front), [" " + word], [len(word)], 0
        return
    labels = [record.get("label") for record in records]
    beside = os.path.splitext(path)[0] + "-labels.lst"
    if os.path.exists(beside):
        with open(beside, encoding="utf-8") as file:
            labels = [int(line) for line in file][:limit]
    for record, label in zip(records, labels):
        answers = [record["sol1"], record["sol2"]]
        yield (f"Question: {record['goal']}\nAnswer:", [" " + answer for answer in answers],
               [len(answer) for answer in answers], int(label))


def encode(tokenizer, context, continuation):
    """Context and continuation as lm-evaluation-harness cuts them."""
    def ids(text):
        return tokenizer(text, add_special_tokens=False).input_ids

    if not context:
        start = tokenizer.bos_token_id
        return [tokenizer.eos_token_id if start is None else start], ids(continuation)
    spaces = len(context) - len(context.rstrip())
    if spaces:
        continuation = context[-spaces:] + continuation
        context = context[:-spaces]
    front = ids(context)
    return front, ids(context + continuation)[len(front):]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("task", choices=["piqa", "lambada"])
    parser.add_argument("data")
    parser.add_argument("--lowkey", default="build/release/bin/lowkey")
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--dtype", default="bf16", choices=["bf16", "f32"])
    parser.add_argument("--native-logits", action="store_true")
    parser.add_argument("--questions", type=int)
    parser.add_argument("--tolerance", type=float, default=0.01)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    allowed = args.questions if args.questions is not None else int(args.dtype == "bf16")
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as error:
        print(f"SKIPPED: {error}; pip install torch transformers")
        return 77

    with tempfile.TemporaryDirectory() as folder:
        journal = os.path.join(folder, "items.jsonl")
        command = [args.lowkey, "eval", "zeroshot", args.model, "--task", args.task, "--data",
                   args.data, "--limit", str(args.limit), "--dtype", args.dtype, "--threads",
                   str(args.threads), "--resume", journal, "--json"]
        ours = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        with open(journal, encoding="utf-8") as file:
            items = [json.loads(line) for line in file][1:]

    torch.set_num_threads(args.threads)
    dtype = {"bf16": torch.bfloat16, "f32": torch.float32}[args.dtype]
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=dtype).eval()
    if not args.native_logits:
        head = model.get_output_embeddings()
        head.weight = torch.nn.Parameter(head.weight.float())  # no longer the embedding's
        head.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(),))
    right, right_norm, log_likelihood, different, different_norm, count = 0, 0, 0.0, 0, 0, 0
    for index, (context, continuations, lengths, gold) in enumerate(
            read_questions(args.task, args.data, args.limit)):
        sums, greedy = [], []
        for continuation in continuations:
            front, behind = encode(tokenizer, context, continuation)
            ids = torch.tensor(front + behind)
            with torch.no_grad():
                logits = model(ids[None, :-1]).logits[0, len(front) - 1:]
            logs = torch.log_softmax(logits.float(), dim=-1)
            sums.append(logs.gather(1, ids[len(front):, None]).sum().item())
            greedy.append(bool((logs.argmax(dim=-1) == ids[len(front):]).all()))
        best = max(range(len(sums)), key=lambda i: sums[i])
        best_norm = max(range(len(sums)), key=lambda i: sums[i] / lengths[i])
        is_right = greedy[0] if args.task == "lambada" else best == gold
        right += is_right
        right_norm += best_norm == gold
        log_likelihood += sums[0]
        scores = items[index]["scores"]
        different += scores["accuracy"] != is_right
        if args.task == "piqa":
            different_norm += scores["accuracy_norm"] != (best_norm == gold)
        count += 1
        if count % 50 == 0:
            print(f"  {count}: {right / count:.4f}", flush=True)

    accuracy, error = right / count, math.sqrt(right / count * (1 - right / count) / (count - 1))
    print(f"{args.task}, {count} questions in {args.dtype}")
    print(f"accuracy    lowkey {ours['accuracy']:.4f} ± {ours['stderr']:.4f}, transformers "
          f"{accuracy:.4f} ± {error:.4f}; {different} answers differ")
    passed = ours["n"] == count and different <= allowed
    if args.task == "piqa":
        print(f"normalised  lowkey {ours['accuracy_norm']:.4f}, transformers "
              f"{right_norm / count:.4f}; {different_norm} answers differ")
        passed = passed and different_norm <= allowed
    else:
        theirs = math.exp(-log_likelihood / count)
        difference = ours["perplexity"] / theirs - 1
        print(f"perplexity  lowkey {ours['perplexity']:.4f}, transformers {theirs:.4f} "
              f"({difference:+.3%})")
        passed = passed and abs(difference) <= args.tolerance
    print("passed" if passed else "FAILED")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
