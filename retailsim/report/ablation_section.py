"""What each of the six tensors is worth to the model, beside the founding document's claims (SPEC C34, C35)."""

from collections.abc import Mapping
from typing import Any

from retailsim.report.page import COLOURS, Figure, Section, paragraph

METRIC = "mrr"


def ablation(found: Mapping[str, Any]) -> Section:
    """Bars of what is lost without each tensor, with 95 % intervals where baskets exchange it.

    Args:
        found: what "ablate --json" wrote.
    """
    exchanged = {
        name: of for name, of in found["exchanged"]["tensors"].items() if of["drops"][METRIC]["drop"] is not None
    }
    names = list(exchanged)
    drops = [exchanged[name]["drops"][METRIC] for name in names]
    traces = [
        _bars("exchanged between baskets", names, [of["drop"] for of in drops], COLOURS[0])
        | {
            "error_y": {
                "type": "data",
                "symmetric": False,
                "array": [100 * (of["interval"][1] - of["drop"]) for of in drops],
                "arrayminus": [100 * (of["drop"] - of["interval"][0]) for of in drops],
            }
        }
    ]
    runs = found.get("retrained", {}).get("runs", {})
    lost = {name: runs[f"without {name}"]["metrics"][METRIC]["drop"] for name in names if f"without {name}" in runs}
    if lost and None not in lost.values():
        traces.append(
            _bars(
                f"missing in training, {found['retrained']['seeds']} seeds", list(lost), list(lost.values()), COLOURS[1]
            )
        )
    traces.append(
        _bars("the founding document's claim", names, [exchanged[name]["claim"] for name in names], COLOURS[7])
    )
    text = (
        f"MRR that is lost, as a share of the whole model's, on {found['baskets']:,} fresh baskets of the {found['split']} weeks with the "
        "trip known. A tensor that baskets exchange tells the model something false; one that was missing in training tells it nothing."
    )
    reading = (
        "What the model knows comes in six tensors: T1 the customer, T2 the products, T3 the time, T4 the prices, T5 the store, T6 "
        "the kind of trip. The higher a bar, the more is lost without it; one whose thin line, the 95 % interval, reaches 0 is worth "
        "nothing to this model."
    )
    return Section(
        "What each tensor is worth", reading, [paragraph(text), Figure(traces, {"yaxis": {"ticksuffix": " %"}})]
    )


def _bars(name: str, x: list[str], shares: list[float], colour: str) -> dict[str, Any]:
    return {
        "type": "bar", "name": name, "x": x, "y": [100 * share for share in shares], "marker": {"color": colour},
        "hovertemplate": "%{x}: %{y:.2f} %",
    }  # fmt: skip
