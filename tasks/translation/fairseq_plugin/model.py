"""The model `shiftaddnas_transformer` in fairseq's registry.

Checkpoints hold the network itself, as text, and the shape of its super-transformer: no file is read again.
"""

import argparse
from typing import Any

from shiftaddnas.errors import UserError
from tasks.translation.fairseq_adapter import BaseFairseqModel, register_model, register_model_architecture
from tasks.translation.fairseq_plugin.arguments import MODEL_NAME, add_arguments
from tasks.translation.fairseq_plugin.files import read_network
from tasks.translation.fairseq_plugin.network import network_of
from tasks.translation.modules.transformer import HybridTransformer


@register_model(MODEL_NAME)
class RegisteredTransformer(BaseFairseqModel):  # type: ignore[misc]  # fairseq is not typed
    """What fairseq asks for a network; it gets a HybridTransformer."""

    @classmethod
    def add_args(cls, parser: argparse.ArgumentParser) -> None:
        add_arguments(parser)

    @classmethod
    def build_model(cls, args: argparse.Namespace, task: Any) -> HybridTransformer:
        """The network of the arguments, with fresh weights.

        Raises:
            UserError: the languages have dictionaries of their own.
        """
        if task.source_dictionary != task.target_dictionary:
            raise UserError(
                f"--arch {MODEL_NAME}: the two languages have dictionaries of their own, but hybrid transformers share "
                "one embedding; binarise the text with fairseq-preprocess --joined-dictionary"
            )
        return network_of(args, task.target_dictionary)


@register_model_architecture(MODEL_NAME, MODEL_NAME)  # type: ignore[untyped-decorator]
def read_files(args: argparse.Namespace) -> None:
    """Put what the files say into the arguments, where a checkpoint has not brought it along."""
    if not hasattr(args, "network"):
        for name, value in read_network(args.arch_yaml, args.space).items():
            setattr(args, name, value)
