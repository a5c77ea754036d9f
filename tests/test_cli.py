"""`retailsim <verb>`: the verbs in the order of the road, the nearest verb for a wrong one, and a quick start."""

import importlib.metadata
import subprocess
import sys

import pytest

from retailsim import artifacts, cli, console

ROAD = [artifacts.PIPELINE, artifacts.FEATURES, artifacts.TENSORS, artifacts.SAMPLES, artifacts.CACHE]


def test_help_shows_every_verb_in_the_order_of_the_road(capsys):
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out
    lines = shown.splitlines()
    found = [line.split()[0] for line in lines if line.startswith("  ") and line.split()[0] in cli.VERBS]
    assert found == list(cli.VERBS)
    for text in ("retailsim run --preset tiny", *console.EXIT_CODES.values()):
        assert text in shown


def test_every_verb_says_what_it_reads_and_writes_and_how_long_it_takes(capsys):
    assert list(cli.COSTS) == list(cli.VERBS)
    assert cli.main(["status", "--help"]) == 0
    assert capsys.readouterr().out.endswith(cli.cost("status") + "\n")


def test_verbs_follow_the_stages():
    assert [module for module, _ in cli.VERBS.values() if module in ROAD] == ROAD


def test_a_verb_is_its_modules_name():
    assert list(cli.VERBS) == [module.split(".")[-1].replace("_", "-") for module, _ in cli.VERBS.values()]


@pytest.mark.parametrize(
    "typed, nearest", [("trian", "train"), ("run_pipeline", "run-pipeline"), ("eval", "evaluate"), ("--train", "train")]
)
def test_an_unknown_verb_is_one_sentence_with_the_nearest(typed, nearest, capsys):  # C39
    assert cli.main([typed]) == 2
    shown = capsys.readouterr()
    assert f"there is no verb {typed!r}" in shown.err and f'did you mean "retailsim {nearest}"?' in shown.err
    assert shown.err.count("\n") == 1 and not shown.out


def test_no_verb_shows_the_help_and_is_a_mistake(capsys):
    assert cli.main([]) == 2
    assert capsys.readouterr().out.startswith("usage: retailsim <verb>")


def test_version_is_the_packages(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"retailsim {importlib.metadata.version('retailsim')}\n"


def test_a_verb_gets_its_flags_and_its_exit_code_comes_back(tmp_path, capsys):  # C39
    assert cli.main(["run-pipeline", "--nrows", "0", "--data-dir", str(tmp_path)]) == 2
    assert "--nrows 0" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []  # no half-written output


def test_help_needs_neither_engine_nor_torch():
    """What makes a command slow to start is imported by the command that needs it."""
    program = (
        "import sys; from retailsim.cli import main; code = main(['--help'])\n"
        "heavy = {'torch', 'ibis', 'duckdb', 'numpy', 'pandas', 'pyarrow'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_python_m_retailsim_is_retailsim():
    done = subprocess.run([sys.executable, "-m", "retailsim", "trian"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and 'did you mean "retailsim train"?' in done.stderr
