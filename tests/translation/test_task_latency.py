"""What is timed of a translation network, and the latency command on a toy language."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_transformers import dictionary, tiny_config, tiny_transformer
from toy_translation import SPACE, toy_task, write_text

from composed import compose
from shiftaddnas.cli import latency
from shiftaddnas.latency import load_predictor
from tasks.translation import TranslationWorkload
from tasks.translation.generation import Decoding
from tasks.translation.inference import translation_run
from tasks.translation.modules.transformer import extracted

WORKLOAD = TranslationWorkload(source_length=5, target_length=4, beam=3, vocab_size=24)
NUM_FEATURES = 10 + 7 * 6  # numbers, and seven operators for each layer of both sides


@pytest.mark.parametrize("operator", ["self_attention", "self_attention+lightweight_add"])
def test_the_encoder_runs_once_and_the_decoder_a_step_for_each_token(operator: Any) -> None:
    network = extracted(tiny_transformer(), tiny_config(operator))
    encoded: list[tuple[int, ...]] = []
    logits: list[torch.Tensor] = []
    positions: list[int] = []
    network.encoder.register_forward_hook(lambda _, inputs, __: encoded.append(tuple(inputs[0].shape)))
    network.decoder.register_forward_hook(lambda _, __, outputs: logits.append(outputs[0]))
    network.decoder.layers[0].register_forward_hook(lambda _, __, outputs: positions.append(len(outputs)))
    run = translation_run(WORKLOAD, 2, dictionary(), "cpu")
    with torch.inference_mode():
        run(network)
    assert encoded == [(2, 5)]
    assert [tuple(one.shape) for one in logits] == [(6, 1, 24)] * 4  # three hypotheses of both sentences
    assert positions == [1] * 4
    # A step knows those before it: the last one's logits are those of the whole sentence at its end.
    source = torch.tensor([[23, 23, 23, 23, 2]])
    target = torch.tensor([[2, 23, 23, 23]])
    with torch.inference_mode():
        whole, _ = network(source, torch.tensor([5]), target)
    torch.testing.assert_close(logits[3], whole[:, -1:].expand(6, 1, 24), rtol=1e-4, atol=1e-5)
    with torch.inference_mode():
        run(network)
    torch.testing.assert_close(logits[-1], logits[3])  # nothing is remembered from run to run


def test_a_task_is_timed_on_sentences_of_its_workload(tmp_path: Path) -> None:
    write_text(tmp_path)
    task = toy_task(tmp_path, source_length=7, target_length=2, decoding=Decoding(beam=5))
    network: Any = task.standalone(SPACE, SPACE.sample(np.random.default_rng(1))).eval()
    steps: list[tuple[int, ...]] = []
    network.decoder.register_forward_hook(lambda _, inputs, __: steps.append(tuple(inputs[0].shape)))
    with torch.inference_mode():
        task.inference(network, 3, "cpu")(network)
    assert steps == [(15, 1), (15, 2)]


def test_a_predictor_of_whole_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = write_text(tmp_path / "text")
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)  # pytest has its own
    output = tmp_path / "toy.pt"
    latency.run(
        compose(
            "latency", "task=parallel_text", "space=gettext",
            f"task.data.source.root={text}", "task.data.source.source_lang=en", "task.data.source.target_lang=de",
            "task.data.source.valid=valid", "task.data.source.test=test",
            "task.data.source.preparation.subwords=none", f"task.data.source.output={tmp_path / 'prepared'}",
            "task.source_length=3", "task.target_length=2", "task.decoding.beam=2",
            "num_archs=16", "protocol.num_rounds=1", "protocol.round_ms=0", "protocol.min_calls=1",
            "protocol.num_warmups=0", "predictor.features=transformer", "predictor.num_epochs=2", f"output={output}",
        )
    )  # fmt: skip
    content = load_predictor(output)
    assert (content.space, content.features, len(content.columns)) == ("gettext", "transformer", NUM_FEATURES)
    rounds = [json.loads(line) for line in output.with_suffix(".jsonl").read_text().splitlines()[1:]]
    assert len(rounds) == 16 + 4
