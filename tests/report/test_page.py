import base64
import json
import re
from html.parser import HTMLParser

import pytest

from shiftaddnas.errors import UserError
from shiftaddnas.report import write_page, write_report


class Page(HTMLParser):
    """Tags, what they load, and the text outside of scripts."""

    def __init__(self, source):
        super().__init__()
        self.open, self.loaded, self.text = [], [], []
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "img"):
            self.open.append(tag)
        self.loaded += [value for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(data)


@pytest.fixture
def source(search_folder):
    write_report(search_folder)
    return search_folder.report.read_text()


def test_page_is_well_formed_and_loads_nothing(source):
    page = Page(source)
    assert page.open == []
    assert page.loaded == []
    assert "plotly.js v" in source


def test_final_scores_stand_beside_the_metric(search_folder):
    content = json.loads(search_folder.results.read_text())
    content["metric"]["final"] = ["bleu"]
    for number, entry in enumerate((content["winner"], *content["baselines"].values())):
        entry["test"]["bleu"] = 11.5 + number
    search_folder.results.write_text(json.dumps(content))
    write_report(search_folder)
    cells = re.findall(r"<t[hd]>([^<]*)</t[hd]>", search_folder.report.read_text().partition("</table>")[0])
    assert cells[3] == "bleu"
    assert {"11.50", "12.50"} <= set(cells)


def test_page_tells_all_of_the_run(source, search_folder, search_results):
    text = " ".join(Page(source).text)
    for part in (
        search_results["command"],
        search_results["retrain_command"],
        search_results["winner"]["arch_id"],
        "97.22 %",
        "energy (mJ)",
        "all-multiplication",
        search_folder.config.read_text(),
        search_folder.read_manifest()["config_hash"],
    ):
        assert part in text
    assert source.count('class="winner"') == 2


def test_plots_hold_the_candidates(source, search_records):
    plots = re.findall(r'Plotly\.newPlot\(\s*"chart-\d",\s*(\[.*?\])\s*,\s*\{"template"', source, re.DOTALL)
    assert len(plots) == 3
    candidates = json.loads(plots[0])[0]
    scored = [record for record in search_records if record["score"] is not None]
    assert candidates["y"] == pytest.approx([100 * record["score"] for record in scored])
    assert candidates["x"] == pytest.approx([record["costs"]["energy_mj"] for record in scored])
    assert scored[3]["arch_id"] in candidates["text"][3]


def test_what_users_wrote_is_escaped(search_folder, search_results):
    search_results["command"] = "python search.py note='<script>alert(1)</script>'"
    search_folder.results.write_text(json.dumps(search_results))
    assert "<script>alert" not in write_page(search_folder).read_text()


def test_a_training_has_no_page(training_folder):
    with pytest.raises(UserError, match="holds no search"):
        write_page(training_folder)


def test_pictures_are_inside_the_page(search_folder):
    search_folder.figures.mkdir()
    for name in ("arch", "weights_winner"):
        (search_folder.figures / f"{name}.png").write_bytes(name.encode())
    page = Page(write_page(search_folder).read_text())
    expected = [f"data:image/png;base64,{base64.b64encode(name).decode()}" for name in (b"arch", b"weights_winner")]
    assert page.loaded == expected
    assert page.open == []
    headings = " ".join(page.text)
    assert "The winner, layer by layer" in headings
    assert "Weights of the supernet" not in headings
