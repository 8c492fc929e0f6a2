"""From the model's arguments, those of a command line or of a checkpoint, to the network."""

import argparse

from tasks.translation.arch_yaml import read_arch_yaml
from tasks.translation.config import SuperShape
from tasks.translation.fairseq_adapter import Dictionary
from tasks.translation.modules.settings import TransformerSettings
from tasks.translation.modules.sizes import path_sizes
from tasks.translation.modules.transformer import HybridTransformer, single_path


def network_of(args: argparse.Namespace, dictionary: Dictionary) -> HybridTransformer:
    """The network with fresh weights from torch's generator.

    Args:
        args: of the model, as fairseq's checkpoints have them in `cfg["model"]`.

    Raises:
        UserError: a setting is out of range.
    """
    config, shape = read_arch_yaml(args.network), SuperShape(**args.super_shape)
    assert config is not None, "arguments hold a network as write_arch_yaml writes it"
    settings = TransformerSettings(
        dropout=args.dropout,
        attention_dropout=args.attention_dropout,
        weight_dropout=args.weight_dropout,
        add_eta=args.add_eta,
        grad_bits=args.grad_bits if args.grad_bits > 0 else None,
        positions=args.positions,
    )
    return single_path(path_sizes(shape, config).cut(config), config, dictionary, settings)
