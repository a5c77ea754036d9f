"""Every command on README's and the documentation's pages exists and takes its flags; what a page says in Python runs.

Each command is parsed by its own entry point, the work left out: most of it would take minutes to days. The work itself is done
elsewhere: the road by tests/test_recipe.py, the tutorials and README's road from top to bottom by tests/test_documentation.py (slow),
and each verb by the tests that `WORK` names.
"""

import importlib
import inspect
import json
import os
import re
import shlex
import subprocess
import tomllib
from datetime import timedelta
from functools import wraps

import pytest

from retailsim import cli, console
from retailsim.artifacts import TRANSACTIONS
from retailsim.predict import Predictor
from retailsim.reading import load_calendar
from retailsim.storage import connect
from tests.pages import FOUNDING, PAGES, ROOT, Command, blocks, commands, name_of

WORK = {  # verb → the tests that let it work, not only parse
    "make-data": "tests/conftest.py",
    "inspect": "tests/sources/test_inspect.py",
    "run": "tests/test_documentation.py",
    "status": "tests/test_status.py",
    "run-pipeline": "tests/recipe.py",
    "run-feature-engineering": "tests/recipe.py",
    "run-tensor-preparation": "tests/recipe.py",
    "prepare-samples": "tests/recipe.py",
    "prepare-tensor-cache": "tests/recipe.py",
    "validate-data": "tests/training/test_validate_data.py",
    "train": "tests/recipe.py",
    "baselines": "tests/training/test_baselines.py",
    "evaluate": "tests/test_recipe.py",
    "ablate": "tests/training/test_ablation.py",
    "report": "tests/report/test_report.py",
    "predict": "tests/predict/test_predict.py",
    "serve": "tests/predict/test_serve.py",
    "export": "tests/predict/test_export.py",
    "audit": "tests/training/test_audit.py",
}
BY_TOOLS = {"head", "cat"}  # in tutorials, which are run from top to bottom
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
MODULES = {module: verb for verb, (module, _) in cli.VERBS.items()}
ALL = sorted({c for page in PAGES if page != FOUNDING for c in commands(page)}, key=str)
PYTHON = {  # that of docs/export.md is run by tests/predict/test_export.py
    name_of(page): block for page in PAGES for block in blocks(page, "python") if "onnxruntime" not in block
}


@pytest.mark.parametrize("command", ALL, ids=str)
def test_a_documented_command_is_accepted(command, monkeypatch):
    """A line that no rule here knows fails, too: a page shows no command that nothing checks."""
    accept(command, monkeypatch)


def accept(command, monkeypatch):
    first, *rest = command.words
    if first in ("torchrun", "srun"):
        rest = rest[rest.index("-m") :]
        first = "python"
    if first == "retailsim":
        a_verb(rest, command.is_mention, monkeypatch)
    elif first in cli.VERBS:
        a_verb([first, *rest], command.is_mention, monkeypatch)
    elif first == "python" and rest[0] == "-m" and rest[1].startswith("src."):
        if rest[1] != "src.<stage>.<command>":
            a_verb([MODULES[rest[1].removeprefix("src.")], *rest[2:]], command.is_mention, monkeypatch)
    elif first in ("python", "python3") and rest[:2] == ["-m", "venv"]:
        assert rest[2:] == [".venv"]
    elif first == "python" and rest[0].startswith(("benchmarks/", "-m")):
        a_benchmark(rest)
    elif first.startswith("--"):
        assert first in flags_of_all(), f"no command has {first}"
    elif command.words == (".", ".venv/bin/activate"):
        pass
    elif first in BY_TOOLS or command.words[:2] == ("python", "-"):
        assert command.page.startswith("docs/tutorials/")
    else:
        OTHERS[first if not first.startswith("runs/") else "runs"](command.words)


def a_verb(words, is_mention, monkeypatch):
    """Parsed by the command's own entry point; a mention that is no whole command has its verb and flags looked up."""
    verb, *flags = words
    if verb in ("--help", "--version", "<verb>"):
        return
    module, _ = cli.VERBS[verb]
    if is_mention and (not flags or any(sign in word for word in flags for sign in "[|<…")):
        unknown = {flag.strip("[]") for flag in flags if flag.strip("[]").startswith("--")} - flags_of(verb)
        assert not unknown, f"{verb} has no {unknown}"
        return
    flags = ["1" if flag in ("N", "STEPS") else flag for flag in flags]
    if is_mention and verb in TAKES_FIRST and (not flags or flags[0].startswith("-")):
        flags = [TAKES_FIRST[verb], *flags]
    seen = []
    run = console.run

    def without_work(command, argv=None):
        @wraps(command)
        def record(*args, **kwargs):
            seen.append(inspect.signature(command).bind(*args, **kwargs))

        return run(record, argv)

    monkeypatch.setattr(console, "run", without_work)
    assert importlib.import_module(f"retailsim.{module}").main(flags) == 0
    assert len(seen) == ("--help" not in flags)


TAKES_FIRST = {"inspect": "till.csv"} | dict.fromkeys(
    ("evaluate", "predict", "serve", "export", "ablate", "report"), "best_model.pt"
)


def flags_of(verb):
    """The flags of a verb, from the signature that its parser is made of."""
    command = vars(importlib.import_module(f"retailsim.{cli.VERBS[verb][0]}"))[verb.replace("-", "_")]
    return {f"--{name.replace('_', '-')}" for name in inspect.signature(command).parameters} | {"--help", "--quiet"}


def flags_of_all():
    return set().union(*map(flags_of, cli.VERBS))


def a_benchmark(words):
    path = words[1].replace(".", "/") + ".py" if words[0] == "-m" else words[0]
    source = (ROOT / path).read_text(encoding="utf-8")
    assert all(f'"{flag}"' in source for flag in words if flag.startswith("--"))


def pip(words):
    assert words[1] == "install"
    (what,) = [word for word in words[2:] if word not in ("-e", "-c", "constraints.txt")]
    named = re.fullmatch(r"(?:retailsim|\.)(?:\[([\w,]+)\])?", what)
    assert named and set((named[1] or "").split(",")) <= {*EXTRAS, ""}


def make(words):
    rules = re.findall(r"^([\w -]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    targets = {target for rule in rules for target in rule.split()}
    assert {word for word in words[1:] if "=" not in word} <= targets


def a_script(words):
    assert os.access(ROOT / words[0], os.X_OK)


def pytest_itself(words):
    assert all((ROOT / word).exists() for word in words[1:] if word.startswith("tests/"))


def grep(words):
    found = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0 and found.stdout.count("\n") > 1


def curl(words):
    from retailsim.predict.service import Ask  # the extra `serve`

    sent = json.loads(words[words.index("-d") + 1])
    assert Ask(**sent["request"]).request().when.year == 2008


OTHERS = {"pip": pip, "make": make, "runs": a_script, "pytest": pytest_itself, "grep": grep, "curl": curl}


def test_commands_are_found_on_the_pages():
    verbs = {c.words[1] for c in ALL if c.words[0] == "retailsim"}
    assert verbs >= set(cli.VERBS)
    assert len(ALL) > 150 and len({c.page for c in ALL}) > 12


@pytest.mark.parametrize(
    "line",
    [
        "retailsim trian", "retailsim train --epoch 3", "retailsim train --preset huge", "python -m src.training.trian", "make dmo",
        'pip install "retailsim[exprot]"', "runs/recipes.sh", "retailsim-cli train", "python benchmarks/scans.py", "--nrow 5",
        'curl -d {"request":{"wen":"2008-03-15T10:00"}}',
    ],
)  # fmt: skip
def test_a_command_that_is_not_there_is_found_out(line, monkeypatch):
    with pytest.raises((AssertionError, KeyError, OSError, ValueError)):
        accept(
            Command("docs/index.md", tuple(shlex.split(line)) if "curl" not in line else tuple(line.split())),
            monkeypatch,
        )


def test_the_work_of_every_verb_is_tested():
    assert list(WORK) == list(cli.VERBS)
    for verb, path in WORK.items():
        text = (ROOT / path).read_text(encoding="utf-8")
        name = cli.VERBS[verb][0].split(".")[-1]
        assert re.search(rf"\b(?:{verb}|{name})\b", text), f"{path} does not name {verb}"


@pytest.mark.parametrize("page", PYTHON)
def test_python_on_a_page_runs(page, shop, trained, capsys):
    """With the ids, the day and the places of a small retailer in place of the page's."""
    calendar, known = load_calendar(shop.data), TRANSACTIONS.read(shop.data, connect())
    sale = known.filter(known.customer_id.notnull()).limit(1).execute().iloc[0]
    day = calendar.monday_of(calendar.last_week) + timedelta(days=2)
    block = PYTHON[page]
    for page_says, here in {
        r'"checkpoints/best_model\.pt"': str(trained / "best_model.pt"),
        r'"data"': str(shop.data),
        r'(?<=store=)"\w+"': sale.store_id,
        r'(?<=customer=)"\w+"': sale.customer_id,
    }.items():
        block, found = re.subn(page_says, repr(str(here)), block)
        assert found, f"{page} no longer says {page_says}"
    block = re.sub(r"datetime\(\d{4}, \d+, \d+, \d+\)", f"datetime({day.year}, {day.month}, {day.day}, 10)", block)
    found = {}
    exec(compile(block, page, "exec"), found)
    assert isinstance(found["predictor"], Predictor)
    assert len(found["answer"].suggestions) == 5 and capsys.readouterr().out.startswith("(Suggestion(")
