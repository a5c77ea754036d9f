"""Where the model helps beside the best baseline and where not, and how far its probabilities can be believed."""

from collections.abc import Mapping
from typing import Any

from retailsim.report.model_sections import bars, verdict
from retailsim.report.page import COLOURS, Figure, Section, in_percent, line, paragraph

SLICES = {
    "weekday": "Weekday",
    "basket_size": "Distinct products in the basket",
    "customer_history": "The customer's earlier trips",
    "bought_before": "Had this customer bought the hidden product before",
    "product_history": "Training baskets with the hidden product",
}


def breakdowns(found: Mapping[str, Any]) -> Section:
    """Top-1 and Top-10 by weekday, basket, customer and product, on fresh baskets with the trip unknown."""
    best = found.get("intervals", {}).get("best_baseline")
    beside = (
        f" Where the bar of {best}, the best baseline, is the higher one, the model adds nothing there." if best else ""
    )
    reading = (
        f"As above, trip unknown, by kind of basket, customer and product.{beside} A bar says under the pointer how many hidden "
        "products it is made of: with a hundred, chance alone moves it by up to ten percentage points."
    )
    parts: list[str | Figure] = []
    for key, title in SLICES.items():
        slices, rival = found["slices"].get(key, {}), found.get("rival_slices", {}).get(key, {})
        shown = (("Top-1", "top1", slices, 0), ("Top-10", "top10", slices, 1), (f"Top-10 of {best}", "top10", rival, 7))
        traces = [
            {
                "type": "bar", "name": name, "x": [f" {part}" for part in of], "marker": {"color": COLOURS[colour]},
                "y": [in_percent(values[metric]) for values in of.values()],
                "customdata": [values["n"] for values in of.values()],
                "hovertemplate": "%{y:.2f} %, %{customdata:,} hidden products",
            }
            for name, metric, of, colour in shown if of
        ]  # fmt: skip
        parts.append(Figure(traces, {"title": {"text": title}, "yaxis": {"ticksuffix": " %"}}))
    return Section("Where it is good", reading, parts + _novel(found.get("novel")))


def _novel(found: Mapping[str, Any] | None) -> list[str | Figure]:
    """First-time purchases among what the customer never bought; nothing where an evaluation has none."""
    if not found:
        return []
    methods, gap = found["methods"], found["against_best_trip_unknown"]
    said = (
        f"{methods[gap['baseline']]['n']:,} hidden products are a customer's first purchase of them. Among all products the customer's "
        "own rightly stand before them; here they are ranked among the products that the customer never bought before. "
        + verdict(gap["baseline"], *gap["difference"]["mrr"])
    )
    spans = {name: of["top10"] for name, of in found["intervals"].items()}
    layout = {
        "title": {"text": "First-time purchases, Top-10 among products new to the customer, with 95 % intervals"},
        "xaxis": {"ticksuffix": " %"},
        "margin": {"l": 160, "t": 40, "r": 10, "b": 40},
    }
    return [paragraph(said), Figure([bars(methods, spans)], layout)]


def calibration(found: Mapping[str, Any]) -> Section:
    """How often the top prediction is right, by how sure the model is of it: of baskets in hand, and before the trip."""
    title = "Can its probabilities be believed"
    reading = (
        "On the dotted line a probability can be taken at its word: what is called 20 % happens in 20 of 100 cases. Below the line "
        "the model is too sure of itself, above it too modest. Chance alone moves points off the line, the more the fewer predictions "
        "there are: beside their mean distance stands the one that exact probabilities would have."
    )
    questions = {
        "First predictions, trip unknown": found.get("calibration", {}).get("trip_unknown"),
        "First predictions before the trip, nothing in the basket": (found.get("before_trip") or {}).get("calibration"),
    }
    parts = [part for name, record in questions.items() if record for part in _reliability(name, record)]
    return Section(title, reading, parts or [paragraph("This evaluation did not measure it.", is_soft=True)])


def _reliability(question: str, record: Mapping[str, Any]) -> list[str | Figure]:
    traces: list[Mapping[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "believable",
            "x": [0, 100],
            "y": [0, 100],
            "line": {"dash": "dot", "color": COLOURS[7]},
        }
    ]
    sentences = []
    for i, (key, name) in enumerate((("before", "as the model says"), ("after", "after temperature scaling"))):
        bins = record[key]["reliability"]
        traces.append(
            line(name, [100 * b["confidence"] for b in bins], [100 * b["accuracy"] for b in bins], COLOURS[i])
        )
        if record[key]["ece"] is not None:
            sentences.append(f"{name}, {_distance(record[key])}")
    most = max([max(trace["x"] + trace["y"]) for trace in traces[1:] if trace["x"]], default=100)
    layout = {
        "xaxis": {"title": {"text": "how sure, %"}, "range": [0, 1.1 * most]},
        "yaxis": {"title": {"text": "how often right, %"}, "range": [0, 1.1 * most]},
    }
    text = (
        f"{question}; temperature {record['temperature']:.2f}, fitted on the validation weeks. Mean distance from "
        f"the dotted line (expected calibration error): {'; '.join(sentences)}."
    )
    return [paragraph(text), Figure(traces, layout)]


def _distance(found: Mapping[str, Any]) -> str:
    """The ECE, what chance makes of it and the side to which the model errs; an evaluation of an earlier version has the ECE only."""
    said = f"{100 * found['ece']:.2f} percentage points"
    if "too_sure" not in found:
        return said
    side = "too sure" if found["too_sure"] > 0 else "too modest"
    return f"{said} ({100 * found['ece_by_chance']:.2f} by chance alone), {100 * abs(found['too_sure']):.2f} {side} on the mean"
