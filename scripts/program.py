"""Runs lowkey commands for the scripts that print tables."""
import json
import os
import subprocess
import sys
import tempfile


def run(args, quiet=("--quiet",)):
    """A lowkey command's JSON, and its peak resident memory in MiB. `quiet`: () for commands that show no progress."""
    print("$", *args, file=sys.stderr, flush=True)
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen([*args, "--json", *quiet], stdout=out)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            sys.exit(f"failed: {' '.join(args)}")
        out.seek(0)
        return json.load(out), usage.ru_maxrss / 1024
