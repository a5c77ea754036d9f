"""What was trained on what, how training went, and how good the model is beside the baselines."""

from collections.abc import Mapping, Sequence
from typing import Any

from retailsim.report.page import COLOURS, Figure, Section, paragraph, table

Figures = Mapping[str, Any]  # an evaluation's JSON (SPEC C32)
METRICS = {"top1": "Top-1", "top5": "Top-5", "top10": "Top-10", "mrr": "MRR", "ndcg10": "NDCG@10"}
SLICES = {
    "weekday": "Weekday (1 Monday)",
    "basket_size": "Distinct products in the basket",
    "customer_history": "The customer's earlier trips",
    "bought_before": "Had this customer bought the hidden product before",
    "product_history": "Training baskets with the hidden product",
}


def provenance(facts: Sequence[tuple[str, str]]) -> Section:
    """What was trained on what; pairs of a name and a value."""
    return Section("What was trained on what", [table(("", ""), facts)])


def curves(epochs: Sequence[Mapping[str, Any]]) -> Section:
    """Losses and accuracy by epoch, with the phases; one record of metrics.jsonl per epoch."""
    if not epochs:
        return Section("Training", [paragraph("There is no metrics.jsonl beside the checkpoint.", is_soft=True)])
    x = [epoch["epoch"] for epoch in epochs]
    best = max((epoch["epoch"] for epoch in epochs if epoch["is_best"]), default=x[-1])
    lines = [
        _line("training loss (of its phase)", x, [epoch["train_loss"] for epoch in epochs], COLOURS[0]),
        _line("validation loss", x, [epoch["val_loss"] for epoch in epochs], COLOURS[1]),
    ]
    phases = list(dict.fromkeys(epoch["phase"] for epoch in epochs))
    bands, names = [], []
    for i, phase in enumerate(phases):
        inside = [epoch["epoch"] for epoch in epochs if epoch["phase"] == phase]
        bands.append(
            {
                "type": "rect", "yref": "paper", "x0": inside[0] - 0.5, "x1": inside[-1] + 0.5, "y0": 0, "y1": 1,
                "fillcolor": COLOURS[i % len(COLOURS)], "opacity": 0.08, "line": {"width": 0}, "layer": "below",
            }
        )  # fmt: skip
        names.append({"x": inside[0], "y": 1.06, "yref": "paper", "text": phase, "showarrow": False, "xanchor": "left"})
    layout = {
        "shapes": bands,
        "annotations": names,
        "xaxis": {"title": {"text": "epoch"}, "dtick": 1 if len(x) < 25 else 5},
    }
    accuracy = [
        _line("validation accuracy at hidden places", x, [100 * epoch["val_accuracy"] for epoch in epochs], COLOURS[2])
    ]
    return Section(
        "Training",
        [
            paragraph(f"{len(x)} epoch{'s' if len(x) > 1 else ''}; the best by validation loss is epoch {best}."),
            Figure(lines, layout),
            Figure(accuracy, {**layout, "yaxis": {"ticksuffix": " %", "rangemode": "tozero"}}),
        ],
    )


def metrics(found: Figures | None, command: str) -> Section:
    """The model beside the baselines on fresh baskets, with 95 % intervals; `command` makes the figures that are missing."""
    title = "How good it is"
    if found is None:
        return Section(title, [paragraph(f"Not evaluated yet: {command}", is_soft=True)])
    fresh = found["views"]["fresh"]
    methods = {
        "model, trip unknown": fresh["trip_unknown"],
        "model, trip known": fresh["trip_known"],
        **found["baselines"],
    }
    rows = [
        [name, *(_figure(values[key], key) for key in METRICS), f"{values['n']:,}"] for name, values in methods.items()
    ]
    intervals = found.get("intervals", {})
    parts: list[str | Figure] = [
        paragraph(
            f"{found['split']} weeks, baskets without an exact earlier copy by the same customer. 15 % of each basket's products are hidden "
            "and ranked among all products. With the trip known the model also sees labels that are read off the whole basket: "
            "that is no prediction before the trip."
        ),
        table(("method", *METRICS.values(), "hidden products"), rows, own=(0, 1)),
        Figure(
            [_bars(methods, _whiskers(intervals))],
            {
                "title": {"text": "Top-10, fresh baskets, with 95 % intervals"},
                "xaxis": {"ticksuffix": " %"},
                "margin": {"l": 160, "t": 40, "r": 10, "b": 40},
            },
        ),
    ]
    if intervals:
        spans = ", ".join(
            f"{METRICS[key]} {_figure(low, key)} to {_figure(high, key)}"
            for key, (low, high) in intervals["fresh_trip_unknown"].items()
        )
        parts.insert(
            2, paragraph(f"95 % intervals of the model with the trip unknown, by customer: {spans}.", is_soft=True)
        )
        best, gap = intervals["best_baseline"], intervals["difference"]["mrr"]
        parts.insert(3, paragraph(f"MRR of the model (trip unknown) minus {best}: {gap[0]:+.4f} to {gap[1]:+.4f}."))
    parts += _labels(found["auxiliary"])
    return Section(title, parts)


def _labels(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """How well the trip's labels are guessed beside two rivals, and which are not guessed better (SPEC C22)."""
    rivals = ("accuracy", "majority", "regression")
    rows = [
        [name.replace("_", " "), *(_figure(of[rival], "top1") for rival in rivals), f"{of['n']:,}"]
        for name, of in found.items()
    ]
    known = {name.replace("_", " "): of["beats_both"] for name, of in found.items() if of["beats_both"] is not None}
    behind = ", ".join(name for name, is_ahead in known.items() if not is_ahead)
    verdict = f"It does not beat both rivals on {behind}." if behind else "Where a label is known it beats both rivals."
    if not known:
        verdict = "No label is known."
    return [
        paragraph(f"Labels of the trip, guessed by the model with the trip hidden. {verdict}"),
        table(("label", "model", "most frequent class", "logistic regression on the visible basket", "baskets"), rows),
    ]


def breakdowns(found: Figures) -> Section:
    """Top-1 and Top-10 by weekday, basket, customer and product, on fresh baskets with the trip unknown."""
    best = found.get("intervals", {}).get("best_baseline")
    beside = f", beside {best}, the best baseline" if best else ""
    parts: list[str | Figure] = [paragraph(f"Fresh baskets, trip unknown{beside}.", is_soft=True)]
    for key, title in SLICES.items():
        slices, rival = found["slices"].get(key, {}), found.get("rival_slices", {}).get(key, {})
        shown = (("Top-1", "top1", slices, 0), ("Top-10", "top10", slices, 1), (f"Top-10 of {best}", "top10", rival, 7))
        traces = [
            {
                "type": "bar", "name": name, "x": [f" {part}" for part in of], "marker": {"color": COLOURS[colour]},
                "y": [_percent(values[metric]) for values in of.values()],
                "customdata": [values["n"] for values in of.values()],
                "hovertemplate": "%{y:.2f} %, %{customdata:,} hidden products",
            }
            for name, metric, of, colour in shown if of
        ]  # fmt: skip
        parts.append(Figure(traces, {"title": {"text": title}, "yaxis": {"ticksuffix": " %"}}))
    return Section("Where it is good", parts)


def calibration(found: Figures) -> Section:
    """How often the top prediction is right, by how sure the model is of it."""
    record = found.get("calibration", {}).get("trip_unknown")
    if not record:
        return Section(
            "Can its probabilities be believed", [paragraph("This evaluation did not measure it.", is_soft=True)]
        )
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
            _line(name, [100 * b["confidence"] for b in bins], [100 * b["accuracy"] for b in bins], COLOURS[i])
        )
        if record[key]["ece"] is not None:
            sentences.append(f"{name} {100 * record[key]['ece']:.2f} points")
    most = max([max(trace["x"] + trace["y"]) for trace in traces[1:] if trace["x"]], default=100)
    layout = {
        "xaxis": {"title": {"text": "how sure, %"}, "range": [0, 1.1 * most]},
        "yaxis": {"title": {"text": "how often right, %"}, "range": [0, 1.1 * most]},
    }
    text = f"Top predictions, trip unknown; temperature {record['temperature']:.2f}, fitted on the validation weeks. Expected calibration error: {'; '.join(sentences)}."
    return Section("Can its probabilities be believed", [paragraph(text), Figure(traces, layout)])


def _line(name: str, x: Sequence[Any], y: Sequence[Any], colour: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": list(x),
        "y": list(y),
        "line": {"color": colour},
    }


def _whiskers(intervals: Mapping[str, Any]) -> dict[str, Sequence[float]]:
    """The interval of Top-10 by method, as an evaluation has it."""
    found = {
        f"model, {trip.replace('_', ' ')}": intervals.get(f"fresh_{trip}", {})
        for trip in ("trip_unknown", "trip_known")
    }
    found |= intervals.get("baselines", {})
    return {name: of["top10"] for name, of in found.items() if "top10" in of}


def _bars(methods: Mapping[str, Mapping[str, Any]], whiskers: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    names = list(methods)[::-1]
    values = [_percent(methods[name]["top10"]) for name in names]
    low, high = (
        [
            abs(100 * whiskers[name][end] - value) if name in whiskers and value is not None else 0.0
            for name, value in zip(names, values, strict=True)
        ]
        for end in (0, 1)
    )
    return {
        "type": "bar", "orientation": "h", "y": names, "x": values,
        "marker": {"color": [COLOURS[0] if name.startswith("model") else COLOURS[7] for name in names]},
        "error_x": {"type": "data", "symmetric": False, "array": high, "arrayminus": low},
        "hovertemplate": "%{y}: %{x:.2f} %<extra></extra>",
    }  # fmt: skip


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _figure(value: float | None, key: str) -> str:
    """A metric as it is read: shares in percent, means of ranks as fractions."""
    if value is None:
        return "–"
    return f"{value:.4f}" if key in ("mrr", "ndcg10") else f"{100 * value:.2f} %"
