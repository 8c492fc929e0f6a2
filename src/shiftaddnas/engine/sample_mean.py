"""Gradients of the mean over all samples of an optimiser step, where its batches are not equally large.

Lightning averages the gradients of accumulated batches, and of the processes of a distributed run, as if all had the
same number of samples. Batches of sentences do not: theirs is the number of target tokens.
"""

import pytorch_lightning as pl
import torch
from torch import Tensor

from shiftaddnas.engine.task import Output


class SampleMean:
    """Weighs the batches of one optimiser step by their samples.

    Each batch's loss is multiplied by its number of samples before the backward pass; before the optimiser step the
    gradients, which are then sums over samples, are divided by the samples of all batches and processes. Batches of
    outputs that do not state their `num_samples` are left to Lightning.
    """

    def __init__(self) -> None:
        self._num_samples = 0

    def weighted(self, loss: Tensor, output: Output) -> Tensor:
        """What the backward pass of a batch starts from; `loss` is the mean over the output's samples."""
        if output.num_samples is None:
            return loss
        self._num_samples += output.num_samples
        return loss * output.num_samples

    def rescale_gradients(self, module: pl.LightningModule) -> None:
        """Call it between the last backward pass and the optimiser step; it begins the next step's count."""
        if not self._num_samples:
            return
        trainer = module.trainer
        total = trainer.strategy.reduce(torch.tensor(float(self._num_samples), device=module.device), reduce_op="sum")
        factor = trainer.accumulate_grad_batches * trainer.world_size / total
        for parameter in module.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(factor)
        self._num_samples = 0
