"""`shiftaddnas translate`: text, a sentence a line, through the trained network of a run folder."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING

from omegaconf import DictConfig

from shiftaddnas.cli.app import plain_config, start
from shiftaddnas.errors import UserError

if TYPE_CHECKING:  # torch is imported when a job runs, so that --help answers at once
    from torch import nn


def main() -> None:
    start("translate", run)


def run(config: DictConfig) -> None:
    """One translation for each line of the input, in order, each block of lines as soon as it is done."""
    settings = plain_config(config)
    if settings["run"] is None:
        raise UserError("run= is missing; give a run folder such as runs/gettext_en_de/0123456789ab, or a checkpoint")
    if settings["block"] < 1:
        raise UserError(f"block={settings['block']}; give a whole number of lines, at least 1")

    from shiftaddnas.cli.quiet import quiet
    from shiftaddnas.cli.trained import WEIGHTS, load_trained

    if settings["weights"] not in WEIGHTS:
        raise UserError(f"weights={settings['weights']} is unknown; they are {', '.join(WEIGHTS)}")
    quiet()
    trained = load_trained(Path(settings["run"]), settings["weights"])
    network = _moved(trained.network, settings["device"])
    with _opened(settings["input"], "r", sys.stdin) as source, _opened(settings["output"], "w", sys.stdout) as target:
        # Whoever types wants each answer at once.
        size = 1 if source.isatty() else settings["block"]
        while lines := [line.rstrip("\n") for line in islice(source, size)]:
            for translation in trained.task.translate(network, lines):
                print(translation, file=target)
            target.flush()


def _moved(network: "nn.Module", device: str) -> "nn.Module":
    try:
        return network.to(device)
    except (RuntimeError, AssertionError) as error:  # torch's, for a device that it or the machine does not have
        raise UserError(f"device={device}: {str(error).splitlines()[0]}; give cpu or cuda") from None


@contextmanager
def _opened(name: str | None, mode: str, default: IO[str]) -> Iterator[IO[str]]:
    if name is None:
        yield default
        return
    try:
        file = Path(name).open(mode, encoding="utf-8", newline="\n")  # noqa: SIM115  # closed below
    except OSError as error:
        raise UserError(f"{name} cannot be opened: {error.strerror}") from None
    with file:
        yield file
