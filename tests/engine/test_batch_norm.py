"""Batch-norm statistics of a subnet against averages worked out by hand."""

import torch
from torch import nn

from shiftaddnas.engine import batch_norm_statistics, lent_statistics


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.BatchNorm1d(4))


def test_statistics_are_plain_averages_over_batches() -> None:
    model = network()
    batches = [torch.randn(10, 3), torch.randn(10, 3) + 2]
    statistics = batch_norm_statistics(model, batches, model)
    features = [model[0](batch) for batch in batches]
    mean, variance = statistics["1"]
    torch.testing.assert_close(mean, torch.stack([f.mean(0) for f in features]).mean(0))
    torch.testing.assert_close(variance, torch.stack([f.var(0) for f in features]).mean(0))


def test_the_model_is_left_as_it_was() -> None:
    model = network().train()
    model[3].eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    statistics = batch_norm_statistics(model, [torch.randn(8, 3)], model)
    with lent_statistics(model, statistics):
        assert model[1].running_mean is statistics["1"][0]
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert model[1].training
    assert not model[3].training
    assert model[1].momentum == 0.1
    assert dict(model.named_buffers())["1.running_mean"] is model[1].running_mean


def test_what_is_not_passed_through_has_no_statistics() -> None:
    model = network()
    assert set(batch_norm_statistics(model, [torch.randn(8, 3)], model[:2])) == {"1"}


def test_lent_statistics_come_back_after_an_error() -> None:
    model = network()
    own = model[1].running_mean
    statistics = batch_norm_statistics(model, [torch.randn(8, 3)], model)
    try:
        with lent_statistics(model, statistics):
            raise RuntimeError
    except RuntimeError:
        pass
    assert model[1].running_mean is own
