#!/usr/bin/env python3
"""Runs the commands of README.md and docs, so that none rots.

Usage: commands_test.py --lowkey PROGRAM [--page docs/eigen.md]... [--list]

A command is a line of a fenced block that begins with a program's name, or such code in a sentence when it names MODEL
or a file. Each page is a user of its own: its commands run one after another in an empty folder that holds a model
called MODEL (the built-in one, with a chat template) and the texts, records and plans of FILES under the names that pages
use. So a new command needs nothing here, unless it takes a file of a new name (a row of FILES), takes long (a row of SMALLER)
or cannot run at all (a row of SKIPPED, with the reason, which is printed). A failure names the page and line.
"""
import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pages import ROOT, code_of, pages

DATA = ROOT / "tests" / "data" / "eval"
TIMEOUT = 900  # seconds for a command

# Commands that do not run here: a pattern of their beginning, and why.
SKIPPED = [
    (r"make test$", "runs this test"),
    (r"(make (?!demo)|cmake|ctest)\b", "building, testing and installing is what CI does before and after"),
    (r"(sudo|apt-get|pip3?|git|curl|huggingface-cli)\b", "changes the machine or needs the network"),
    (r"scripts/install-packages\.sh", "changes the machine; CI begins with it"),
    (r"build/\w+/bin/lowkey_micro", "micro-benchmarks are no part of this build"),
    (r"(python3? )?(tests|bench|fuzz)/\S+\.py", "needs torch, transformers or another engine; its flags are checked"),
    (r"(python3? )?scripts/\S+\.py", "an hour of measurements; its flags are checked"),
    (r"lowkey (compare|serve)\b.*--port", "waits for connections"),
]

# What stands for a command that also does what CI has done already.
INSTEAD = {"make demo": "lowkey demo"}

# Sizes that make a command quick: the flags replace those of the command, if it has them, or are added.
SMALLER = {
    "calibrate": {"--sequences": "2", "--length": "128"},
    "calibrate --self": {"--self": "2", "--length": "128"},
    "plan --method eigen": {"--search-tokens": "128"},
    "plan --method razor": {"--random-tokens": "64"},
    "generate": {"-n": "4"},
    "chat": {"-n": "4"},
    "eval perplexity": {"--length": "64", "--max-tokens": "256"},
    "eval zeroshot": {"--limit": "2"},
    "eval needle": {"--lengths": "256", "--depths": "0.5", "--trials": "1"},
    "eval ruler": {"--lengths": "1024", "--samples": "1"},
    "eval longbench": {"--max-length": "256", "--limit": "1"},
    "compare": {"--lengths": "256", "--trials": "1", "--limit": "2", "--depths": "0,64", "--generate": "2", "--repeat": "1"},
    "bench": {"--prompt": "32", "--depths": "0,64", "--generate": "2", "--repeat": "1"},
}

TEXT = "".join(f"On day {i * 37 % 101} the keeper of the lighthouse wrote down the wind, the tide and the names of the "
               f"ships that he saw, number {i * 7919 % 10007} among them, before he lit his lamp.\n" for i in range(60))
QUESTION = {"input": "Who lit the lamp?", "context": TEXT[:2000], "answers": ["the keeper"], "length": 300,
            "language": "en", "all_classes": None, "_id": "1"}
CHAT = [{"role": "user", "content": "Hello"}]
TOOLS = [{"type": "function", "function": {"name": "now", "description": "The time.",
                                           "parameters": {"type": "object", "properties": {}}}}]


def question(dataset):
    return json.dumps(dict(QUESTION, dataset=dataset)) + "\n"


# What pages' commands read, by name.
FILES = {
    **dict.fromkeys(["wiki.txt", "test.txt", "long.txt", "book.txt", "wiki.valid.txt", "wiki.test.txt", "sample.txt",
                     "texts/a.txt", "texts/b.txt", "essays/a.txt", "essays/b.txt", "prompt.txt"], TEXT),
    **{f"{name}.jsonl": question(name) for name in
       ("multi_news", "hotpotqa", "qasper", "narrativeqa", "gov_report", "multifieldqa_zh", "passage_retrieval_zh")},
    "piqa/valid.jsonl": (DATA / "piqa.jsonl").read_text(encoding="utf-8"),
    "piqa/valid-labels.lst": (DATA / "piqa-labels.lst").read_text(encoding="utf-8"),
    "lambada/test.jsonl": (DATA / "lambada.jsonl").read_text(encoding="utf-8"),
    "chat.json": json.dumps(CHAT),
    "tools.json": json.dumps(TOOLS),
    "chat.jinja": "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}",
}
TEMPLATE = ("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
            "{% if add_generation_prompt %}assistant:{% endif %}")
# Statistics and plans that pages use without having made them, in the order in which they are made.
EIGEN = ["plan", "MODEL", "--method", "eigen", "--stats", "model.stats", "--keep", "0.6", "--allocation", "uniform"]
PREPARED = {
    "model.stats": ["calibrate", "MODEL", "--text", "wiki.txt", "--sequences", "1", "--length", "64"],
    "eigen.plan": EIGEN,
    "razor.plan": ["plan", "MODEL", "--method", "razor", "--random-tokens", "64"],
    "a.plan": ["plan", "MODEL", "--method", "streaming", "--window", "64"],
    "b.plan": EIGEN,
    "both.plan": ["plan", "MODEL", "--compose", "razor.plan", "eigen.plan"],
}


class Sandbox:
    """The folder in which a page's commands run."""

    def __init__(self, folder, lowkey):
        self.folder = Path(folder)
        self.programs = lowkey.parent
        model = self.folder / "MODEL"
        model.mkdir()
        for file in (ROOT / "models" / "small").iterdir():
            (model / file.name).symlink_to(file)
        (model / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
        for name, text in FILES.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        # Models of a billion parameters are small here.
        configs = self.folder / "bench" / "configs"
        configs.mkdir(parents=True)
        for file in (ROOT / "bench" / "configs").glob("*.json"):
            (configs / file.name).symlink_to(ROOT / "models" / "small" / "config.json")

    def run(self, command):
        environment = dict(os.environ, PATH=f"{self.programs}{os.pathsep}{os.environ['PATH']}")
        try:
            return subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=self.folder, env=environment,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, errors="replace", timeout=TIMEOUT, check=False)
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 124, stdout=f"not done after {TIMEOUT} s: add a row to SMALLER")

    def missing_outputs(self, words):
        """Files that the command was told to write and did not."""
        outputs = [words[i + 1] for i, word in enumerate(words[:-1]) if word in ("-o", "--output", "--plot", "--resume")]
        return [name for name in outputs if not (self.folder / name).exists()]


def smaller(words):
    """The words of a lowkey command, with the flags of SMALLER."""
    for key, flags in SMALLER.items():
        if not all(part in words for part in key.split()):
            continue
        for flag, value in flags.items():
            if flag == "--sequences" and "--self" in words:
                continue
            if flag in words and words.index(flag) + 1 < len(words):
                words[words.index(flag) + 1] = value
            else:
                words += [flag, value]
    return words


def runnable(text):
    """The shell command for a page's: quick, and with programs where they are."""
    parts = re.split(r"( \| | && )", INSTEAD.get(text, text))
    for i, part in enumerate(parts):
        if part.startswith("lowkey "):
            parts[i] = shlex.join(smaller(shlex.split(part)))
    return re.sub(r"\bbuild/\w+/bin/", "", "".join(parts))


def flags_of_script(text):
    """Flags of a Python script's command that its --help does not know."""
    words = shlex.split(text)
    script = next(word for word in words if word.endswith(".py"))
    known = (ROOT / script).read_text(encoding="utf-8") if (ROOT / script).exists() else None
    if known is None:
        return [script]
    return [word for word in words if word.startswith("--") and f'"{word.split("=")[0]}"' not in known]


def check(code, sandbox):
    """What is wrong with a command of a page; nothing if it runs."""
    text = code.text
    for pattern, reason in SKIPPED:
        if re.match(pattern, text):
            print(f"skipped  {code.where()}: {text}  ({reason})", flush=True)
            if ".py" in text and flags_of_script(text):
                return f"unknown: {', '.join(flags_of_script(text))}"
            return None
    start = time.monotonic()
    command = runnable(text)
    result = sandbox.run(command)
    missing = sandbox.missing_outputs(shlex.split(command))
    print(f"{time.monotonic() - start:6.1f} s {code.where()}: {command}", flush=True)
    if result.returncode:
        return f"exit code {result.returncode}\n{result.stdout[-2000:]}"
    if missing:
        return f"did not write {', '.join(missing)}"
    return None


def prepare(lowkey, folder):
    """Makes what is PREPARED, in a folder."""
    sandbox = Sandbox(folder, lowkey)
    for name, command in PREPARED.items():
        made = sandbox.run(shlex.join(["lowkey", *command, "-o", name]))
        if made.returncode:
            sys.exit(f"cannot make {name}: {made.stdout}")


def run_page(page, lowkey, prepared):
    """Failures of a page's commands."""
    commands = [code for code in code_of(page) if code.is_command()]
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        sandbox = Sandbox(folder, lowkey)
        for name in PREPARED:
            shutil.copy(Path(prepared) / name, folder)
        for code in commands:
            problem = check(code, sandbox)
            if problem:
                print(f"FAILED   {code.where()}: {problem}", flush=True)
                failures.append(f"{code.where()}: {code.text}: {problem}")
    return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lowkey", type=Path, required=True)
    parser.add_argument("--page", action="append", help="only this page; may be given again")
    parser.add_argument("--list", action="store_true", help="name the commands and run nothing")
    args = parser.parse_args()
    failures, count = [], 0
    with tempfile.TemporaryDirectory() as prepared:
        if not args.list:
            prepare(args.lowkey.resolve(), prepared)
        for page in args.page or pages():
            commands = [code for code in code_of(page) if code.is_command()]
            count += len(commands)
            for code in commands if args.list else []:
                print(f"{code.where()}: {code.text}")
            if commands and not args.list:
                failures += run_page(page, args.lowkey.resolve(), prepared)
    if count == 0:
        failures.append("no command found in the documentation")
    for failure in failures:
        print(f"FAILED: {failure}")
    print(f"{count} commands, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
