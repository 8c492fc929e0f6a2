"""The data behind training curves: stages, metrics and probes as they stand in metrics.csv."""

from pathlib import Path

from shiftaddnas.report.training_curves import read_stages
from shiftaddnas.tracking.metrics_csv import MetricsCsv


def write(path: Path) -> None:
    supernet = MetricsCsv(path, stage="supernet")
    for epoch in range(2):
        supernet.log_metrics({"lr-AdamW": 0.1}, step=10 * epoch)
        supernet.log_metrics({"train/loss": 2.0 - epoch, "train/regularizer": 0.1, "epoch": epoch}, step=10 * epoch)
    probes = {"largest": 0.9, "random": 0.7}
    metrics = {f"val/top5_accuracy_{probe}": score for probe, score in probes.items()}
    losses = {f"val/loss_{probe}": 1 - score for probe, score in probes.items()}
    supernet.log_metrics({**losses, **metrics, "epoch": 1}, step=19)
    subnet = MetricsCsv(path, stage="retrain/winner")
    subnet.log_metrics({"train/loss": 1.5, "epoch": 0}, step=9)
    subnet.log_metrics(
        {"val/loss": 1.0, "val/accuracy": 0.8, "val/loss_ema": 0.9, "val/accuracy_ema": 0.85, "epoch": 0}, step=9
    )
    subnet.log_metrics({"test/accuracy": 0.75, "epoch": 1}, step=10)


def test_curves_go_by_stage_metric_and_probe(tmp_path: Path) -> None:
    write(tmp_path / "metrics.csv")
    supernet, winner = read_stages(tmp_path / "metrics.csv")
    assert (supernet.name, winner.name) == ("supernet", "retrain/winner")
    assert supernet.plots == {
        "loss": {"training": {0: 2.0, 1: 1.0}, "largest": {1: 1 - 0.9}, "random": {1: 1 - 0.7}},
        "top5_accuracy": {"largest": {1: 0.9}, "random": {1: 0.7}},
    }
    assert supernet.num_epochs == 2
    assert winner.plots == {
        "loss": {"training": {0: 1.5}, "validation": {0: 1.0}, "ema": {0: 0.9}},
        "accuracy": {"validation": {0: 0.8}, "ema": {0: 0.85}},
    }


def test_a_second_loss_is_a_metric_of_its_own(tmp_path: Path) -> None:
    supernet = MetricsCsv(tmp_path / "metrics.csv", stage="supernet")
    values = {"loss_largest": 4.0, "loss_bits_largest": 5.8, "perplexity_largest": 50.0}
    values |= {"loss_random": 5.0, "loss_bits_random": 7.2, "perplexity_random": 140.0}
    supernet.log_metrics({f"val/{name}": value for name, value in values.items()} | {"epoch": 0}, step=9)
    subnet = MetricsCsv(tmp_path / "metrics.csv", stage="subnet")
    subnet.log_metrics({"val/loss": 4.5, "val/loss_bits": 6.5, "val/perplexity": 90.0, "epoch": 0}, step=9)
    first, second = read_stages(tmp_path / "metrics.csv")
    assert first.plots == {
        "loss": {"largest": {0: 4.0}, "random": {0: 5.0}},
        "loss_bits": {"largest": {0: 5.8}, "random": {0: 7.2}},
        "perplexity": {"largest": {0: 50.0}, "random": {0: 140.0}},
    }
    assert second.plots == {
        "loss": {"validation": {0: 4.5}},
        "loss_bits": {"validation": {0: 6.5}},
        "perplexity": {"validation": {0: 90.0}},
    }


def test_nothing_logged_is_no_stage(tmp_path: Path) -> None:
    assert read_stages(tmp_path / "metrics.csv") == []
    MetricsCsv(tmp_path / "metrics.csv", stage="supernet").log_metrics({"lr-AdamW": 0.1}, step=0)
    assert read_stages(tmp_path / "metrics.csv") == []
