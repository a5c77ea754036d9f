"""The documentation: it builds without a broken link, its commands exist with their flags, its tutorials run, its numbers hold."""

import importlib
import inspect
import os
import re
import shlex
import subprocess
import sys
from functools import wraps
from pathlib import Path

import pytest

from retailsim import cli, console
from retailsim.config import PRESETS
from retailsim.layout import TENSORS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
BLOCK = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(page):
    """The calls of retailsim in the bash blocks of a page, as (verb, flags); comments and continued lines are understood."""
    blocks = "\n".join(BLOCK.findall(page.read_text(encoding="utf-8"))).replace("\\\n", " ")
    found = []
    for line in blocks.splitlines():
        try:
            words = shlex.split(line, comments=True)
        except ValueError:  # a line of a program that a block writes to a file
            continue
        if words[:1] == ["torchrun"]:
            words = ["python", *words[words.index("-m") :]]
        if words[:1] == ["retailsim"]:
            found.append((words[1], words[2:]))
        elif words[:2] == ["python", "-m"] and words[2].startswith("src."):
            found.append((words[2].split(".")[-1].replace("_", "-"), words[3:]))
    return found


ALL = {(page.relative_to(ROOT).as_posix(), verb, *flags) for page in PAGES for verb, flags in commands(page)}


def test_commands_are_found_on_the_pages():
    verbs = {verb for _, verb, *_ in ALL}
    assert verbs >= set(cli.VERBS) and len(ALL) > 50


@pytest.mark.parametrize("call", sorted(ALL), ids=" ".join)
def test_a_documented_command_is_accepted(call, monkeypatch):
    """Parsed by the command's own entry point, the work left out."""
    _, verb, *flags = call
    if verb == "--help":
        assert cli.main(["--help"]) == 0
        return
    module, _ = cli.VERBS[verb]
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


def test_the_tensors_page_has_the_layouts():
    text = (ROOT / "docs/tensors.md").read_text(encoding="utf-8")
    for tensor in TENSORS:
        slices = " · ".join(f"{name} {width}" for name, width in tensor.widths.items())
        assert f"| {tensor.name} | {tensor.width} | {slices} |" in text


def test_the_model_page_has_the_presets():
    text = (ROOT / "docs/model.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE) == ["tiny", "small", "best", "full"]
    for name, config in PRESETS.items():
        m = config.model
        has = "yes" if m.history else "no"
        assert f"| `{name}` | {m.width} | {m.encoder_layers} | {m.decoder_layers} | {m.state_size} | {has} |" in text


@pytest.mark.slow
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
    blocks = [  # the audit, which takes minutes, is run by tests/training/test_audit.py
        block for block in BLOCK.findall(page.read_text(encoding="utf-8")) if not block.startswith("retailsim audit")
    ]
    script = "set -euo pipefail\n" + "\n".join(blocks)
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert (tmp_path / "checkpoints/evaluation_test.json").exists()


def _environment():
    """This Python and this project's commands first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}
