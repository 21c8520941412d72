#!/usr/bin/env python3
"""Zero-shot scores of the command line against transformers: lm-evaluation-harness's protocol for
PIQA and LAMBADA, written again here, every choice run as a whole sequence of its own.

Usage: compare_zeroshot_with_transformers.py MODEL_DIR TASK DATA [--lowkey PROGRAM] [--limit 200]
       [--dtype bf16] [--native-logits] [--truth] [--questions N] [--tolerance 0.01] [--threads 2]
TASK is piqa or lambada, DATA its .jsonl file (piqa: labels in the records or beside). Passes when
no more than N answers differ (default: 1 in bf16, 0 in f32) and LAMBADA's perplexity is within the
tolerance (relative).

In bf16 transformers rounds even the logits to 8 bits: steps of 1/16 to 1/8 for logits of 8 to 32,
which decide near ties by chance. lowkey rounds weights and the inputs of products, but never a
logit. So by default the output head here computes in f32; --native-logits leaves it as it is.
--truth also runs the model in f32 and says how far either is from that. Exit code 0: passed; 1:
not; 77: skipped, because torch or transformers is not installed.
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


class Answers:
    """What a program makes of the questions."""

    def __init__(self, right, right_norm, values, perplexity=None):
        self.right, self.right_norm = right, right_norm  # of each question; right_norm: piqa only
        # Of each question: how far the right choice is ahead (piqa), or its log-likelihood.
        self.values = values
        self.perplexity = perplexity

    def accuracy(self):
        return sum(self.right) / len(self.right)

    def accuracy_norm(self):
        return sum(self.right_norm) / len(self.right_norm)

    def differing(self, other):
        return sum(a != b for a, b in zip(self.right, other.right))

    def differing_norm(self, other):
        return sum(a != b for a, b in zip(self.right_norm, other.right_norm))

    def distance(self, other):
        """Mean distance of the values, nats."""
        return sum(abs(a - b) for a, b in zip(self.values, other.values)) / len(self.values)


def run_lowkey(args):
    with tempfile.TemporaryDirectory() as folder:
        journal = os.path.join(folder, "items.jsonl")
        command = [args.lowkey, "eval", "zeroshot", args.model, "--task", args.task, "--data",
                   args.data, "--limit", str(args.limit), "--dtype", args.dtype, "--threads",
                   str(args.threads), "--resume", journal, "--json"]
        ours = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        with open(journal, encoding="utf-8") as file:
            scores = [json.loads(line)["scores"] for line in file.readlines()[1:]]
    value = "margin" if args.task == "piqa" else "log_likelihood"
    return Answers([bool(score["accuracy"]) for score in scores],
                   [bool(score.get("accuracy_norm")) for score in scores],
                   [score[value] for score in scores], ours.get("perplexity"))


def run_transformers(args, dtype, native_logits):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    torch.set_num_threads(args.threads)
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=getattr(torch, dtype)).eval()
    if not native_logits:
        head = model.get_output_embeddings()
        head.weight = torch.nn.Parameter(head.weight.float())  # no longer the embedding's
        head.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(),))
    right, right_norm, values = [], [], []
    for context, continuations, lengths, gold in read_questions(args.task, args.data, args.limit):
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
        right.append(greedy[0] if args.task == "lambada" else best == gold)
        right_norm.append(best_norm == gold)
        values.append(sums[0] if args.task == "lambada" else sums[gold] - sums[1 - gold])
        if len(right) % 50 == 0:
            print(f"  {dtype} {len(right)}: {sum(right) / len(right):.4f}", flush=True)
    return Answers(right, right_norm, values,
                   math.exp(-sum(values) / len(values)) if args.task == "lambada" else None)


def describe(args, name, answers, others):
    """A line on answers, with their differences from others by name."""
    line = f"{name:<22} accuracy {answers.accuracy():.4f}"
    if args.task == "piqa":
        line += f"  normalised {answers.accuracy_norm():.4f}"
    else:
        line += f"  perplexity {answers.perplexity:.4f}"
    for other_name, other in others.items():
        line += f"  | {answers.differing(other)} answers"
        if args.task == "piqa":
            line += f", {answers.differing_norm(other)} normalised"
        line += f" differ from {other_name}, mean distance {answers.distance(other):.5f} nats"
    print(line)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("task", choices=["piqa", "lambada"])
    parser.add_argument("data")
    parser.add_argument("--lowkey", default="build/release/bin/lowkey")
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--dtype", default="bf16", choices=["bf16", "f32"])
    parser.add_argument("--native-logits", action="store_true")
    parser.add_argument("--truth", action="store_true")
    parser.add_argument("--questions", type=int)
    parser.add_argument("--tolerance", type=float, default=0.01)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    allowed = args.questions if args.questions is not None else int(args.dtype == "bf16")
    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        print(f"SKIPPED: {error}; pip install torch transformers")
        return 77

    dtype = {"bf16": "bfloat16", "f32": "float32"}[args.dtype]
    ours = run_lowkey(args)
    theirs = run_transformers(args, dtype, args.native_logits)
    truth = {}
    if args.truth:
        truth["f32"] = run_transformers(args, "float32", True)
    print(f"{args.task}, {len(ours.right)} questions in {args.dtype}")
    describe(args, "lowkey", ours, {"transformers": theirs, **truth})
    describe(args, "transformers", theirs, truth)
    for name, answers in truth.items():
        describe(args, f"transformers in {name}", answers, {})
    passed = len(ours.right) == len(theirs.right) and ours.differing(theirs) <= allowed
    if args.task == "piqa":
        passed = passed and ours.differing_norm(theirs) <= allowed
    else:
        passed = passed and abs(ours.perplexity / theirs.perplexity - 1) <= args.tolerance
    print("passed" if passed else "FAILED")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
