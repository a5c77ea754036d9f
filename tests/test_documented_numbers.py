"""What the pages say of tensors, model and files is what the code declares and computes."""

import importlib
import re
from itertools import pairwise

import pytest
import torch

from retailsim import artifacts
from retailsim.config import PRESETS
from retailsim.feature_engineering import fourier_prices
from retailsim.layout import MAX_PLACES, T4, TENSORS
from retailsim.model.world_model import SixTensors, WorldModel, parameter_count
from tests.pages import ROOT

MODULES = ("t1_customer", "t2_products", "t3_time", "t4_prices", "t5_store", "t6_trip")
SIZES = {"B": 3, "S": 7, "M": 4, "V": 11}
COLUMNS = re.compile(r"(?:^|· )(\d+)(?:–(\d+))? ")  # of a cell: "0–8 price segment one-hot · 9–17 …"


def page(name):
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def rows(text):
    """The cells of every row of a text's tables, without heads and rules."""
    lines = [line.strip() for line in text.splitlines()]
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    rules = {i for i, cells in enumerate(found) if all(set(cell) <= set("-: ") and cell for cell in cells)}
    return [cells for i, cells in enumerate(found) if i not in rules and i + 1 not in rules]


def tiles(ranges, start, stop):
    """Whether (first, last or '') follow each other from `start` to `stop`."""
    ends = [(int(first), int(last or first) + 1) for first, last in ranges]
    is_whole = ends[0][0] == start and ends[-1][1] == stop
    return is_whole and all(before[1] == after[0] for before, after in pairwise(ends))


def test_the_tensors_page_has_the_layouts():
    text = page("tensors.md")
    for tensor, module in zip(TENSORS, MODULES, strict=True):
        slices = " · ".join(f"{name} {width}" for name, width in tensor.widths.items())
        assert f"| {tensor.name} | {tensor.width} | {slices} |" in text
        assert f"::: retailsim.tensor_preparation.{module}\n" in text


@pytest.mark.parametrize("tensor, module", list(zip(TENSORS, MODULES, strict=True)), ids=MODULES)
def test_a_tensors_table_is_its_layout(tensor, module):
    """Slices, widths, and where a table numbers its columns, all of them once."""
    text = importlib.import_module(f"retailsim.tensor_preparation.{module}").__doc__
    table = [re.split(r" (?=\d+$)", cells[0]) + cells[1:] for cells in rows(text)]
    assert {cells[0]: int(cells[1]) for cells in table} == tensor.widths
    assert str(tensor.width) in text.splitlines()[0] or module == "t4_prices"
    for name, *_, columns in ([cells[0], *cells[2:3]] for cells in table):
        if ranges := COLUMNS.findall(columns + " "):
            here, width = tensor[name], tensor.widths[name]
            assert tiles(ranges, here.start, here.stop) or tiles(ranges, 0, width), name


def test_most_tables_number_their_columns():
    numbered = [m for m in MODULES if COLUMNS.search(_cells(m))]
    assert numbered == ["t1_customer", "t3_time", "t4_prices", "t5_store"]


def _cells(module):
    text = importlib.import_module(f"retailsim.tensor_preparation.{module}").__doc__
    return "\n".join(f"· {cells[-1]} · {cells[-2]} " for cells in rows(text))


def test_the_price_features_are_the_columns_of_t4():
    table = rows(fourier_prices.__doc__)
    ranges = [(cells[0].partition("–")[0], cells[0].partition("–")[2]) for cells in table]
    assert tiles(ranges, 0, T4.width)
    assert {cells[1]: int(first) for cells, (first, _) in zip(table, ranges, strict=True) if cells[1]} == {
        name: T4[name].start for name in T4.widths
    }


@pytest.mark.parametrize("preset", PRESETS)
def test_the_model_page_has_the_shapes(preset):
    """Each part that the page names gives a tensor of the shape that stands beside it."""
    shapes = {cells[0].strip("`"): cells[1] for cells in rows(page("model.md")) if cells[0].startswith("`")}
    model = WorldModel(PRESETS[preset].model, SIZES["V"]).eval()
    found = {}
    for name in shapes:
        part = eval(f"model.{name}", {"model": model})
        part.register_forward_hook(lambda module, inputs, output, name=name: found.update({name: tuple(output.shape)}))
    b, s, places = SIZES["B"], SIZES["S"], torch.tensor([0, 6, 9, 20])
    widths = [tensor.width for tensor in TENSORS]
    per_product = ("T2", "T4")
    six = [
        torch.randn(b, s, w) if tensor.name[:2] in per_product else torch.randn(b, w)
        for tensor, w in zip(TENSORS, widths, strict=True)
    ]
    with torch.no_grad():
        model(SixTensors(*six), torch.zeros(b, s, dtype=torch.bool), places)
    sizes = SIZES | {"D": PRESETS[preset].model.width}
    assert found == {name: size_of(text, sizes) for name, text in shapes.items()}
    assert "400" in page("model.md") and f"({MAX_PLACES} at most)" in page("model.md")


def size_of(text, sizes):
    """(3, 8, 64) of "B × (S + 1) × D"."""
    return tuple(eval(part, {}, sizes) for part in text.split("×"))


def test_the_model_page_has_the_presets():
    table = {cells[0]: dict(zip(("tiny", "small", "best", "full"), cells[1:], strict=False)) for cells in rows(page("model.md"))}  # fmt: skip
    for name, config in PRESETS.items():
        m = config.model
        inner = m.width * m.encoder_expand
        with torch.device("meta"):
            parameters = parameter_count(WorldModel(m, 5003))
        assert {row: table[row][name] for row in list(table) if row in EXPECTED_ROWS} == dict(
            zip(
                EXPECTED_ROWS,
                (
                    f"{m.width}", f"{m.encoder_layers}", f"{inner}", f"{inner // m.encoder_head_width} × {m.encoder_head_width}",
                    f"{m.state_size}", f"{m.decoder_layers}", f"{m.attention_heads}", f"{m.feed_forward}",
                    f"{m.history_width}" if m.history else "–", f"{parameters:,}",
                ),
                strict=True,
            )
        )  # fmt: skip


EXPECTED_ROWS = (
    "width D", "encoder layers", "inner width E of the encoder", "state-space heads × width", "state of a head N",
    "decoder layers", "attention heads", "feed-forward width", "purchase histories, width of an entry",
    "parameters of `WorldModel`, V = 5003",
)  # fmt: skip


def test_the_road_names_every_file_under_the_stage_that_writes_it():
    stages = dict(re.findall(r"^## (\d)\. (?:.*?)\n(.*?)(?=^## )", page("road.md"), flags=re.MULTILINE | re.DOTALL))
    writers = (artifacts.PIPELINE, artifacts.FEATURES, artifacts.TENSORS, artifacts.SAMPLES, artifacts.CACHE)
    number = {writer: str(i + 1) for i, writer in enumerate(writers)} | {artifacts.BASELINES: "7"}
    named = {(stage, link) for stage, text in stages.items() for link in re.findall(r"artifacts\.md#(\w+)", text)}
    declared = (*artifacts.ALL, *artifacts.ASIDE)
    assert named == {(number[a.written_by], re.sub(r"[^\w]", "", a.path)) for a in declared}
