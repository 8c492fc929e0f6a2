"""Step by step as all at once, and nothing seen that is not there: padding, later positions, other sentences."""

import pytest
import torch
from tiny_transformers import NO_DROPOUT, OPERATORS, PAD, batch, dictionary, sentences, tiny_config, tiny_transformer
from torch import Tensor

from tasks.translation.config import CrossSpan, Operator
from tasks.translation.fairseq_adapter import SequenceGenerator
from tasks.translation.modules.transformer import HybridTransformer


@pytest.fixture(scope="module")
def network() -> HybridTransformer:
    return tiny_transformer(settings=NO_DROPOUT)


def stepwise(network: HybridTransformer, inputs: dict[str, Tensor]) -> Tensor:
    """Logits of all positions, computed one after another."""
    encoder_out = network.encoder(inputs["src_tokens"])
    tokens, state, steps = inputs["prev_output_tokens"], {}, []
    for length in range(1, tokens.shape[1] + 1):
        steps.append(network.decoder(tokens[:, :length], encoder_out, state)[0])
    return torch.cat(steps, 1)


@torch.no_grad()
@pytest.mark.parametrize("width", [16, 8])
@pytest.mark.parametrize("operator", OPERATORS)
def test_decoding_in_steps_is_teacher_forcing(network: HybridTransformer, operator: Operator, width: int) -> None:
    inputs = batch(target=(9, 9, 9))
    with network.activate(tiny_config("self_attention", operator, width=width)):
        torch.testing.assert_close(stepwise(network, inputs), network(**inputs)[0], atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("operator", OPERATORS)
def test_beams_may_be_reordered_between_steps(network: HybridTransformer, operator: Operator) -> None:
    inputs = batch(target=(9, 9, 9))
    order = torch.tensor([2, 0, 0, 1])
    with network.activate(tiny_config("self_attention", operator)):
        encoder_out, state = network.encoder(inputs["src_tokens"]), {}
        tokens = inputs["prev_output_tokens"]
        for length in range(1, 5):
            network.decoder(tokens[:, :length], encoder_out, state)
        network.decoder.reorder_incremental_state_scripting(state, order)
        encoder_out = network.encoder.reorder_encoder_out(encoder_out, order)
        assert encoder_out["encoder_out"][0] is encoder_out["encoder_states"][-1]
        tokens = torch.cat((tokens[order, :4], sentences((3, 3, 3, 3), left=False, seed=5)), 1)
        for length in range(5, 8):
            logits, _ = network.decoder(tokens[:, :length], encoder_out, state)
            expected, _ = network(inputs["src_tokens"][order], inputs["src_lengths"][order], tokens[:, :length])
            torch.testing.assert_close(logits[:, 0], expected[:, -1], atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("span", [-1, 1, 2])
@pytest.mark.parametrize("operator", OPERATORS)
def test_a_sentence_is_translated_alike_in_any_batch(
    network: HybridTransformer, operator: Operator, span: CrossSpan
) -> None:
    inputs = batch()
    config = tiny_config(operator, span=span)
    together, _ = network(**inputs, config=config)
    for row, (source, target) in enumerate(((7, 5), (4, 6), (2, 3))):
        alone = {
            "src_tokens": inputs["src_tokens"][row : row + 1, -source:],
            "src_lengths": inputs["src_lengths"][row : row + 1],
            "prev_output_tokens": inputs["prev_output_tokens"][row : row + 1, :target],
        }
        expected = network(**alone, config=config)[0][0]
        torch.testing.assert_close(together[row, :target], expected, atol=1e-5, rtol=1e-5)
        right = {**alone, "src_tokens": torch.cat((alone["src_tokens"], torch.full((1, 3), PAD)), 1)}
        torch.testing.assert_close(network(**right, config=config)[0][0], expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("operator", OPERATORS)
def test_no_decoder_operator_looks_ahead(network: HybridTransformer, operator: Operator) -> None:
    inputs = batch(target=(9, 9, 9))
    config = tiny_config("self_attention", operator)
    before, _ = network(**inputs, config=config)
    changed = inputs["prev_output_tokens"].clone()
    changed[:, 5] = (changed[:, 5] + 1 - 4) % 20 + 4
    after, _ = network(**{**inputs, "prev_output_tokens": changed}, config=config)
    assert torch.equal(before[:, :5], after[:, :5])
    assert not torch.allclose(before[:, 5], after[:, 5])


@torch.no_grad()
@pytest.mark.parametrize("operator", OPERATORS)
def test_the_decoder_sees_each_source_position(network: HybridTransformer, operator: Operator) -> None:
    inputs = batch(source=(7, 7, 7))
    config = tiny_config(operator)
    before, _ = network(**inputs, config=config)
    for position in range(6):
        changed = inputs["src_tokens"].clone()
        changed[:, position] = (changed[:, position] + 1 - 4) % 20 + 4
        assert not torch.allclose(network(**{**inputs, "src_tokens": changed}, config=config)[0], before)


@pytest.mark.parametrize("operator", OPERATORS)
def test_fairseqs_generator_finds_what_its_own_scores_say(network: HybridTransformer, operator: Operator) -> None:
    inputs = batch()
    generator = SequenceGenerator([network], dictionary(), beam_size=4, max_len_b=8, len_penalty=0.6)
    sample = {"net_input": {name: inputs[name] for name in ("src_tokens", "src_lengths")}}
    config = tiny_config("self_attention", operator)
    with network.activate(config):
        found = generator.generate([network], sample)
    assert [len(hypotheses) for hypotheses in found] == [4, 4, 4]
    for row, hypotheses in enumerate(found):
        for hypothesis in hypotheses:
            tokens = hypothesis["tokens"]
            previous = torch.cat((torch.tensor([2]), tokens[:-1]))
            logits, _ = network(
                inputs["src_tokens"][row : row + 1], inputs["src_lengths"][row : row + 1], previous[None], config
            )
            scores = logits[0].log_softmax(-1).gather(1, tokens[:, None])[:, 0]
            torch.testing.assert_close(hypothesis["positional_scores"], scores.detach(), atol=1e-5, rtol=1e-5)
            expected = scores.sum() / len(tokens) ** 0.6
            torch.testing.assert_close(hypothesis["score"], expected.detach(), atol=1e-5, rtol=1e-5)


def test_greedy_search_takes_the_likeliest_next_token(network: HybridTransformer) -> None:
    inputs = batch()
    config = tiny_config("self_attention+lightweight_add")
    generator = SequenceGenerator([network], dictionary(), beam_size=1, max_len_b=6, min_len=6)
    with network.activate(config):
        found = generator.generate([network], {"net_input": inputs})
    for row in range(3):
        tokens = [2]
        for _ in range(6):
            logits, _ = network(
                inputs["src_tokens"][row : row + 1],
                inputs["src_lengths"][row : row + 1],
                torch.tensor([tokens]),
                config,
            )
            best = logits[0, -1].detach().clone()
            best[[1, 2]] = -torch.inf  # neither padding nor, before the least length, the end
            tokens.append(int(best.argmax()))
        assert found[row][0]["tokens"].tolist() == [*tokens[1:], 2]
