#!/usr/bin/env python3
"""Decodes beside other programs and in containers with little processor time: tokens per second, and as a share of alone.

    scripts/contention.py [MODEL...] [--tokens 200] [--repeat 3]

`busy 1` runs one busy process for each core beside lowkey, so that its fair share is half of what it has alone; `busy 2`
runs two (a third). `quota Q` runs it in a control group that grants Q processors (needs root, and a cgroup hierarchy
with the cpu controller; skipped otherwise), and compares with `--threads 1` alone. Each round takes all settings in
turn; medians of the rounds are shown."""
import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time

PROGRAM = "build/release/bin/lowkey"
BUSY = "while :; do :; done"


@contextlib.contextmanager
def busy(processes):
    """So many processes that compute, for as long as the block lasts."""
    others = [subprocess.Popen(["sh", "-c", BUSY]) for _ in range(processes)]
    try:
        time.sleep(0.3)  # until the system has spread them over the cores
        yield
    finally:
        for other in others:
            other.kill()
        for other in others:
            other.wait()


class Quota:
    """A control group whose processes get `cpus` processors' worth of time."""

    PERIOD = 100000

    def __init__(self, cpus):
        self.cpus = cpus
        self.folder = None
        v2 = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
        parent = "/sys/fs/cgroup" if v2 else "/sys/fs/cgroup/cpu"
        folder = f"{parent}/lowkey-contention-{os.getpid()}-{cpus}"
        try:
            if v2:
                with open(f"{parent}/cgroup.subtree_control", "w") as file:
                    file.write("+cpu")
            os.mkdir(folder)
            if v2:
                self.write(folder, "cpu.max", f"{int(cpus * self.PERIOD)} {self.PERIOD}")
            else:
                self.write(folder, "cpu.cfs_period_us", self.PERIOD)
                self.write(folder, "cpu.cfs_quota_us", int(cpus * self.PERIOD))
            self.folder = folder
        except OSError as error:
            print(f"quota {cpus}: skipped, {error}", file=sys.stderr)

    @staticmethod
    def write(folder, name, value):
        with open(f"{folder}/{name}", "w") as file:
            file.write(str(value))

    def enter(self):
        """Moves the calling process in."""
        self.write(self.folder, "cgroup.procs", os.getpid())

    def remove(self):
        if self.folder:
            os.rmdir(self.folder)


def tokens_per_second(model, tokens, options=(), enter=None):
    """Speed of decoding after a short prompt."""
    command = [PROGRAM, "generate", model, "-p", "Once upon a time", "-n", str(tokens), "--temperature", "0",
               "--ignore-eos", "--quiet", "--json", *options]
    run = subprocess.run(command, stdout=subprocess.PIPE, preexec_fn=enter, check=False)
    if run.returncode:
        sys.exit(f"failed: {' '.join(command)}")
    result = json.loads(run.stdout)
    return (len(result["ids"]) - 1) / result["decode_seconds"]


def measure(model, tokens, repeat, quotas):
    cores = len(os.sched_getaffinity(0))
    settings = {"alone": lambda: tokens_per_second(model, tokens)}
    for count in (1, 2):
        def beside(count=count):
            with busy(count * cores):
                return tokens_per_second(model, tokens)
        settings[f"busy {count}"] = beside
    settings["--threads 1"] = lambda: tokens_per_second(model, tokens, ("--threads", "1"))
    for quota in quotas:
        settings[f"quota {quota.cpus}"] = lambda quota=quota: tokens_per_second(model, tokens, enter=quota.enter)
    rounds = {name: [] for name in settings}
    for _ in range(repeat):
        for name, run in settings.items():
            rounds[name].append(run())
    medians = {name: statistics.median(values) for name, values in rounds.items()}
    print(f"{model} on {cores} processors, {tokens} tokens, medians of {repeat}")
    for name, value in medians.items():
        beside = "--threads 1" if name.startswith("quota") else "alone"
        spread = f"{min(rounds[name]):.1f}–{max(rounds[name]):.1f}"
        print(f"  {name:12} {value:8.1f} tokens/s ({spread})   {value / medians[beside]:.2f} of {beside}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["small"])
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--program", default=PROGRAM)
    args = parser.parse_args()
    globals()["PROGRAM"] = args.program
    quotas = [quota for quota in (Quota(1.0), Quota(0.5)) if quota.folder]
    try:
        for model in args.models:
            measure(model, args.tokens, args.repeat, quotas)
    finally:
        for quota in quotas:
            quota.remove()


if __name__ == "__main__":
    main()
