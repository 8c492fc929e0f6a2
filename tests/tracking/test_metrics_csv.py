import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, TensorDataset

from shiftaddnas.tracking.metrics_csv import MetricsCsv, read_metrics


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.csv"


def test_rows_and_new_columns(path):
    logger = MetricsCsv(path, stage="supernet")
    logger.log_metrics({"train/loss": 0.5, "epoch": 0}, step=0)
    logger.log_metrics({"val/loss": torch.tensor(0.25), "epoch": 0}, step=1)
    logger.log_metrics({"train/loss": 0.1}, step=2)
    assert path.read_text().splitlines() == [
        "stage,epoch,step,train/loss,val/loss",
        "supernet,0,0,0.5,",
        "supernet,0,1,,0.25",
        "supernet,,2,0.1,",
    ]


def test_another_process_goes_on_in_the_same_file(path):
    MetricsCsv(path, stage="supernet").log_metrics({"loss": 1.0}, step=0)
    MetricsCsv(path, stage="retrain/ab,c").log_metrics({"accuracy": 0.5}, step=0)
    assert path.read_text().splitlines() == [
        "stage,epoch,step,loss,accuracy",
        "supernet,,0,1.0,",
        '"retrain/ab,c",,0,,0.5',
    ]


def test_a_line_cut_off_by_a_kill_is_dropped(path):
    path.write_text("stage,epoch,step,loss\nsupernet,0,0,1.0\nsupernet,0,1,0.")
    assert [row["step"] for row in read_metrics(path)[1]] == ["0"]
    MetricsCsv(path, stage="supernet").log_metrics({"loss": 0.5, "epoch": 0}, step=1)
    assert path.read_text() == "stage,epoch,step,loss\nsupernet,0,0,1.0\nsupernet,0,1,0.5\n"


def test_truncate_drops_later_rows_of_its_stage_only(path):
    supernet, retrain = MetricsCsv(path, stage="supernet"), MetricsCsv(path, stage="retrain/a")
    for step in range(4):
        supernet.log_metrics({"loss": 1.0}, step=step)
        retrain.log_metrics({"loss": 2.0}, step=step)
    supernet.log_metrics({"size": 1.0})
    MetricsCsv(path, stage="supernet").truncate(2)
    kept = [(row["stage"], row["step"]) for row in read_metrics(path)[1]]
    assert [step for stage, step in kept if stage == "supernet"] == ["0", "1", ""]
    assert [step for stage, step in kept if stage == "retrain/a"] == ["0", "1", "2", "3"]


def test_reaches_looks_at_the_steps_of_its_stage(path):
    assert not MetricsCsv(path, stage="retrain/a").reaches(0)
    MetricsCsv(path, stage="retrain/a").log_metrics({"loss": 1.0}, step=7)
    MetricsCsv(path, stage="supernet").log_metrics({"loss": 1.0}, step=9)
    assert MetricsCsv(path, stage="retrain/a").reaches(7)
    assert not MetricsCsv(path, stage="retrain/a").reaches(8)


def test_truncate_without_a_file_writes_none(path):
    MetricsCsv(path, stage="supernet").truncate(0)
    assert not path.exists()


class Regression(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
        torch.nn.init.constant_(self.layer.weight, 1.0)
        torch.nn.init.constant_(self.layer.bias, 0.5)

    def training_step(self, batch, _):
        loss = self.layer(batch[0]).square().mean()
        self.log("train/loss", loss)
        self.log("train/mean_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch, _):
        self.log("val/loss", self.layer(batch[0]).square().mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class KilledError(Exception):
    pass


class KillAt(pl.Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.step:
            raise KilledError


def fit(folder, *, checkpoint=None, kill_at=None):
    data = DataLoader(TensorDataset(torch.linspace(0, 1, 20).view(10, 2)), batch_size=2)
    logger = MetricsCsv(folder / "metrics.csv", stage="supernet")
    if checkpoint is not None:
        logger.truncate(torch.load(checkpoint, weights_only=True)["global_step"])
    save = pl.callbacks.ModelCheckpoint(dirpath=folder, filename="{epoch}", save_top_k=-1)
    trainer = pl.Trainer(
        max_epochs=4,
        accelerator="cpu",
        logger=logger,
        log_every_n_steps=2,
        callbacks=[save, KillAt(kill_at)],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Regression(), data, data, ckpt_path=checkpoint)


@pytest.mark.filterwarnings("ignore")
def test_interrupted_and_resumed_training_logs_what_an_uninterrupted_one_does(tmp_path):
    fit(tmp_path / "whole")
    with pytest.raises(KilledError):
        fit(tmp_path / "cut", kill_at=18)
    fit(tmp_path / "cut", checkpoint=tmp_path / "cut" / "epoch=1.ckpt")
    whole = (tmp_path / "whole" / "metrics.csv").read_text()
    assert len(whole.splitlines()) == 1 + 10 + 4 + 4  # every second of 20 steps, and two rows at each epoch's end
    assert (tmp_path / "cut" / "metrics.csv").read_text() == whole
