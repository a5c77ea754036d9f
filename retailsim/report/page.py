"""The page itself: sections of text, tables and figures in one HTML file with Plotly inside (SPEC C35).

Figures are Plotly's own JSON, so that what is drawn stands here as plain values; colours follow the reader's light or dark
setting, and widths the reader's screen.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from plotly.offline import get_plotlyjs

COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#b58900",
    "#56b4e9",
    "#8c6bb1",
    "#7f7f7f",
)  # seen on light and dark
STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #5b6570; --line: #d9dee3; --paper: #ffffff; --card: #f6f8fa; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ec; --soft: #9aa5b1; --line: #30363d; --paper: #0d1117; --card: #161b22; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { margin: .5rem 0 0; } h2 { margin: 2.5rem 0 .5rem; border-top: 1px solid var(--line); padding-top: 1.5rem; }
p { margin: .5rem 0; } .soft { color: var(--soft); } nav { display: flex; flex-wrap: wrap; gap: .2rem 1rem; }
a { color: inherit; }
.wide { overflow-x: auto; } .figure { width: 100%; margin: .5rem 0; }
table { border-collapse: collapse; font-size: .9rem; overflow-wrap: normal; } td:last-child { overflow-wrap: anywhere; }
td, th { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: left; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; } tr.own { background: var(--card); font-weight: 600; }
"""
NUMBER = re.compile("–|[-+£]?[0-9.,]+ ?%?")
DRAW = """
const dark = matchMedia("(prefers-color-scheme: dark)");
function draw() {
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--ink").trim(), line = style.getPropertyValue("--line").trim();
  const axis = {gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true};
  for (const [id, figure] of Object.entries(FIGURES)) {
    const layout = {paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: {color: ink}, margin: {t: 40, r: 10, b: 50, l: 50},
      legend: {orientation: "h", y: -0.2}, hoverlabel: {align: "left"}, ...figure.layout};
    for (const trace of figure.data) for (const whisker of [trace.error_x, trace.error_y]) if (whisker) whisker.color = ink;
    layout.xaxis = {...axis, ...figure.layout.xaxis}; layout.yaxis = {...axis, ...figure.layout.yaxis};
    Plotly.react(id, figure.data, layout, {responsive: true, displayModeBar: false});
  }
}
draw(); dark.addEventListener("change", draw);
"""


@dataclass(frozen=True)
class Figure:
    """Traces and layout in Plotly's JSON; NaN is no value there: None."""

    data: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any]
    height: int = 24  # rem


@dataclass(frozen=True)
class Section:
    """A part of the page: how to read it, in plain text, then HTML fragments and figures in the order in which they stand."""

    title: str
    reading: str
    parts: Sequence[str | Figure]

    @property
    def anchor(self) -> str:
        """Its place in the page."""
        return self.title.lower().replace(" ", "-").replace("'", "")


def paragraph(text: str, is_soft: bool = False) -> str:
    """A paragraph of plain text."""
    return f"<p{' class=soft' if is_soft else ''}>{escape(text)}</p>"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], own: Sequence[int] = ()) -> str:
    """A table of plain texts; numbers and what stands above them are at the right; rows `own` stand out; no `head`, no first line."""

    def cell(text: str, kind: str = "td", is_number: bool = False) -> str:
        return f"<{kind}{' class=number' if is_number or is_a_number(text) else ''}>{escape(text)}</{kind}>"

    columns = zip(head, *rows, strict=True) if head else []
    heads = "".join(cell(name, "th", bool(rows) and all(map(is_a_number, column))) for name, *column in columns)
    lines = "".join(
        f"<tr{' class=own' if i in own else ''}>{''.join(map(cell, row))}</tr>" for i, row in enumerate(rows)
    )
    above = f"<thead><tr>{heads}</tr></thead>" if heads else ""
    return f'<div class="wide"><table>{above}<tbody>{lines}</tbody></table></div>'


def is_a_number(text: str) -> bool:
    """Whether a cell holds one figure, with its unit or without, or the dash that stands for none."""
    return NUMBER.fullmatch(text) is not None


def line(name: str, x: Sequence[Any], y: Sequence[Any], colour: str) -> dict[str, Any]:
    """A trace of points that are joined."""
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": list(x),
        "y": list(y),
        "line": {"color": colour},
    }


def in_percent(value: float | None) -> float | None:
    """A share 0–1 as it is drawn; None stays None."""
    return None if value is None else 100 * value


def render(title: str, about: str, sections: Sequence[Section]) -> str:
    """The whole page as HTML; needs no network."""
    figures: dict[str, dict[str, Any]] = {}
    body = []
    for section in sections:
        fragments = [paragraph(section.reading)]
        for part in section.parts:
            if isinstance(part, Figure):
                name = f"figure-{len(figures) + 1}"
                figures[name] = {"data": part.data, "layout": part.layout}
                fragments.append(f'<div class="figure" style="height: {part.height}rem" id="{name}"></div>')
            else:
                fragments.append(part)
        body.append(f'<section id="{section.anchor}"><h2>{escape(section.title)}</h2>{"".join(fragments)}</section>')
    links = "".join(f'<a href="#{section.anchor}">{escape(section.title)}</a>' for section in sections)
    values = json.dumps(figures, allow_nan=False, ensure_ascii=False).replace("</", "<\\/")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,"><style>{STYLE}</style></head>'
        f"<body><h1>{escape(title)}</h1>{paragraph(about, is_soft=True)}<nav>{links}</nav>{''.join(body)}"
        f"<script>{get_plotlyjs()}</script><script>const FIGURES = {values};{DRAW}</script></body></html>\n"
    )
