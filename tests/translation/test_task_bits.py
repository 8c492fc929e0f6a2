"""Networks of 8 bits, trained and evaluated as a task does it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from toy_translation import SPACE, toy_task, write_text

from tasks.translation import TranslationSpace

EIGHT_BITS = TranslationSpace(SPACE.name, SPACE.shape, SPACE.encoder, SPACE.decoder, num_bits=[8])


def test_a_network_of_eight_bits_learns_and_is_evaluated_in_them(tmp_path: Path) -> None:
    write_text(tmp_path)
    task = toy_task(tmp_path)
    task.data.setup()
    batch = task.data.parts["train"][range(20)]
    exact = SPACE.sample(np.random.default_rng(1))
    arch = EIGHT_BITS.arch_of(replace(SPACE.config(exact), num_bits=8))
    torch.manual_seed(0)
    network: Any = task.standalone(EIGHT_BITS, arch)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = task.step(network, batch).loss
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]

    unquantized: Any = task.standalone(SPACE, exact)
    ignored = unquantized.load_state_dict(network.state_dict(), strict=False)
    assert not ignored.missing_keys
    fc1 = network.encoder.layers[0].ffn["linear"].fc1
    with torch.no_grad():
        eight = task.step(network.eval(), batch)
        assert not torch.allclose(task.step(unquantized.eval(), batch).logits, eight.logits, atol=1e-3)
        # A row of a weight has 255 steps from its least value to its greatest; less than half of one is rounded away.
        low, high = fc1.weight.min(1, keepdim=True).values, fc1.weight.max(1, keepdim=True).values
        rounded = torch.round((fc1.weight - low) / (high - low) * 255)
        inner = (rounded > 0) & (rounded < 255)
        fc1.weight.copy_(torch.where(inner, low + (rounded + 0.2) * (high - low) / 255, fc1.weight))
        torch.testing.assert_close(task.step(network, batch).logits, eight.logits, rtol=1e-4, atol=1e-4)
