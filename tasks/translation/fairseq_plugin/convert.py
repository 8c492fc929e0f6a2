"""A run's trained network as a checkpoint that fairseq's tools read.

python -m tasks.translation.fairseq_plugin.convert runs/wmt14_en_de/0123456789ab network.pt
"""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from shiftaddnas.engine.checkpoint import load_checkpoint, network_state
from shiftaddnas.engine.subnet_module import NETWORK
from shiftaddnas.errors import UserError
from shiftaddnas.files import opened_atomically
from shiftaddnas.tracking.trained import trained_checkpoint
from tasks.translation.fairseq_plugin.arguments import MODEL_NAME
from tasks.translation.fairseq_plugin.files import network_data
from tasks.translation.modules.settings import TransformerSettings


def fairseq_checkpoint(run: Path) -> dict[str, Any]:
    """What fairseq's own checkpoint of the network would hold, without the state of a training.

    Args:
        run: a run folder, or a run's subnet.ckpt with the network's arch.yaml beside it.

    Raises:
        UserError: there is none, or it is of no network of a translation task.
    """
    checkpoint = trained_checkpoint(run)
    content = load_checkpoint(checkpoint)
    config, state = content.get("config", {}), network_state(content, NETWORK)
    if not state or "space" not in config:
        raise UserError(f"{checkpoint} holds no single network of a space; give a run folder, or its subnet.ckpt")
    arch = checkpoint.with_name("arch.yaml")
    if not arch.is_file():
        raise UserError(f"{checkpoint} has no arch.yaml beside it, which says what network it holds")
    transformer = asdict(TransformerSettings(**(config["task"].get("transformer") or {})))
    arguments = {
        "_name": MODEL_NAME,
        "arch": MODEL_NAME,
        **network_data(arch, config["space"]),
        **transformer,
        "grad_bits": transformer["grad_bits"] or -1,
    }
    history = {"criterion_name": "", "optimizer_name": "", "lr_scheduler_state": {}, "num_updates": 0}
    return {
        "args": None,
        "cfg": {"model": argparse.Namespace(**arguments), "task": {"_name": "translation"}},
        "model": state,
        "optimizer_history": [history],
        "extra_state": {},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="A run's trained network as a checkpoint of fairseq.")
    parser.add_argument("run", type=Path, help="run folder, or its subnet.ckpt")
    parser.add_argument("output", type=Path, help="file to write")
    args = parser.parse_args()
    try:
        content = fairseq_checkpoint(args.run)
        with opened_atomically(args.output) as file:
            torch.save(content, file)
    except UserError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {args.output} cannot be written: {error.strerror}; give the name of a file")


if __name__ == "__main__":
    main()
