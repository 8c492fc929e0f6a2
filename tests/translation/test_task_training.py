"""Training on translations: what an update is, that it goes on in the middle of an epoch, and that it learns."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from toy_translation import SPACE, toy_task, write_text

from shiftaddnas.cli import training
from shiftaddnas.engine import (
    OperatorSchedule,
    Optimization,
    PathSampler,
    SandwichPaths,
    SubnetModule,
    SupernetModule,
    UniformPaths,
    linear_then_cosine,
)
from shiftaddnas.engine.checkpoint import ResumeCheckpoint, check_symbols, load_checkpoint
from shiftaddnas.errors import UserError
from shiftaddnas.sharing import Heterogeneous, Independent
from shiftaddnas.spaces import Arch
from tasks.translation import AverageLastEpochs, Translation, TranslationData
from tasks.translation import task as task_module
from tasks.translation.data import ParallelText, Preparation
from tasks.translation.generation import Decoding
from tasks.translation.modules.settings import TransformerSettings

pytestmark = pytest.mark.filterwarnings(
    "ignore:You defined a .validation_step",
    "ignore:The number of training batches",
    "ignore:.*does not have many workers",
)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_text(tmp_path_factory.mktemp("toy"))


class Noting(PathSampler):
    def __init__(self, inner: PathSampler) -> None:
        self.inner, self.per_rank, self.distill = inner, inner.per_rank, inner.distill
        self.seen: list[list[str]] = []

    def archs(self, space: Any, rng: np.random.Generator) -> list[Arch]:
        archs = self.inner.archs(space, rng)
        self.seen.append([arch.id for arch in archs])
        return archs


def supernet_module(
    task: Translation, sampler: PathSampler, optimizer: Any, *, scheduler: Any = None, sharing: Any = None
) -> SupernetModule:
    torch.manual_seed(2)
    supernet = task.supernet(SPACE, sharing or Independent())
    optimization = Optimization(optimizer, scheduler)
    return SupernetModule(supernet, task, optimization, sampler, OperatorSchedule(), {}, seed=4)


def fit(module: pl.LightningModule, data: Any, *callbacks: pl.Callback, ckpt_path: Any = None, **settings: Any) -> None:
    settings = {"max_epochs": 1, "limit_val_batches": 0} | settings
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, callbacks=list(callbacks), **settings,
    )  # fmt: skip
    loaders = {"datamodule": data} if isinstance(data, pl.LightningDataModule) else {"train_dataloaders": data}
    trainer.fit(module, ckpt_path=ckpt_path, weights_only=True if ckpt_path else None, **loaders)


def batches(task: Translation, parts: Sequence[Sequence[int]]) -> DataLoader[Any]:
    task.data.setup()
    pairs = task.data.parts["train"]
    loader: DataLoader[Any] = DataLoader([pairs[part] for part in parts], batch_size=None)  # type: ignore[arg-type]
    return loader


def weights(module: Any) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize("sampler", [UniformPaths(per_rank=False), SandwichPaths(num_random=1)])
def test_four_accumulated_batches_are_one_large_batch(text: Path, sampler: PathSampler) -> None:
    if isinstance(sampler, SandwichPaths):
        taps: dict[Any, float] = dict.fromkeys(SPACE.all_terms(), 1.0)
        sampler.rank_by(taps, taps)
    parts = [range(0, 1), range(1, 9), range(9, 12), range(12, 30)]
    results = []
    for loaded, accumulated in ((parts, 4), ([range(30)], 1)):
        task = toy_task(text)
        module = supernet_module(task, sampler, partial(torch.optim.SGD, lr=0.5))
        before = weights(module)
        fit(module, batches(task, loaded), accumulate_grad_batches=accumulated)
        results.append({name: after - before[name] for name, after in module.state_dict().items()})
    assert sum(bool(change.abs().max() > 1e-3) for change in results[0].values()) > 10
    for name, change in results[0].items():
        torch.testing.assert_close(change, results[1][name], rtol=1e-3, atol=1e-6)


def test_an_update_trains_one_arch_in_all_its_batches_and_processes(text: Path) -> None:
    seen = {}
    for rank in (0, 1):
        task, sampler = toy_task(text), Noting(UniformPaths(per_rank=False))
        module = supernet_module(task, sampler, partial(torch.optim.SGD, lr=0.1))
        module.__class__ = type("OnRank", (SupernetModule,), {"global_rank": rank})
        fit(module, batches(task, [range(one, one + 2) for one in range(0, 20, 2)]), accumulate_grad_batches=4)
        seen[rank] = [one for (one,) in sampler.seen]
    assert seen[0] == seen[1]
    updates = [seen[0][:4], seen[0][4:8], seen[0][8:]]
    assert [len(set(update)) for update in updates] == [1, 1, 1]
    assert len({update[0] for update in updates}) == 3


class KilledError(Exception):
    pass


class KillAt(pl.Callback):
    def __init__(self, batch: int) -> None:
        self.batch = batch

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.fit_loop.total_batch_idx == self.batch:
            raise KilledError


def test_a_supernet_goes_on_in_the_middle_of_an_epoch(text: Path, tmp_path: Path) -> None:
    def trained(folder: Path, *callbacks: pl.Callback) -> dict[str, Tensor]:
        task = toy_task(text, transformer=TransformerSettings())
        module = supernet_module(
            task, UniformPaths(per_rank=False), partial(torch.optim.AdamW, lr=1e-2), scheduler=linear_then_cosine,
            sharing=Heterogeneous(),
        )  # fmt: skip
        resume = folder / "resume.ckpt"
        keep = ResumeCheckpoint(resume, folder / "final.ckpt", {}, minutes=0)
        fit(
            module, task.data, keep, *callbacks, ckpt_path=resume if resume.exists() else None,
            max_epochs=-1, max_steps=12, accumulate_grad_batches=2,
        )  # fmt: skip
        return weights(module)

    expected = trained(tmp_path / "whole")
    with pytest.raises(KilledError):
        trained(tmp_path / "killed", KillAt(13))
    found = trained(tmp_path / "killed")
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def subnet_module(task: Translation, lr: float, scheduler: Any = None) -> SubnetModule:
    torch.manual_seed(6)
    arch = SPACE.all_multiplication(SPACE.sample(np.random.default_rng(0)))
    optimization = Optimization(partial(torch.optim.AdamW, lr=lr, betas=(0.9, 0.98)), scheduler)
    return SubnetModule(task.standalone(SPACE, arch), task, optimization, seed=1)


class Notes(pl.Callback):
    """The weights after each epoch."""

    def __init__(self) -> None:
        self.epochs: list[dict[str, Tensor]] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.epochs.append(weights(pl_module.network))


def test_the_last_epochs_are_averaged_and_a_killed_training_averages_the_same(text: Path, tmp_path: Path) -> None:
    def trained(folder: Path, *callbacks: pl.Callback) -> dict[str, Tensor]:
        task = toy_task(text, max_tokens=400)
        module = subnet_module(task, 1e-2)
        resume = folder / "resume.ckpt"
        keep = ResumeCheckpoint(resume, folder / "final.ckpt", {}, minutes=0)
        ckpt_path = resume if resume.exists() else None
        fit(module, task.data, AverageLastEpochs(2), keep, *callbacks, ckpt_path=ckpt_path, max_epochs=4)
        return weights(module.network)

    notes = Notes()
    found = trained(tmp_path / "whole", notes)
    for name, tensor in found.items():
        mean = (notes.epochs[2][name].double() + notes.epochs[3][name].double()) / 2
        torch.testing.assert_close(tensor.double(), mean, rtol=1e-6, atol=1e-7)
    assert any(not torch.equal(found[name], notes.epochs[3][name]) for name in found)
    final = torch.load(tmp_path / "whole" / "final.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(final[f"network.{name}"], tensor) for name, tensor in found.items())

    class KillInLastEpoch(pl.Callback):
        def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
            if trainer.current_epoch == 3 and batch_idx == 2:
                raise KilledError

    with pytest.raises(KilledError):
        trained(tmp_path / "killed", KillInLastEpoch())
    resumed = trained(tmp_path / "killed")
    assert all(torch.equal(resumed[name], tensor) for name, tensor in found.items())


def test_an_average_of_epochs_that_may_not_come_is_refused(text: Path) -> None:
    task = toy_task(text)
    with pytest.raises(UserError, match=r"trainer\.max_steps=3 may end a training before .* trainer\.max_epochs alone"):
        fit(subnet_module(task, 1e-2), task.data, AverageLastEpochs(2), max_epochs=4, max_steps=3)
    with pytest.raises(UserError, match=r"needs trainer\.max_epochs"):
        fit(subnet_module(task, 1e-2), task.data, AverageLastEpochs(2), max_epochs=-1, max_steps=3)
    sampler = UniformPaths(per_rank=False)
    fit(supernet_module(task, sampler, partial(torch.optim.SGD, lr=0.1)), task.data, AverageLastEpochs(2), max_steps=1)


def test_a_checkpoint_is_of_its_symbols_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = toy_task(write_text(tmp_path))
    final = tmp_path / "final.ckpt"
    keep = ResumeCheckpoint(tmp_path / "resume.ckpt", final, {}, symbols=task.symbols())
    module = subnet_module(task, 1e-2)
    fit(module, task.data, keep, max_steps=1)
    checkpoint = load_checkpoint(final)
    check_symbols(checkpoint, toy_task(tmp_path), final)

    # The same words, so as many symbols, but numbered by other counts.
    lines = (tmp_path / "train.en").read_text()
    (tmp_path / "train.en").write_text(lines.replace("ba", "BU").replace("gi", "ba").replace("BU", "gi"))
    changed = toy_task(tmp_path)
    assert changed.data.num_symbols == task.data.num_symbols
    with pytest.raises(
        UserError, match=r"final\.ckpt was trained with other symbols than task=toy has now.*fresh=true"
    ):
        check_symbols(checkpoint, changed, final)
    del checkpoint["symbols"]
    check_symbols(checkpoint, changed, final)  # of an older version, which did not keep them
    merges = task.symbols() | {"subword_file": b"merges"}
    check_symbols({"symbols": merges}, task, final)  # the task does not know its own
    monkeypatch.setattr(task, "symbols", lambda: merges | {"subword_file": b"others"})
    with pytest.raises(UserError, match="was trained with other symbols"):
        check_symbols({"symbols": merges}, task, final)


@pytest.mark.parametrize("method", ["sentencepiece", "subword_nmt", "none"])
def test_a_checkpoints_symbols_are_enough_to_translate(text: Path, tmp_path: Path, method: Any) -> None:
    settings = Preparation(subwords=method, num_subwords=50, tokenizer="moses")
    source = ParallelText(text, "en", "de", valid="valid", test="test", output=tmp_path / "made", preparation=settings)
    task = Translation("toy", TranslationData(source, 1024, 3), decoding=Decoding(max_len_b=12))
    torch.save(task.symbols(), tmp_path / "symbols")
    torch.manual_seed(1)
    network = task.standalone(SPACE, SPACE.sample(np.random.default_rng(0)))
    lines = ["ba de, gi!", "", "unheard-of words", "\ufeff\x02"]
    expected = task.translate(network, lines)
    assert [bool(line) for line in expected] == [True, False, True, False]

    gone = Translation(
        "toy", TranslationData(ParallelText(tmp_path / "none", "en", "de"), 1024, 3), decoding=Decoding(max_len_b=12)
    )
    gone.use_symbols(torch.load(tmp_path / "symbols", weights_only=True))
    assert gone.translate(network, lines) == expected
    assert gone.symbols() == task.symbols()
    assert gone.workload() == task.workload()


def test_unknown_words_match_nothing(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = toy_task(text)
    task.data.setup()
    batch = task.data.parts["test"][range(40)]
    monkeypatch.setattr(task.data, "test_dataloader", lambda: [batch])

    def repeated(_: Any, __: Any, batches: Any, ___: Any) -> Iterator[tuple[int, Tensor]]:
        return ((number, batch["target"][0]) for one in batches for number in one["id"].tolist())

    monkeypatch.setattr(task_module, "generate", repeated)
    words = task.data.target_dictionary
    for symbol, low, high in ((words.unk(), 0, 1), (words.index("GI"), 99.9, 100.1)):
        batch["target"] = torch.full((40, 6), symbol)
        assert low <= task.final_scores(torch.nn.Identity(), 1)["bleu"] <= high
    assert task.final_scores(torch.nn.Identity(), 0) == {}


@pytest.mark.parametrize(("batches", "world_size", "expected"), [([3], 2, 6), ([4], 1, 4), ([], 2, 0)])
def test_final_scores_are_of_what_all_processes_tested(
    text: Path, monkeypatch: pytest.MonkeyPatch, batches: list[int], world_size: int, expected: int
) -> None:
    task = toy_task(text)
    asked = []
    monkeypatch.setattr(task, "final_scores", lambda network, num_batches: asked.append(num_batches) or {})
    trainer = SimpleNamespace(
        num_test_batches=batches, world_size=world_size, callback_metrics={}, test=lambda *_, **__: None,
        strategy=SimpleNamespace(root_device="cpu"),
    )  # fmt: skip
    monkeypatch.setattr(training, "_fit", lambda *_, **__: trainer)
    session: Any = SimpleNamespace(
        task=task, optimization=Optimization(partial(torch.optim.SGD, lr=0.1)), seed=1, distillation=None
    )
    assert training.fit_subnet(session, subnet_module(task, 0.1).network, "subnet", Path()) == {}
    assert asked == [expected]


def test_a_network_learns_to_translate(text: Path) -> None:
    task = toy_task(text, max_tokens=256)
    module = subnet_module(task, 5e-3, linear_then_cosine)
    fit(module, task.data, max_epochs=25)
    scores = task.final_scores(module.network, num_batches=10)
    assert scores["bleu"] > 60
    assert task.translate(module.network, ["ba de gi", "\ufeff\x02 "]) == ["GI DE BA", ""]
