#!/usr/bin/env python3
"""Measures lowkey and llama.cpp side by side: decoding at some depths, and the prefill of a prompt.

    bench/peers/llama_cpp.py MODEL MODEL.gguf --depths 0,4096,16384

MODEL is a Hugging Face directory, MODEL.gguf the same model for llama.cpp. Needs llama-cpp-python (`pip install
llama-cpp-python`); says so and ends without an error where it is not installed. Both run on the same threads, one after
the other, greedily. lowkey fills its cache directly; llama.cpp prefills, which is not counted. Prints a Markdown table;
progress goes to stderr."""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time


# Python looks for modules beside the script first, where llama_cpp would be this file.
HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:] = [folder for folder in sys.path if os.path.realpath(folder or ".") != HERE]


def numbers(text):
    return [int(part) for part in text.split(",")]


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def run_lowkey(a):
    command = [a.lowkey, "bench", a.model, "--json", "--threads", str(a.threads), "--repeat", str(a.repeat),
               "--generate", str(a.generate), "--prompt", str(a.prompt), "--depths", ",".join(map(str, a.depths))]
    say("$", *command)
    result = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if result.returncode:
        sys.exit(f"llama_cpp.py: failed: {' '.join(command)}")
    return json.loads(result.stdout)


def median_seconds(repeat, call):
    """The median of what `call` takes, itself or as it says."""
    return statistics.median(call() for _ in range(repeat))


class Peer:
    """llama.cpp through llama-cpp-python."""

    def __init__(self, llama_cpp, a):
        self.repeat = a.repeat
        context = max([a.prompt, *a.depths]) + a.generate + 2
        self.llama = llama_cpp.Llama(model_path=a.gguf, n_ctx=context, n_batch=512, n_threads=a.threads,
                                     n_threads_batch=a.threads, flash_attn=True, verbose=False)
        self.tokens = [(i * 7919 + 11) % min(self.llama.n_vocab(), 30000) for i in range(context)]

    def prefill(self, count):
        """Tokens per second of a prompt."""
        def once():
            self.llama.reset()
            start = time.perf_counter()
            self.llama.eval(self.tokens[:count])
            return time.perf_counter() - start
        return count / median_seconds(self.repeat, once)

    def decode(self, depth, generate):
        """Tokens per second of greedy steps after `depth` tokens and one that is not counted."""
        self.llama.reset()
        if depth:
            self.llama.eval(self.tokens[:depth])

        def once():
            # Back to the same depth: what was decoded is overwritten.
            self.llama.n_tokens = depth
            self.llama.eval([self.tokens[depth]])
            start = time.perf_counter()
            for _ in range(generate):
                self.llama.eval([self.llama.sample(temp=0)])
            return (time.perf_counter() - start) / generate
        return 1 / median_seconds(self.repeat, once)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="Hugging Face directory")
    parser.add_argument("gguf", help="the same model as a .gguf file")
    parser.add_argument("--lowkey", default="build/release/bin/lowkey")
    parser.add_argument("--depths", type=numbers, default=[0, 4096, 16384])
    parser.add_argument("--prompt", type=int, default=512, help="tokens of the prefill")
    parser.add_argument("--generate", type=int, default=32, help="steps at each depth")
    parser.add_argument("--repeat", type=int, default=3, help="runs, of which the median counts")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of both (default: %(default)s)")
    a = parser.parse_args()
    try:
        import llama_cpp
    except (ImportError, OSError) as error:  # OSError: installed, but its library does not load
        print(f"llama_cpp.py: skipped: llama-cpp-python is not here ({error}); pip install llama-cpp-python")
        return
    for path in (a.model, a.gguf, a.lowkey):
        if not os.path.exists(path):
            sys.exit(f"llama_cpp.py: no such file: {path}")

    ours = run_lowkey(a)
    say(f"llama.cpp: loading {a.gguf}")
    peer = Peer(llama_cpp, a)
    rows = [(f"prefill of {a.prompt}", ours["prefill"][0], peer.prefill(a.prompt))]
    for run in ours["decode"]:
        say(f"llama.cpp: decode at {run['depth']}")
        rows.append((f"decode at {run['depth']}", run, peer.decode(run["depth"], a.generate)))

    machine = ours["machine"]
    print(f"{machine['processor']}, {a.threads} threads; memory reads {machine['read_gbs']:.1f} GB/s. lowkey holds weights "
          f"in {ours['model']['dtype']}, llama.cpp {llama_cpp.__version__} as {os.path.basename(a.gguf)} has them "
          f"({os.path.getsize(a.gguf) / 1e9:.2f} GB): where the formats differ, a step reads different bytes, so compare "
          "shares of the limit too.\n")
    print("| | lowkey, tokens/s | of the limit | llama.cpp, tokens/s | ratio |")
    print("|---|---|---|---|---|")
    for name, run, theirs in rows:
        speed = run["tokens_per_second"]
        print(f"| {name} | {speed:.2f} | {run['limit_share']:.2f} | {theirs:.2f} | {speed / theirs:.2f} |")


if __name__ == "__main__":
    main()
