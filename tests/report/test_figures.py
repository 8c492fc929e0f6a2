import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib import colors

from shiftaddnas.report import palette, write_figures
from shiftaddnas.report.charts import charts
from shiftaddnas.report.figures import OTHER_COSTS, axis_titles, is_wide, operation_shares
from shiftaddnas.report.search_run import SearchRun


def share_of(image, color):
    """The share of pixels of this colour."""
    return float(np.all(np.abs(image[..., :3] - colors.to_rgb(color)) < 0.02, axis=-1).mean())


def test_figures_show_their_marks(search_folder):
    pareto, progress, operations = (plt.imread(path) for path in write_figures(search_folder))
    assert pareto.shape[:2] == (640, 1024)
    assert share_of(pareto, palette.FRONT) > 0.003
    for color, _, _ in palette.BASELINES.values():
        assert share_of(pareto, color) > 0.0003
    assert share_of(progress, palette.INK) > 0.001
    for color in palette.OPERATIONS.values():
        assert share_of(operations, color) > 0.01
    assert plt.get_fignums() == []


def test_a_front_over_several_costs_is_outlined_in_the_first(search_folder, search_results):
    write_figures(search_folder)
    before = plt.imread(search_folder.figures / "pareto.png")
    outline = SearchRun.read(search_folder).front
    search_results["objectives"] = ["energy_mj", "num_params", "latency_ms"]
    search_folder.results.write_text(json.dumps(search_results))
    run = SearchRun.read(search_folder)
    assert run.outline == outline
    assert len(run.front) > len(outline)
    write_figures(search_folder)
    marked = share_of(plt.imread(search_folder.figures / "pareto.png"), palette.FRONT) - share_of(before, palette.FRONT)
    assert marked > 0.0001
    (chart,) = (html for heading, html in charts(run) if heading == "Scores and costs")
    assert OTHER_COSTS in chart
    assert (
        OTHER_COSTS
        not in dict(charts(SearchRun(run.folder, {**run.results, "objectives": ["energy_mj"]}, run.records)))[
            "Scores and costs"
        ]
    )


def test_axes_have_units(search_folder):
    run = SearchRun.read(search_folder)
    assert axis_titles(run) == ("energy (mJ)", "supernet accuracy (%)")
    run.results["metric"] = {"name": "loss", "unit": "", "maximize": False}
    run.results["objective"] = "num_params"
    assert axis_titles(run) == ("params", "supernet loss")
    run.results["score"] = "released_objective"
    assert axis_titles(run) == ("params", "supernet released objective")


def test_wide_ranges_are_logarithmic():
    assert is_wide([0.1, 1.1])
    assert not is_wide([0.1, 0.9])
    assert not is_wide([0.0, 5.0])


def test_operation_shares(search_folder):
    run = SearchRun.read(search_folder)
    shares = operation_shares(run)
    for index, record in enumerate(run.front):
        total = record.costs["num_mults"] + record.costs["num_adds"] + record.costs["num_shifts"]
        assert shares["num_shifts"][index] == pytest.approx(100 * record.costs["num_shifts"] / total)
        assert sum(values[index] for values in shares.values()) == pytest.approx(100)


def test_best_so_far(search_folder, search_records):
    run = SearchRun.read(search_folder)
    scores = [record["score"] for record in search_records if record["score"] is not None]
    assert run.best_so_far == [max(scores[: end + 1]) for end in range(len(scores))]
    run = SearchRun.read(search_folder)
    run.results["metric"]["maximize"] = False
    assert run.best_so_far == [min(scores[: end + 1]) for end in range(len(scores))]


def test_a_search_of_one_arch_without_operation_counts(search_folder, search_records, search_results):
    record = search_records[0]
    record["costs"] = {"latency_ms": 2.0}
    search_folder.search_log.write_text(json.dumps(record) + "\n")
    for entry in (search_results["winner"], *search_results["baselines"].values()):
        entry["costs"] = {"latency_ms": 2.0}
    search_results["objective"] = "latency_ms"
    search_folder.results.write_text(json.dumps(search_results))
    assert all(path.exists() for path in write_figures(search_folder))
