"""The documentation: it builds without a broken link, its tutorials run, its example is a mapping.

Its commands, one by one: tests/test_documented_commands.py. Its numbers: tests/test_documented_numbers.py.
"""

import inspect
import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from retailsim import predict
from retailsim.sources.mapping import parse_mapping
from tests.pages import ROOT, blocks

TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))


def test_the_site_builds_and_no_link_is_broken(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, env=_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    api = (tmp_path / "site/api/index.html").read_text(encoding="utf-8")
    assert "predict_many" in api and "likeliest next products" in api
    assert not re.findall(r'(?:src|href)="https?://[^"]*\.(?:js|css|woff2?)"', api)  # nothing is loaded from elsewhere


@pytest.mark.slow
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_runs_from_top_to_bottom(page, tmp_path):
    steps = [  # the audit, which takes minutes, is run by tests/training/test_audit.py
        block for block in blocks(page, "bash") if not block.startswith("retailsim audit")
    ]
    script = "set -euo pipefail\n" + "\n".join(steps)
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert (tmp_path / "checkpoints/evaluation_test.json").exists()


def test_quickstart_and_readme_are_the_first_tutorial_in_short():
    """So their commands are run, in this order, where the tutorial's are."""
    short, long = (
        [line for block in blocks(ROOT / "docs" / page, "bash") for line in block.splitlines()]
        for page in ("quickstart.md", "tutorials/first_model.md")
    )
    assert len(short) == 3 and [line for line in long if line in short] == short
    first = blocks(ROOT / "README.md", "bash")[0].splitlines()
    assert [line.partition("#")[0].rstrip() for line in first] == short


@pytest.mark.slow
def test_readmes_road_goes_as_written(tmp_path):
    """From raw_data/ to an evaluation, with the default split; the finer figures, which take hours, left out."""
    (road,) = [block for block in blocks(ROOT / "README.md", "bash") if "src.training.train" in block]
    make = "retailsim make-data --output raw_data --customers 20 --products 60 --stores 3 --weeks 104\n"
    done = subprocess.run(
        ["bash", "-euc", make + road], cwd=tmp_path, env=_environment(), capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert (tmp_path / "checkpoints/epoch_6.pt").exists() and "Top-1" in done.stdout


def test_the_python_page_has_all_of_the_public_api():
    """Beginning with the predictor; every field is described, and no other."""
    page = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    listed = re.findall(r"^::: retailsim\.predict\.(\w+)$", page, flags=re.MULTILINE)
    assert listed[:4] == ["Predictor", "Request", "Prediction", "Suggestion"] and set(listed[:4]) == set(
        predict.__all__
    )
    for name in ("Request", "Prediction", "Suggestion"):
        described = inspect.getdoc(vars(predict)[name]).partition("Attributes:\n")[2].partition("\n\n")[0]
        assert re.findall(r"^    (\w+): \S", described, flags=re.MULTILINE) == [
            f.name for f in fields(vars(predict)[name])
        ]


def test_the_mapping_pages_example_is_a_mapping():
    (example,) = blocks(ROOT / "docs/mapping.md", "yaml")
    assert parse_mapping(example, "docs/mapping.md").text == example


def _environment():
    """This Python and this project's commands first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}


def named_tests(page):
    """(file, test) pairs that a page names as `file::test`; `::test` alone is of the file that was named last."""
    found, file = [], None
    for path, name in re.findall(r"`([\w/]*(?:\.py)?)::(\w+)[^`]*`", page.read_text(encoding="utf-8")):
        file = path or file
        found.append((file, name))
    return found


@pytest.mark.parametrize("name", ["trust.md", "validation.md"])
def test_the_tests_that_a_page_names_exist(name):
    pairs = named_tests(ROOT / "docs" / name)
    assert len(pairs) > 10
    lacking = [
        f"{file}::{test}"
        for file, test in pairs
        if not re.search(
            rf"^ *(?:def|class) {test}\b", (ROOT / "tests" / file).read_text(encoding="utf-8"), re.MULTILINE
        )
    ]
    assert lacking == []
