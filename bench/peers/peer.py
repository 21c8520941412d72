"""What the peers' scripts share: measures a peer as `lowkey bench` measures lowkey, and prints JSON like it.

A peer is a class with

    engine, cache        what ran, for the table: "llama.cpp 1.0", "f16"
    Peer(a)              loads the file a.gguf for a.context tokens on a.threads; ImportError where it is not installed
    prefill(ids)         seconds of a prompt through an empty cache, up to the choice of the next token
    decode(ids, n)       seconds of one of n greedy steps, after `ids` and the step that chooses the first token;
                         and the n + 1 tokens. May find the beginning of `ids` in its cache.
"""
import argparse
import json
import os
import random
import statistics
import sys

TOP_TOKEN = 30000  # random ids lie below it: ordinary tokens in every vocabulary that has so many


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def numbers(text):
    return [int(part) for part in text.split(",") if part]


def add_measures(parser):
    """The flags of `lowkey bench` that say what is measured."""
    parser.add_argument("--prompt", type=numbers, default=[512], help="tokens of each prefill (default: 512)")
    parser.add_argument("--depths", type=numbers, default=[0, 4096, 16384],
                        help="tokens in the cache before decoding (default: 0,4096,16384)")
    parser.add_argument("--generate", type=int, default=32, help="steps at each depth (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=3, help="runs, of which the median counts (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="(default: %(default)s)")


def measure_flags(a):
    """`a` as arguments again, for lowkey or a peer's program."""
    return ["--prompt", ",".join(map(str, a.prompt)), "--depths", ",".join(map(str, a.depths)),
            "--generate", str(a.generate), "--repeat", str(a.repeat), "--threads", str(a.threads)]


def weights_of(path):
    """Type of most of a GGUF file's numbers, and its size."""
    size = f"{os.path.getsize(path) / 1e9:.2f} GB"
    try:
        import gguf
    except ImportError:
        return f"{os.path.basename(path)}, {size}"
    sizes = {}
    for tensor in gguf.GGUFReader(path).tensors:
        kind = tensor.tensor_type.name.lower()
        sizes[kind] = sizes.get(kind, 0) + int(tensor.n_bytes)
    return f"{max(sizes, key=sizes.get)}, {size}"


def parse(description):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gguf", help="the model as a .gguf file")
    add_measures(parser)
    parser.add_argument("--cache", help="type of the cache's numbers (default: the peer's own)")
    parser.add_argument("--check", type=numbers, default=[], help="ids of a prompt that is continued greedily")
    a = parser.parse_args()
    if not os.path.exists(a.gguf):
        sys.exit(f"{os.path.basename(sys.argv[0])}: no such file: {a.gguf}")
    a.context = max([len(a.check), *a.prompt, *a.depths]) + a.generate + 2
    return a


def measure(peer, a):
    """Fields as in `lowkey bench --json`."""
    source = random.Random(1)
    ids = [source.randrange(TOP_TOKEN) for _ in range(a.context)]

    def prompt(count):
        """A prompt that no cache has seen, so that none of it is found there."""
        return [source.randrange(TOP_TOKEN), *ids[1:count]]

    result = {"engine": peer.engine, "weights": weights_of(a.gguf), "cache": peer.cache, "prefill": [], "decode": []}
    if a.check:
        result["ids"] = peer.decode(a.check, a.generate)[1]
    for count in a.prompt:
        say(f"{peer.engine}: prefill of {count}")
        peer.prefill(prompt(min(count, 512)))  # what is made at the first use is not counted
        seconds = statistics.median(peer.prefill(prompt(count)) for _ in range(a.repeat))
        result["prefill"].append({"tokens": count, "tokens_per_second": count / seconds})
    for depth in sorted(a.depths):
        say(f"{peer.engine}: decode at {depth}")
        seconds = statistics.median(peer.decode(ids[:depth + 1], a.generate)[0] for _ in range(a.repeat))
        result["decode"].append({"depth": depth, "tokens_per_second": 1 / seconds})
    return result


def run(make, description):
    """A peer's program. Without the peer: an error's reason in the JSON."""
    a = parse(description)
    try:
        peer = make(a)
    except (ImportError, OSError, RuntimeError, ValueError, AttributeError) as error:  # absent, or refuses file or cache
        reason = str(error).strip().splitlines()[-1]
        say(f"{os.path.basename(sys.argv[0])}: skipped: {reason}")
        print(json.dumps({"skipped": reason}))
        return
    print(json.dumps(measure(peer, a)))
