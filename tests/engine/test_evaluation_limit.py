"""A supernet is scored on as much of the validation part as Lightning would validate on."""

from itertools import islice
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from composed import built
from shiftaddnas.engine import SupernetEvaluator
from shiftaddnas.errors import UserError
from shiftaddnas.sharing import Shared
from tasks.image_classification import HybridSpace, ImageClassification
from tasks.image_classification.digits import DigitsData


class InSmallBatches(DigitsData):
    """The 360 validation images in four batches."""

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.parts["val"], batch_size=100)


def evaluator(space: HybridSpace, **limit: float | None) -> SupernetEvaluator:
    torch.manual_seed(0)
    task: ImageClassification = built("task", "task=digits")
    data = InSmallBatches(64, 0)
    return SupernetEvaluator(task.supernet(space, Shared()), task, data, **limit)


@pytest.mark.parametrize(("limit", "num_batches"), [(1, 1), (3, 3), (100, 4), (1.0, 4), (None, 4), (0.5, 2), (0.3, 1)])
def test_so_many_batches_are_scored(digits_space: HybridSpace, limit: float | None, num_batches: int) -> None:
    arch = digits_space.cheapest(dict.fromkeys(digits_space.all_terms(), 1.0))
    limited = evaluator(digits_space, limit_val_batches=limit)
    data = InSmallBatches(64, 0)
    data.setup()
    kept = list(islice(data.val_dataloader(), num_batches))
    whole = evaluator(digits_space)
    whole._data.val_dataloader = lambda: kept  # type: ignore[method-assign, assignment, return-value]
    assert limited(arch) == whole(arch)


@pytest.mark.parametrize("limit", [0, 0.0, 0.2])
def test_a_limit_that_leaves_none_is_refused(digits_space: HybridSpace, limit: float) -> None:
    with pytest.raises(UserError, match=f"trainer.limit_val_batches={limit}"):
        evaluator(digits_space, limit_val_batches=limit)
