"""What each of the six tensors is worth to the model, beside the founding document's claims (SPEC C34, C35)."""

from collections.abc import Mapping
from typing import Any

from retailsim.report.page import COLOURS, Figure, Section, paragraph

METRIC = "mrr"


def ablation(found: Mapping[str, Any]) -> Section:
    """Bars of what is lost without each tensor, with 95 % intervals where they are known.

    Args:
        found: what "ablate --json" wrote.
    """
    exchanged = {
        name: of for name, of in found["exchanged"]["tensors"].items() if of["drops"][METRIC]["drop"] is not None
    }
    names = list(exchanged)
    drops = {name: exchanged[name]["drops"][METRIC] for name in names}
    traces = [_bars("exchanged between baskets", drops, COLOURS[0])]
    runs = found.get("retrained", {}).get("runs", {})
    lost = {name: runs[f"without {name}"]["metrics"][METRIC] for name in names if f"without {name}" in runs}
    if lost and all(of["drop"] is not None for of in lost.values()):
        traces.append(_bars(f"missing in training, {found['retrained']['seeds']} seeds", lost, COLOURS[1]))
    claims = {name: {"drop": exchanged[name]["claim"]} for name in names}
    traces.append(_bars("the founding document's claim", claims, COLOURS[7]))
    text = (
        f"MRR that is lost, as a share of the whole model's, on {found['baskets']:,} fresh baskets of the {found['split']} weeks with the "
        "trip known. A tensor that baskets exchange tells the model something false; one that was missing in training tells it nothing."
    )
    reading = (
        "What the model knows comes in six tensors: T1 the customer, T2 the products, T3 the time, T4 the prices, T5 the store, T6 "
        "the kind of trip. The higher a bar, the more is lost without it. One whose thin line, the 95 % interval, reaches 0 is not told "
        "apart from 0 here: more baskets, or more seeds, could. So far the first may move with other customers, the second with another seed."
    )
    return Section(
        "What each tensor is worth", reading, [paragraph(text), Figure(traces, {"yaxis": {"ticksuffix": " %"}})]
    )


def _bars(name: str, drops: Mapping[str, Mapping[str, Any]], colour: str) -> dict[str, Any]:
    bars: dict[str, Any] = {
        "type": "bar", "name": name, "x": list(drops), "y": [100 * of["drop"] for of in drops.values()],
        "marker": {"color": colour}, "hovertemplate": "%{x}: %{y:.2f} %",
    }  # fmt: skip
    if all(of.get("interval") for of in drops.values()):
        high = [100 * (of["interval"][1] - of["drop"]) for of in drops.values()]
        low = [100 * (of["drop"] - of["interval"][0]) for of in drops.values()]
        bars["error_y"] = {"type": "data", "symmetric": False, "array": high, "arrayminus": low}
    return bars
