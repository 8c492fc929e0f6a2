"""The hybrid super-transformer: all networks of a translation space in one set of weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from shiftaddnas.errors import UserError
from shiftaddnas.sharing import Released, WeightSharing
from shiftaddnas.spaces import Arch
from shiftaddnas.supernets import Supernet
from tasks.translation.fairseq_adapter import Dictionary
from tasks.translation.modules.settings import TransformerSettings
from tasks.translation.modules.sizes import LayerSizes, TransformerSizes, super_sizes
from tasks.translation.modules.transformer import HybridTransformer, extracted
from tasks.translation.space import TranslationSpace


class TranslationSupernet(Supernet):
    """All archs of a translation space.

    `transformer` is the model that fairseq's criteria and generators take, within `activate`. Parameters that an arch
    does not use get no gradient; those of which it uses a part get zeros elsewhere.

    Args:
        sharing: between the convolution, the adder and the adder behind shifts of one place (a layer, alone or beside
            attention): of their taps, mapped before the softmax, and of the weights of the linear layers around them.
            The shift layer and the biases stay their own. With "independent" nothing is shared, as in the released code
            of ShiftAddNAS.

    Raises:
        UserError: the sharing scheme is the released image code's.
    """

    def __init__(
        self, space: TranslationSpace, dictionary: Dictionary, sharing: WeightSharing, settings: TransformerSettings
    ) -> None:
        super().__init__(space)
        if isinstance(sharing, Released):
            raise UserError(
                "sharing=released is how the released image supernets share; those for translation share nothing: use "
                "sharing=independent for them"
            )
        self.translation_space = space
        self.sharing = sharing
        self.transformer = HybridTransformer(space_sizes(space), dictionary, sharing=sharing, settings=settings)

    def run(self, inputs: Any, arch: Arch) -> Tensor:
        """Logits (B, T, V) for the "net_input" of a batch of fairseq's, tensors by name."""
        logits, _ = self.transformer(**inputs, config=self.translation_space.config(arch))
        out: Tensor = logits
        return out

    @contextmanager
    def activate(self, arch: Arch) -> Iterator[None]:
        """Within this context, calls without an arch compute this one, and so does `transformer` without a config."""
        with super().activate(arch), self.transformer.activate(self.translation_space.config(arch)):
            yield

    def extract(self, arch: Arch) -> HybridTransformer:
        return extracted(self.transformer, self.translation_space.config(arch))

    def regularizer(self, arch: Arch) -> Tensor:
        if self.sharing.divergence_weight == 0:
            return next(self.parameters()).new_zeros(())
        used = self.transformer.used_operators(self.translation_space.config(arch))
        divergences = [value for layer, name in used if (value := layer.divergence(name)) is not None]
        return self.sharing.penalty(divergences) if divergences else next(self.parameters()).new_zeros(())

    def operator_parameters(self, operator: str) -> Iterator[nn.Parameter]:
        for stack in (self.transformer.encoder, self.transformer.decoder):
            for layer in stack.layers:
                yield from layer.operators.parameters_of(operator)


def space_sizes(space: TranslationSpace) -> TransformerSizes:
    """The tensors and candidates that some arch of a space uses."""
    shape = space.shape
    encoder = [
        LayerSizes(shape.encoder_ffn_dim, space.encoder.operators, space.encoder.ffns(layer))
        for layer in range(max(space.encoder.num_layers))
    ]
    decoder = [
        LayerSizes(shape.decoder_ffn_dim, space.decoder.operators, space.decoder.ffns(layer))
        for layer in range(max(space.decoder.num_layers))
    ]
    return super_sizes(shape, encoder, decoder, space.num_bits)
