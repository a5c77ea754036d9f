"""The page as HTML: escaped, complete, and without a network (C35)."""

import json
import re

import pytest

from retailsim.report.page import Figure, Section, paragraph, render, table


def test_text_is_escaped_and_numbers_stand_at_the_right():
    assert paragraph("a < b & c") == "<p>a &lt; b &amp; c</p>"
    html = table(("x", "y"), [["<b>", "1,234"], ["2006 to 2008", "12.5 %"], ["–", "£1.25"]], own=(1,))
    assert "&lt;b&gt;" in html and html.count("<td class=number>") == 4 and html.count("<tr class=own>") == 1
    assert "<thead>" in html and "<thead>" not in table((), [["x", "1"]])


def test_what_stands_above_numbers_stands_at_the_right():
    html = table(("method", "Top-1", "note"), [["model", "1 %", "2"], ["EASE", "–", "none"]])
    assert re.findall(r"<th( class=number)?>(.*?)</th>", html) == [
        ("", "method"),
        (" class=number", "Top-1"),
        ("", "note"),
    ]


def test_figures_stand_in_the_page_as_plotlys_json():
    figure = Figure([{"type": "bar", "x": ["</script>"], "y": [1.5]}], {"title": {"text": "t"}}, height=30)
    page = render("Title", "about", [Section("One customer's story", "Read <this>.", [paragraph("hello"), figure])])
    (values,) = re.findall(r"const FIGURES = (\{.*?\});\n", page)
    assert json.loads(values) == {"figure-1": {"data": figure.data, "layout": figure.layout}}
    assert 'style="height: 30rem" id="figure-1"' in page and 'href="#one-customers-story"' in page
    assert "story</h2><p>Read &lt;this&gt;.</p><p>hello</p>" in page
    assert page.count("</script>") == 2  # the product's name ends none


def test_the_page_needs_no_network():
    page = render("Title", "about", [Section("Empty", "", [])])
    own = page.replace(max(re.findall(r"<script>.*?</script>", page, flags=re.DOTALL), key=len), "")
    assert not re.findall(r"""(?:src|href)=["'](?!#|data:)""", page.split("<script>")[0])
    assert (
        "http" not in own and "@import" not in own and 'name="viewport"' in own and "prefers-color-scheme: dark" in own
    )


def test_a_number_that_is_none_is_refused():
    with pytest.raises(ValueError):
        render("Title", "about", [Section("x", "", [Figure([{"y": [float("nan")]}], {})])])
