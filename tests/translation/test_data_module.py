"""Batches of translation data: what is in them, their order, and folders that do not fit together."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from catalogue_text import write, write_parts
from torch import Tensor, nn

from shiftaddnas.engine.batch_norm import batch_norm_statistics
from shiftaddnas.errors import UserError
from tasks.translation.data import FairseqFolder, ParallelText, Preparation, TranslationData
from tasks.translation.data.batches import ShuffledBatches
from tasks.translation.data.text import Pair

# Counts decide the numbers: a 4, b 5, c 6, ... after four special symbols; "a" is the most frequent.
LINES = [Pair("a a b c", "d a"), Pair("a", "b a c e"), Pair("b a c", "d d")]


def words(folder: Path, train: list[Pair] = LINES, valid: list[Pair] = LINES) -> ParallelText:
    for name, pairs in (("train", train), ("valid", valid), ("test", LINES[:2])):
        write(folder, name, pairs)
    return ParallelText(
        folder, "en", "de", valid="valid", test="test", output=folder, preparation=Preparation(subwords="none")
    )


def data(source: ParallelText | FairseqFolder, max_tokens: int = 64, **settings: Any) -> TranslationData:
    settings = {"max_source_length": 32, "max_target_length": 32} | settings
    return TranslationData(source, max_tokens, settings.pop("seed", 1), **settings)


LONG = 256


def long_enough(source: ParallelText, **settings: Any) -> TranslationData:
    """Data that leave no sentence out."""
    return data(source, LONG, max_source_length=LONG, max_target_length=LONG, **settings)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> ParallelText:
    folder = tmp_path_factory.mktemp("real")
    return ParallelText(
        write_parts(folder / "text", 600), "en", "de", valid="valid", test="test", output=folder,
        preparation=Preparation(num_subwords=400),
    )  # fmt: skip


def test_a_batch_has_sources_padded_left_and_targets_right_longest_source_first(tmp_path: Path) -> None:
    module = data(words(tmp_path))
    module.setup()
    dictionary = module.target_dictionary
    assert [dictionary.bos(), dictionary.pad(), dictionary.eos(), dictionary.unk()] == [0, 1, 2, 3]
    # In all of both languages: a 6 times, b and c and d 3 times, e once; ties go by the alphabet.
    assert dictionary.symbols[4:9] == ["a", "b", "c", "d", "e"]
    (batch,) = module.val_dataloader()
    inputs = batch["net_input"]
    assert inputs["src_tokens"].tolist() == [[4, 4, 5, 6, 2], [1, 5, 4, 6, 2], [1, 1, 1, 4, 2]]
    assert inputs["src_lengths"].tolist() == [5, 4, 2]
    assert batch["id"].tolist() == [0, 2, 1]
    assert batch["target"].tolist() == [[7, 4, 2, 1, 1], [7, 7, 2, 1, 1], [5, 4, 6, 8, 2]]
    assert inputs["prev_output_tokens"].tolist() == [[2, 7, 4, 1, 1], [2, 7, 7, 1, 1], [2, 5, 4, 6, 8]]
    assert (batch["nsentences"], batch["ntokens"]) == (3, 11)
    assert module.joined_dictionary
    assert module.binarized.text(inputs["src_tokens"][2], "en") == "a"
    assert module.binarized.tokens("b zebra a").tolist() == [5, 3, 4, 2]


def test_every_sentence_comes_once_in_an_epoch_within_the_limit_of_tokens(real: ParallelText) -> None:
    module = long_enough(real)
    module.setup()
    batches = list(module.train_dataloader())
    assert sorted(int(number) for batch in batches for number in batch["id"]) == list(range(600))
    sizes = [(*batch["net_input"]["src_tokens"].shape, batch["target"].shape[1]) for batch in batches]
    assert max(count * max(source, target) for count, source, target in sizes) <= LONG
    # Sentences of a batch are about equally long: less than a third of the numbers is padding.
    padding = [(batch["net_input"]["src_tokens"] == 1).sum() for batch in batches]
    assert sum(padding) < sum(count * source for count, source, _ in sizes) / 3
    assert len(module.test_dataloader()) == len(list(module.test_dataloader()))
    assert sorted(int(number) for batch in module.val_dataloader() for number in batch["id"]) == list(range(40))


def order(module: TranslationData, epoch: int) -> list[list[int]]:
    loader = module.train_dataloader().loader
    assert isinstance(loader.sampler, ShuffledBatches)
    loader.sampler.set_epoch(epoch)
    return [batch["id"].tolist() for batch in loader]


def test_the_order_follows_from_seed_and_epoch_alone(real: ParallelText) -> None:
    settings: tuple[dict[str, Any], ...] = ({}, {}, {"seed": 2}, {"num_workers": 2})
    one, other, seeded, workers = (long_enough(real, **changed) for changed in settings)
    for module in (one, other, seeded, workers):
        module.setup()
    drawn = order(one, 0)
    np.random.seed(5)
    assert [order(one, 0), order(other, 3)] == [drawn, order(one, 3)]
    assert drawn != order(one, 3)
    assert sorted(map(sorted, drawn)) == sorted(map(sorted, order(one, 3)))
    assert drawn != order(seeded, 0)
    assert order(workers, 3) == order(one, 3)


def test_processes_share_the_batches() -> None:
    batches = [np.array([number]) for number in range(11)]
    drawn: list[list[Sequence[int]]] = []
    for rank in range(3):
        sampler = ShuffledBatches(batches, 7, num_replicas=3, rank=rank)
        sampler.set_epoch(4)
        drawn.append(list(sampler))
        assert len(drawn[-1]) == len(sampler) == 3
    alone = ShuffledBatches(batches, 7, num_replicas=1, rank=0)
    alone.set_epoch(4)
    # Together they take in one step what one process takes in three.
    assert [batch for step in zip(*drawn, strict=True) for batch in step] == list(alone)[:9]


class Recorder(pl.LightningModule):
    """Learns nothing and remembers which sentences it saw."""

    def __init__(self, module: TranslationData) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(()))
        self.seen: list[list[int]] = []

    def training_step(self, batch: Any, index: int) -> Tensor:
        self.seen.append(batch["id"].tolist())
        return self.scale * batch["ntokens"]

    def validation_step(self, batch: Any, index: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


class SaveAt(pl.Callback):
    def __init__(self, step: int, file: Path) -> None:
        self.step = step
        self.file = file

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.file)


def trainer(folder: Path, epochs: int, *callbacks: pl.Callback) -> pl.Trainer:
    return pl.Trainer(
        default_root_dir=folder,
        max_epochs=epochs,
        callbacks=list(callbacks),
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def test_lightning_trains_in_that_order_and_resumes_in_it_in_the_middle_of_an_epoch(
    real: ParallelText, tmp_path: Path
) -> None:
    whole, resumed = long_enough(real), long_enough(real)
    recorder, recorder_resumed = Recorder(whole), Recorder(resumed)
    kept = SaveAt(100, tmp_path / "kept.ckpt")
    trainer(tmp_path, 3, kept).fit(recorder, datamodule=whole)
    expected = [batch for epoch in range(3) for batch in order(whole, epoch)]
    assert recorder.seen == expected
    assert len(expected) // 3 < 100 < len(expected) // 3 * 2
    trainer(tmp_path, 3).fit(recorder_resumed, datamodule=resumed, ckpt_path=str(kept.file))
    assert recorder_resumed.seen == expected[100:]


def test_nothing_is_calibrated(real: ParallelText) -> None:
    module = long_enough(real)
    module.setup()
    loader = module.calibration_dataloader()
    assert (len(loader), list(loader)) == (0, [])
    assert batch_norm_statistics(nn.LayerNorm(4), loader, lambda batch: pytest.fail("there is no batch")) == {}


def test_pairs_that_are_too_long(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    long = Pair("a " * 9 + "a", "b")
    short = words(tmp_path / "valid", valid=[*LINES, long])
    with pytest.raises(UserError, match=r"1 of 4 pairs .*text/valid\.en:4 \('a a .*none of this part may be"):
        data(short, max_source_length=10).setup()
    folder = FairseqFolder(short.binarized().root, subwords="none")
    with pytest.raises(UserError, match=r"the first is sentence 4 of valid in .*binarized \('a a .*none of this part"):
        data(folder, max_source_length=10).setup()
    trained = words(tmp_path / "train", train=[*LINES, long])
    with pytest.raises(UserError, match=r"1 of 4 pairs .*text/train\.en:4 .*allowed are 1\.0%"):
        data(trained, max_source_length=10).setup()
    module = data(trained, max_source_length=10, max_too_long=0.25)
    module.setup()
    assert "1 of 4 pairs" in caplog.text
    assert sorted(int(number) for batch in module.train_dataloader() for number in batch["id"]) == [0, 1, 2]
    # Ten tokens and the end are eleven.
    exact = data(trained, max_source_length=11)
    exact.setup()
    assert sum(len(batch["id"]) for batch in exact.train_dataloader()) == 4


def test_settings_that_contradict_each_other_or_the_data(tmp_path: Path) -> None:
    source = words(tmp_path)
    with pytest.raises(UserError, match=r"max_tokens=16 is less .*32 or more"):
        data(source, 16)
    with pytest.raises(UserError, match=r"eval_max_tokens=31"):
        data(source, eval_max_tokens=31)
    with pytest.raises(UserError, match=r"num_symbols=32768, but .* 16 symbols"):
        data(source, num_symbols=32768).setup()
    assert data(ParallelText(tmp_path / "missing", "en", "de"), num_symbols=32768).num_symbols == 32768
    assert data(source).num_symbols == 16


def test_folders_that_do_not_fit_together(tmp_path: Path) -> None:
    root = words(tmp_path).binarized().root
    folder = FairseqFolder(root, subwords="none")
    dictionary = root / "dict.de.txt"
    kept = dictionary.read_text()

    dictionary.write_text("".join(kept.splitlines(keepends=True)[:3]))
    with pytest.raises(UserError, match=r"train\.en-de\.de\.bin has the number 8, but dict\.de\.txt has 7 symbols"):
        data(folder).setup()
    dictionary.write_text("a b c\n")
    with pytest.raises(UserError, match=r"dict\.de\.txt is no dictionary"):
        data(folder).setup()
    dictionary.write_bytes("größe 1\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"dict\.de\.txt is no dictionary"):
        data(folder).setup()
    dictionary.unlink()
    with pytest.raises(UserError, match=r"dict\.de\.txt is missing"):
        data(folder).setup()
    dictionary.write_text(kept)

    for ending in ("bin", "idx"):
        (root / f"valid.en-de.de.{ending}").write_bytes((root / f"test.en-de.de.{ending}").read_bytes())
    with pytest.raises(UserError, match=r"valid\.en-de\.en has 3 sentences, .*valid\.en-de\.de has 2"):
        data(folder).setup()
    (root / "valid.en-de.de.bin").unlink()
    with pytest.raises(UserError, match=r"valid\.en-de\.de\.bin is missing"):
        data(folder).setup()

    for ending, length, what in (("bin", 1, "has 1 bytes, but its .idx tells of"), ("idx", 40, "is cut off")):
        file = root / f"train.en-de.de.{ending}"
        whole = file.read_bytes()
        file.write_bytes(whole[:length])
        with pytest.raises(UserError, match=rf"train\.en-de\.de\.{ending} {what}"):
            data(folder).setup()
        file.write_bytes(whole)

    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match=r"has no files like train\.en-de\.en\.idx"):
        FairseqFolder(empty).binarized()
    with pytest.raises(UserError, match="is not a folder"):
        FairseqFolder(tmp_path / "missing").binarized()
