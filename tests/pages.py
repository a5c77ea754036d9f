"""README and the pages of docs/ as a test reads them: code blocks, commands, what stands in `code`."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOUNDING = ROOT / "docs" / "training_deep_dive.md"  # tests/test_commands.py reads its commands
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "benchmarks" / "README.md"]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
HEREDOC = re.compile(r"^(.*<<'(\w+)')\n.*?^\2$", re.MULTILINE | re.DOTALL)
FIRST_WORDS = {"retailsim", "python", "python3", "torchrun", "pip", "make", "pytest", "grep", "curl", "head", "cat"}


@dataclass(frozen=True)
class Command:
    """A command line of a page, in words; `is_mention` where it stands in running text."""

    page: str
    words: tuple[str, ...]
    is_mention: bool = False

    def __str__(self) -> str:
        return f"{self.page}: {' '.join(self.words)}"


def name_of(page: Path) -> str:
    """The page's path in the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page in one language; '' is a block that names none."""
    return [text for found, text in FENCE.findall(page.read_text(encoding="utf-8")) if found == language]


def commands(page: Path) -> Iterator[Command]:
    """Every command of a page: the lines of its bash blocks, in other blocks and in running text what looks like one."""
    for language, text in FENCE.findall(page.read_text(encoding="utf-8")):
        joined = HEREDOC.sub(r"\1", text).replace("\\\n", " ")
        for line in joined.splitlines() if language in ("bash", "text", "") else ():
            line = line.removeprefix("$ ")
            if language == "bash" or looks_like_a_command(line.split()):
                yield from (Command(name_of(page), words) for words in parts(line))
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    for span in re.findall(r"`([^`\n]+)`", prose):
        words = tuple(span.split())
        if looks_like_a_command(words):
            yield Command(name_of(page), tuple(shlex.split(span)), is_mention=True)


def looks_like_a_command(words: tuple[str, ...] | list[str]) -> bool:
    """A program with an argument, a script of runs/, a verb or a flag with something behind it; not an answer ("error: …")."""
    if words and words[0].endswith(":"):
        return False
    is_script = bool(words) and words[0].startswith("runs/") and words[0].endswith(".sh")
    is_flags = bool(words) and any(word.startswith("--") for word in words)
    return is_script or is_flags or (len(words) > 1 and words[0] in FIRST_WORDS)


def parts(line: str) -> Iterator[tuple[str, ...]]:
    """The commands of a line of a shell, without its comment."""
    words = shlex.split(line, comments=True)
    while words:
        end = words.index("&&") if "&&" in words else len(words)
        yield tuple(words[:end])
        words = words[end + 1 :]
