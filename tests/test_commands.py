"""The founding document's commands: every one exists, takes its flags, and shows its help in both spellings (C37).

The commands are read from the document itself. Here their flags are parsed through the commands' own entry points, with the
work left out; tests/test_recipe.py does the work.
"""

import importlib
import inspect
import re
import runpy
import shlex
import subprocess
import sys
from functools import wraps
from pathlib import Path

import pytest

from retailsim import cli, console

ROOT = Path(__file__).parent.parent
DOCUMENT = (ROOT / "docs" / "training_deep_dive.md").read_text(encoding="utf-8")
VERBS = list(cli.VERBS)

EXPECTED = {  # command line after `python -m src.` → the flags that it must set
    "data_pipeline.run_pipeline --nrows 10000": {"nrows": 10000},
    "feature_engineering.run_feature_engineering --nrows 10000": {"nrows": 10000},
    "tensor_preparation.run_tensor_preparation": {},
    "training.prepare_samples": {},
    "training.prepare_tensor_cache": {},
    "training.validate_data": {},
    "training.train": {},
    "training.train --epochs 20 --batch-size 256": {"epochs": 20, "batch_size": 256},
    "training.train --epochs 20 --batch-size 256 --learning-rate 5e-5 --warmup-epochs 3 --finetune-epochs 5"
    " --mask-prob 0.15": {
        "epochs": 20, "batch_size": 256, "learning_rate": 5e-5, "warmup_epochs": 3, "finetune_epochs": 5,
        "mask_prob": 0.15,
    },
    "training.train --resume checkpoints/epoch_10.pt": {"resume": Path("checkpoints/epoch_10.pt")},
    "training.train --batch-size 64": {"batch_size": 64},
    "training.train --gradient-checkpointing": {"gradient_checkpointing": True},
    "training.evaluate checkpoints/best_model.pt": {"checkpoint": Path("checkpoints/best_model.pt")},
    "training.evaluate checkpoints/best_model.pt --split val": {"split": "val"},
    "training.evaluate checkpoints/best_model.pt --split test": {"split": "test"},
    "training.evaluate checkpoints/best_model.pt --detailed": {"detailed": True},
}  # fmt: skip

# C27: flags of `train` beyond those the document shows, and those that all commands share
PROMISED = {
    "make-data": "--output --seed",
    "inspect": "--output",
    "run-pipeline": "--input --nrows --mapping --data-dir",
    "run": "--input --nrows --preset --epochs --batch-size --seed --data-dir --checkpoint-dir",
    "status": "--input --data-dir --checkpoint-dir",
    "run-feature-engineering": "--nrows --data-dir --seed",
    "run-tensor-preparation": "--data-dir",
    "prepare-samples": "--data-dir",
    "prepare-tensor-cache": "--data-dir",
    "validate-data": "--input --mapping --data-dir",
    "train": "--epochs --batch-size --learning-rate --warmup-epochs --finetune-epochs --mask-prob --resume"
    " --gradient-checkpointing --num-workers --max-grad-norm --device --preset --data-dir --checkpoint-dir --seed",
    "baselines": "--blend --data-dir",
    "evaluate": "--split --detailed --json --data-dir",
    "ablate": "--split --retrain --synergy --seeds --preset --json --seed --data-dir --checkpoint-dir",
    "report": "--output --evaluation --ablation --customer --catalogue --data-dir",
    "predict": "--customer --store --when --trip --basket --price --segment --top --json --requests --output --data-dir",
    "serve": "--host --port --catalogue --device --data-dir",
    "export": "--output --format --overwrite --data-dir",
    "audit": "--checkpoint --input --nrows --data-dir --seed --json",
}


def commands_in(markdown):
    """The `python -m src.…` lines of the code blocks of a text, continued lines joined, without what comes before `src.`."""
    blocks = "\n".join(re.findall(r"^```\w*\n(.*?)^```", markdown, flags=re.MULTILINE | re.DOTALL))
    joined = re.sub(r"\\\n\s*", "", blocks)
    return [" ".join(line.split()) for line in re.findall(r"^\s*python -m src\.(.+)$", joined, flags=re.MULTILINE)]


def parsed(module_name, flags, monkeypatch):
    """What the command would be called with: parsed by the module's own `main`, the work left out."""
    module = importlib.import_module(f"retailsim.{module_name}")
    seen = {}

    def run_without_work(command, argv=None):
        @wraps(command)
        def record(*args, **kwargs):
            seen.update(inspect.signature(command).bind(*args, **kwargs).arguments)

        return run(record, argv)

    run = console.run
    monkeypatch.setattr(console, "run", run_without_work)
    assert module.main(flags) == 0
    return seen


def test_the_documents_commands_are_found():
    assert set(commands_in(DOCUMENT)) == set(EXPECTED)


def test_commands_are_read_from_code_blocks_and_joined():
    text = (
        "python -m src.prose\n```bash\npython -m src.a --x 1 \\\n    --y 2\n  python -m src.b\n```\npython -m src.c\n"
    )
    assert commands_in(text) == ["a --x 1 --y 2", "b"]


@pytest.mark.parametrize("line", EXPECTED)
def test_the_documents_command_is_accepted_with_its_flags(line, monkeypatch):  # C37
    module, *flags = shlex.split(line)
    found = parsed(module, flags, monkeypatch)
    assert found | EXPECTED[line] == found


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_takes_a_data_dir(verb, monkeypatch):  # C27
    module, _ = cli.VERBS[verb]
    flag, name = ("--output", "output") if verb in ("make-data", "inspect") else ("--data-dir", "data_dir")
    first = {"inspect": ["till.csv"]} | dict.fromkeys(
        ("evaluate", "predict", "serve", "export", "ablate", "report"), ["best_model.pt"]
    )
    assert parsed(module, [*first.get(verb, []), flag, "elsewhere"], monkeypatch)[name] == Path("elsewhere")


@pytest.mark.parametrize("verb", VERBS)
def test_help_in_both_spellings(verb, monkeypatch, capsys):  # C27, C37
    """`retailsim <verb>` and `python -m src.<module>`: same flags, each under the name that was typed."""
    module, _ = cli.VERBS[verb]
    assert cli.main([verb, "--help"]) == 0
    as_verb = capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", [module, "--help"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module(f"src.{module}", run_name="__main__", alter_sys=True)
    as_module = capsys.readouterr().out
    assert end.value.code == 0
    assert as_verb.startswith(f"usage: retailsim {verb} ") and as_module.startswith(f"usage: python -m src.{module} ")
    assert options_of(as_verb) == options_of(as_module)
    assert set(PROMISED[verb].split()) <= options_of(as_verb)


def options_of(shown):
    """The flags that a help text lists."""
    return set(re.findall(r"^\W*(?:-\w(?: [A-Z]+)?, )?(--[a-z-]+)", shown, flags=re.MULTILINE))


@pytest.mark.parametrize("verb", VERBS)
def test_every_flag_has_a_line_of_help(verb):
    command = vars(importlib.import_module(f"retailsim.{cli.VERBS[verb][0]}"))[verb.replace("-", "_")]
    described = re.findall(r"^    (\w+): ", inspect.getdoc(command), flags=re.MULTILINE)
    assert described == list(inspect.signature(command).parameters)


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_commands_start_from_the_shell(verb):  # C37
    """Each command in a process of its own, in one of the two spellings by turns, without a word on standard error."""
    module, _ = cli.VERBS[verb]
    start = [sys.executable, "-m", f"src.{module}"]
    if VERBS.index(verb) % 2:
        start = [str(Path(sys.executable).with_name("retailsim")), verb]
    done = subprocess.run([*start, "--help"], capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: ")
