import io
import json
import re

import pytest
from rich.console import Console

from shiftaddnas.errors import UserError
from shiftaddnas.report import print_summary, print_training_summary
from shiftaddnas.report.search_run import SearchRun
from shiftaddnas.report.summary import MAX_ROWS, verdicts
from shiftaddnas.tracking import RunFolder


def printed(function, folder, **options):
    text = io.StringIO()
    function(folder, Console(file=text, width=80, **options))
    return text.getvalue()


def rewrite(folder, change):
    content = json.loads(folder.results.read_text())
    change(content)
    folder.results.write_text(json.dumps(content))


def test_summary_shows_front_networks_and_what_to_do_next(search_folder, search_results):
    text = printed(print_summary, search_folder)
    for part in (
        "Search on digits finished",
        "space digits (5,328 archs), sharing heterogeneous, hardware asic45nm, seed 0",
        "120 archs evaluated in a supernet of 712 k params",
        "limits: energy_mj <= 0.0003 mJ",
        "1 of them failed",
        "supernet 1 min 1 s, search 25 s, retrain 1 min 15 s",
        f"  {search_results['retrain_command']}\n",
        f"run folder {search_folder.path}\n",
        f"  {search_folder.report}\n",
    ):
        assert part in text
    label = search_results["winner"]["label"]
    assert len(re.findall(rf"^\* {label} ", text, re.MULTILINE)) == 1
    assert re.search(r"^winner +97\.22 %", text, re.MULTILINE)
    assert re.search(r"^all-multiplication +97\.78 % .* 100\.0 %", text, re.MULTILINE)
    assert re.search(r"^all-cheap +95\.83 %", text, re.MULTILINE)


def test_tables_fit_eighty_columns_and_a_pipe_gets_plain_text(search_folder):
    text = printed(print_summary, search_folder)
    long = [line for line in text.splitlines() if len(line) > 80 and "/" not in line]
    assert long == []
    assert "\x1b" not in text
    assert "\x1b" in printed(print_summary, search_folder, force_terminal=True, color_system="standard")


def test_a_narrow_terminal_loses_nothing(search_folder):
    text = io.StringIO()
    print_summary(search_folder, Console(file=text, width=40))
    wide = printed(print_summary, search_folder)
    assert set(wide.split()) == set(text.getvalue().split())
    assert re.search(r"^winner +97\.22 %", text.getvalue(), re.MULTILINE)


def test_relative_energy(search_folder):
    def change(content):
        content["winner"]["costs"]["energy_mj"] = 0.75
        content["baselines"]["all_multiplication"]["costs"]["energy_mj"] = 3.0

    rewrite(search_folder, change)
    assert re.search(r"^winner .* 25\.0 %", printed(print_summary, search_folder), re.MULTILINE)


def test_a_long_front_is_thinned_out_but_keeps_its_ends_and_the_winner(search_folder, search_records):
    # A front of 60 points: every step costs more and scores more; the winner is one that even spacing would skip.
    lines = []
    for index, record in enumerate(search_records[:60]):
        record.update(status="ok", score=0.5 + index / 200, metrics={}, message=None, label=f"label{index:02d}")
        record["costs"]["energy_mj"] = 1.0 + index
        lines.append(json.dumps(record) + "\n")
    search_folder.search_log.write_text("".join(lines))
    rewrite(search_folder, lambda content: content["winner"].update(arch_id=search_records[1]["arch_id"]))
    text = printed(print_summary, search_folder)
    assert f"{MAX_ROWS} of 60 archs" in text
    shown = re.findall(r"^[* ] (label\d\d)", text, re.MULTILINE)
    assert len(shown) == MAX_ROWS
    assert {"label00", "label01", "label59"} <= set(shown)
    assert "* label01" in text


def compare(folder, winner, baseline):
    """The verdict on (test accuracy, energy) of the winner and of one baseline."""

    def change(content):
        for entry, (accuracy, energy) in ((content["winner"], winner), (content["baselines"]["all_cheap"], baseline)):
            entry["test"]["accuracy"] = accuracy
            entry["costs"]["energy_mj"] = energy
        del content["baselines"]["all_multiplication"]

    rewrite(folder, change)
    return verdicts(SearchRun.read(folder))[0]


@pytest.mark.parametrize(
    ("winner", "baseline", "expected"),
    [
        ((0.97, 1.0), (0.98, 4.0), "1.00 points worse in test accuracy at 25.0 % of its energy."),
        ((0.99, 1.0), (0.98, 4.0), "1.00 points better in test accuracy at 25.0 % of its energy: better in both."),
        ((0.99, 4.0), (0.98, 1.0), "1.00 points better in test accuracy at 400 % of its energy."),
        ((0.98, 4.0), (0.98, 4.0), "equal in test accuracy at 100 % of its energy: here the search found nothing"),
        ((0.97, 4.0), (0.98, 2.0), "1.00 points worse in test accuracy at 200 % of its energy: here the search found"),
    ],
)
def test_verdicts_are_honest(search_folder, winner, baseline, expected):
    assert expected in compare(search_folder, winner, baseline)


def test_final_scores_stand_beside_the_metric(search_folder):
    def change(content):
        content["metric"]["final"] = ["bleu", "bleu_tokenized"]
        for number, entry in enumerate((content["winner"], *content["baselines"].values())):
            entry["test"]["bleu"] = 11.5 + number

    rewrite(search_folder, change)
    text = printed(print_summary, search_folder)
    assert re.search(r"^winner +\S+ % +11\.50 ", text, re.MULTILINE)
    assert "bleu_tokenized" not in text  # these texts are not tokenised


def test_verdict_of_a_metric_to_minimise(search_folder):
    def change(content):
        content["metric"] = {"name": "loss", "unit": "", "maximize": False}
        content["winner"]["test"]["loss"] = 2.0
        content["baselines"]["all_cheap"]["test"]["loss"] = 2.5

    rewrite(search_folder, change)
    assert "0.500 better in test loss" in verdicts(SearchRun.read(search_folder))[1]


def test_a_winner_that_is_a_baseline_is_said_to_be(search_folder):
    rewrite(search_folder, lambda content: content["baselines"].update(all_cheap=content["winner"]))
    assert "The winner is the all-cheap network of its shape." in verdicts(SearchRun.read(search_folder))


def test_training_summary(training_folder):
    text = printed(print_training_summary, training_folder)
    assert "Training of a subnet on digits finished" in text
    for name, value in {
        "arch": "0a1b2c3d4e5f  CA SA CSSA",
        "test accuracy": "97.22 %",
        "test loss": "0.09870",
        "params": "48.2 k",
        "energy": "0.000123 mJ",
        "mults": "1.23 M",
    }.items():
        assert re.search(rf"^{name} +{re.escape(value)} *$", text, re.MULTILINE)
    assert "took subnet 1 h 2 min" in text
    assert str(training_folder.subnet) in text


def test_summary_of_a_model_names_it_and_its_averaged_weights(training_folder):
    def change(content):
        for key in ("arch_id", "label"):
            del content[key]
        content.update(kind="model", model={"name": "vit", "depth": 2}, label="vit  depth=2")
        content["test"].update(accuracy_ema=0.98, loss_ema=0.05)

    rewrite(training_folder, change)
    text = printed(print_training_summary, training_folder)
    for name, value in {
        "model": "vit  depth=2",
        "test accuracy": "97.22 %",
        "test accuracy, EMA": "98.00 %",
        "test loss, EMA": "0.05000",
    }.items():
        assert re.search(rf"^{name} +{re.escape(value)} *$", text, re.MULTILINE)


def test_folders_without_results_are_user_errors(tmp_path, training_folder):
    with pytest.raises(UserError, match=r"holds no results\.json"):
        printed(print_summary, RunFolder(tmp_path))
    with pytest.raises(UserError, match="holds no search"):
        printed(print_summary, training_folder)
    training_folder.results.write_text("{")
    with pytest.raises(UserError, match="damaged"):
        printed(print_training_summary, training_folder)


NOTATIONS = ["[1,1],[1,3,1,1],[3,1,0,3,3],[0,0,1,0,0]", "11 11 8 10 8 8 7 5 4 7 7 0 0 1 0 0"]


def test_a_search_writes_its_winner_in_the_notations_of_the_space(search_folder):
    rewrite(search_folder, lambda content: content["winner"].update(notations=NOTATIONS))
    text = printed(print_summary, search_folder)
    for notation in NOTATIONS:
        assert f"The winner in its space's notation: {notation}\n" in text


def test_a_training_writes_its_arch_in_the_notations_of_the_space(training_folder):
    rewrite(training_folder, lambda content: content.update(notations=NOTATIONS))
    text = printed(print_training_summary, training_folder)
    for notation in NOTATIONS:
        assert re.search(rf"^notation +{re.escape(notation)} *$", text, re.MULTILINE)
