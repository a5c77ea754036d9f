"""The laws of the house, read from the source: who imports whom, what stands where, what is never called.

Each rule is a function of a module's name and syntax tree that yields the breaches in it, and each is shown to find a breach in a
small broken source, so that a rule which sees nothing fails here.
"""

import ast
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from retailsim import cli

PACKAGE = Path(__file__).parent.parent / "retailsim"
STAGES = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
ROOT = {path.stem for path in PACKAGE.glob("*.py")}

MAY_IMPORT = {  # stage → stages; everything else speaks through declared files
    "data_pipeline": {"sources"},
    "training": {"tensor_preparation", "model", "evaluation"},
    "simulator": {"tensor_preparation", "model", "evaluation"},
    # a request is a sample like those of training, and goes through the same seam to the same model
    "predict": {"model", "evaluation", "training"},
    "report": {"predict", "training"},  # shows a model's own predictions, and what its checkpoint holds
}
PUBLIC = "predict.__init__"  # `from retailsim.predict import Predictor`: the one package that people import from Python
READ_THE_SOURCE = {"training.validate_data", "training.audit_rebuild"}  # to check it, as the data pipeline does (C4)
MODEL_KNOWS = {"torch", "jaxtyping", "config", "layout", "labels", "vocab", "model"} | sys.stdlib_module_names
MOST_LINES = 250
A_LIST_OF_COLUMNS = "artifacts"  # declarations only: as long as there are files

DECLARES = {  # number → the only modules that may write it
    **dict.fromkeys((80, 95), {"weeks"}),
    **dict.fromkeys((192, 320, 400, 5003), set[str]()),  # sums of layouts, size of the vocabulary
}
HAS_NO_TENSORS = "sources"  # 400 customers are no width
T2_WIDTH = 256  # elsewhere a fair size of a batch
HAVE_LAYOUTS = {"feature_engineering", "tensor_preparation", "model"}
SPECIAL_TOKENS = ("[PAD]", "[MASK]", "[EOS]")
NEVER_CALLED = {
    "pickle.load", "pickle.loads", "pickle.Unpickler", "pickle.dump", "pickle.dumps", "np.random.seed", "np.random.rand",
    "np.random.randn", "np.random.randint", "np.random.choice", "np.random.shuffle", "np.random.permutation",
    "random.seed", "random.random", "random.choice", "random.shuffle", "hash", "print", "exec", "eval",
}  # fmt: skip

Rule = Callable[[str, ast.Module], Iterator[str]]


def stage_of(module: str) -> str:
    """First part of a name inside the package, when it is a stage; else ''."""
    first = module.split(".")[0]
    return first if first in STAGES | set(MAY_IMPORT) else ""


def imports_of(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Full names of what a module imports, with lines; inside the package without "retailsim."."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from ((name, node.lineno) for name in (names if node.module == "retailsim" else [str(node.module)]))


def inside(name: str) -> str:
    """The name without "retailsim.", or '' for what comes from outside."""
    return name.removeprefix("retailsim.") if name.startswith("retailsim.") else ""


def stages_import_no_other_stage(module: str, tree: ast.Module) -> Iterator[str]:
    here = stage_of(module)
    allowed = {here} | MAY_IMPORT.get(here, set()) | ({"sources"} if module in READ_THE_SOURCE else set())
    for name, line in imports_of(tree):
        there = stage_of(inside(name))
        if there and there not in allowed:
            yield f"{module}:{line} imports {there}"


def the_model_knows_torch_and_its_config(module: str, tree: ast.Module) -> Iterator[str]:
    if stage_of(module) == "model":
        for name, line in imports_of(tree):
            if (inside(name) or name).split(".")[0] not in MODEL_KNOWS:
                yield f"{module}:{line} imports {name}"


def imports_are_absolute(module: str, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield f"{module}:{node.lineno} imports relatively"
    for name, line in imports_of(tree):
        if name.split(".")[0] == "src":
            yield f"{module}:{line} imports {name}: src is a spelling for commands"


def packages_hold_a_docstring_only(module: str, tree: ast.Module) -> Iterator[str]:
    names = (ast.ImportFrom, ast.Assign) if module == PUBLIC else ()  # what it gives out, and the list of it
    others = [node for node in tree.body[1:] if not isinstance(node, names)]
    if module.split(".")[-1] == "__init__" and (others or ast.get_docstring(tree) is None):
        yield f"{module} holds more or less than a docstring"


def numbers_and_tokens_stand_where_declared(module: str, tree: ast.Module) -> Iterator[str]:
    here = stage_of(module)
    for node in (node for node in ast.walk(tree) if isinstance(node, ast.Constant)):
        value = node.value
        is_elsewhere = value in DECLARES and module not in DECLARES[value] and here != HAS_NO_TENSORS
        is_token = value in SPECIAL_TOKENS and module != "vocab"
        if is_elsewhere or is_token or (value == T2_WIDTH and here in HAVE_LAYOUTS):
            yield f"{module}:{node.lineno} writes {value}"


def called(node: ast.Call) -> str:
    """The dotted name that is called; numpy under its usual short name."""
    return ast.unparse(node.func).replace("numpy.", "np.")


def nothing_forbidden_is_called(module: str, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name, flags = called(node), {word.arg: ast.unparse(word.value) for word in node.keywords}
        if name in NEVER_CALLED or name.endswith((".iterrows", ".read_pickle", ".to_pickle")):
            yield f"{module}:{node.lineno} calls {name}"
        if flags.get("allow_pickle", "False") != "False":
            yield f"{module}:{node.lineno} allows pickles"
        if name == "torch.load" and flags.get("weights_only") != "True":
            yield f"{module}:{node.lineno} loads more than weights"


def only_what_can_be_answered_is_caught(module: str, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            kind = ast.unparse(node.type) if node.type else "everything"
            raised = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
            if kind == "everything" or (kind in ("Exception", "BaseException") and not raised):
                yield f"{module}:{node.lineno} catches {kind}"


RULES: tuple[Rule, ...] = (
    stages_import_no_other_stage,
    the_model_knows_torch_and_its_config,
    imports_are_absolute,
    packages_hold_a_docstring_only,
    numbers_and_tokens_stand_where_declared,
    nothing_forbidden_is_called,
    only_what_can_be_answered_is_caught,
)
SOURCES = {  # name inside the package → source
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path.read_text(encoding="utf-8")
    for path in sorted(PACKAGE.rglob("*.py"))
}
BROKEN = [  # rule, module, source with one breach
    (stages_import_no_other_stage, "feature_engineering.x", "from retailsim.data_pipeline.missions import measure"),
    (stages_import_no_other_stage, "data_pipeline.x", "import retailsim.model.fusion"),
    (stages_import_no_other_stage, "evaluation.x", "from retailsim import training"),
    (stages_import_no_other_stage, "weeks", "from retailsim.sources.schema import typed"),  # root modules: no stage
    (stages_import_no_other_stage, "training.train", "from retailsim.sources.read import read_transactions"),
    (the_model_knows_torch_and_its_config, "model.x", "import pandas as pd"),
    (the_model_knows_torch_and_its_config, "model.x", "from retailsim.storage import Array"),
    (the_model_knows_torch_and_its_config, "model.x", "from retailsim import artifacts"),
    (imports_are_absolute, "model.x", "from . import fusion"),
    (imports_are_absolute, "training.x", "import src.training.train"),
    (packages_hold_a_docstring_only, "model.__init__", '"""The model."""\nfrom torch import nn'),
    (packages_hold_a_docstring_only, "model.__init__", "x = 1"),
    (packages_hold_a_docstring_only, "predict.__init__", '"""Predictions."""\ndef load(): pass'),
    (numbers_and_tokens_stand_where_declared, "training.x", "is_train = week <= 80"),
    (numbers_and_tokens_stand_where_declared, "model.x", "layer = Linear(400, width)"),
    (numbers_and_tokens_stand_where_declared, "model.x", "def f(size=5003): pass"),
    (numbers_and_tokens_stand_where_declared, "feature_engineering.x", "WIDTH = 256"),
    (numbers_and_tokens_stand_where_declared, "training.x", "mask = '[MASK]'"),
    (nothing_forbidden_is_called, "x", "pickle.load(file)"),
    (nothing_forbidden_is_called, "x", "np.load(path, allow_pickle=True)"),
    (nothing_forbidden_is_called, "x", "torch.load(path)"),
    (nothing_forbidden_is_called, "x", "torch.load(path, weights_only=False)"),
    (nothing_forbidden_is_called, "x", "for _, row in frame.iterrows(): pass"),
    (nothing_forbidden_is_called, "x", "numpy.random.seed(0)"),
    (nothing_forbidden_is_called, "x", "np.random.rand(64)"),
    (nothing_forbidden_is_called, "x", "hash(name)"),
    (nothing_forbidden_is_called, "x", "print('done')"),
    (only_what_can_be_answered_is_caught, "x", "try: f()\nexcept: pass"),
    (only_what_can_be_answered_is_caught, "x", "try: f()\nexcept Exception: pass"),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_law_holds(rule):
    breaches = [breach for module, source in SOURCES.items() for breach in rule(module, ast.parse(source))]
    assert breaches == []


@pytest.mark.parametrize("rule, module, source", BROKEN)
def test_law_finds_a_breach(rule, module, source):
    assert len(list(rule(module, ast.parse(source)))) == 1


def test_what_is_allowed_is_no_breach():
    honest = (
        "import pickle\nfrom retailsim.sources.read import read_transactions\nfrom retailsim.weeks import Calendar\n"
        "try:\n  np.load(path, allow_pickle=False)\nexcept Exception as error:\n  raise UserError(path) from error\n"
        "rng = np.random.default_rng(seed)\nstate = torch.load(path, weights_only=True)\nconsole.out.print('done')\n"
    )
    assert [breach for rule in RULES for breach in rule("data_pipeline.x", ast.parse(honest))] == []


def test_modules_are_short():
    long = {name: source.count("\n") for name, source in SOURCES.items() if source.count("\n") > MOST_LINES}
    assert set(long) <= {A_LIST_OF_COLUMNS}, long


def test_src_is_two_statements():  # C37
    tree = ast.parse((PACKAGE.parent / "src" / "__init__.py").read_text(encoding="utf-8"))
    assert [ast.unparse(node) for node in tree.body[1:]] == ["import retailsim", "__path__ = retailsim.__path__"]
    assert [path.name for path in (PACKAGE.parent / "src").iterdir() if path.suffix] == ["__init__.py"]


def test_the_command_line_names_modules_and_imports_none():
    assert {name for name, _ in imports_of(ast.parse(SOURCES["cli"])) if inside(name)} <= {
        f"retailsim.{module}" for module in ROOT
    } | {"retailsim.errors.UserError"}
    assert {module for module, _ in cli.VERBS.values()} <= set(SOURCES)
