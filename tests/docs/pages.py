"""What the pages of the documentation hold: commands, other code, links. Shared by the tests beside."""
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHELL = {"", "sh", "bash", "shell", "console", "text"}  # fences whose lines may be commands
PROGRAM = re.compile(r"(lowkey|make|cmake|ctest|pip|pip3|python3?|g\+\+|git|curl|sudo|apt-get|printf|echo|cat|"
                     r"(?:scripts|tests|bench|build|examples)/\S+)(\s|$)")
ELIDED = re.compile(r"(^|\s)(\.\.\.|…)")


class Code:
    """Code on a page: a line of a fenced block, or `between backticks` in the text."""

    def __init__(self, page, line, text, language=None):
        self.page, self.line, self.text = page, line, text
        self.language = language  # of the fence; None: not in one

    def where(self):
        return f"{self.page}:{self.line}"

    def is_command(self):
        """Whether a reader would type it: a command, with nothing left out."""
        if not PROGRAM.match(self.text) or ELIDED.search(self.text):
            return False
        if self.language is not None:
            return self.language in SHELL
        # In a sentence a command's name alone is a name; one that has its MODEL or file is whole.
        return len(self.text.split()) > 1 and bool(re.search(r"\b(MODEL|small)\b|=|\.(plan|json)\b", self.text))


def pages():
    """README.md and all pages of docs, as paths from the repository's root."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "examples").rglob("*.md"))]
    return [page.relative_to(ROOT).as_posix() for page in found]


def strip_comment(line):
    """Without the prompt sign and the comment that two spaces set apart."""
    return re.sub(r"\s{2,}#\s.*$", "", re.sub(r"^\$ ", "", line)).rstrip()


def code_of(page):
    """All code of a page in order."""
    language, start, joined = None, 0, ""
    for number, line in enumerate((ROOT / page).read_text(encoding="utf-8").splitlines(), 1):
        fence = re.match(r"\s*```+\s*(\S*)", line)
        if fence:
            language = fence.group(1) if language is None else None
            joined = ""
        elif language is not None:
            start = start if joined else number
            joined += line.strip() if joined else line.rstrip()
            if joined.endswith("\\"):  # the command goes on
                joined = joined[:-1].rstrip() + " "
                continue
            yield Code(page, start, strip_comment(joined), language)
            joined = ""
        else:
            for text in re.findall(r"`([^`]+)`", line):
                yield Code(page, number, text.strip())
