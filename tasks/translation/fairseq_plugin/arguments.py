"""The model's arguments on fairseq's command lines."""

import argparse
from typing import get_args

from tasks.translation.modules.settings import Positions, TransformerSettings

MODEL_NAME = "shiftaddnas_transformer"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of the network, and those of TransformerSettings with its defaults."""
    default = TransformerSettings()
    parser.add_argument(
        "--arch-yaml",
        metavar="FILE",
        required=True,
        help="the network: arch.yaml of a run, a file of the released ShiftAddNAS code, or a shipped one by its name, "
        "such as wmt_en_de/v3_350ms_jul13",
    )
    parser.add_argument(
        "--space",
        metavar="FILE",
        default="transformer_v3",
        help="the space it is from, which has the super-transformer's shape: config.yaml of a run, or a shipped space",
    )
    parser.add_argument(
        "--dropout",
        type=float,
        metavar="D",
        default=default.dropout,
        help="at the super-transformer's width; a narrower network has less in proportion",
    )
    parser.add_argument("--attention-dropout", type=float, metavar="D", default=default.attention_dropout)
    parser.add_argument(
        "--weight-dropout", type=float, metavar="D", default=default.weight_dropout, help="of lightweight kernels' taps"
    )
    parser.add_argument(
        "--add-eta",
        type=float,
        metavar="ETA",
        default=default.add_eta,
        help="AdderNet's adaptive learning rate of adders; 0.2 in the released code, none unless given",
    )
    parser.add_argument(
        "--grad-bits",
        type=int,
        metavar="N",
        default=default.grad_bits,
        help="of gradients in a network of fewer than 32 bits; -1 leaves them alone",
    )
    parser.add_argument(
        "--positions",
        choices=get_args(Positions),
        default=default.positions,
        help="sinusoids of the network's width, or the super-transformer's first ones, as in released checkpoints",
    )
