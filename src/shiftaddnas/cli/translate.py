"""`shiftaddnas translate`: text, a sentence a line, through the trained network of a run folder."""

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from omegaconf import DictConfig

from shiftaddnas.cli.app import plain_config, start
from shiftaddnas.errors import UserError
from shiftaddnas.files import opened_atomically

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

    from shiftaddnas.cli.trained import WEIGHTS

    if settings["weights"] not in WEIGHTS:
        raise UserError(f"weights={settings['weights']} is unknown; they are {', '.join(WEIGHTS)}")
    try:
        _translate(settings)
    except BrokenPipeError:  # its reader wants no more, as head does; what is left to write goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)


def _translate(settings: Mapping[str, Any]) -> None:
    from shiftaddnas.cli.quiet import quiet
    from shiftaddnas.cli.trained import load_trained

    quiet()
    trained = load_trained(Path(settings["run"]), settings["weights"])
    network = _moved(trained.network, settings["device"])
    with ExitStack() as files:
        source, target = _source(settings["input"], files), _target(settings["output"], files)
        # Whoever types wants each answer at once.
        size = 1 if source.isatty() else settings["block"]
        for number, lines in _blocks(source, settings["input"] or "standard input", size):
            for translation in trained.task.translate(network, lines, first_line=number):
                target.write(f"{translation}\n".encode())
            target.flush()


def _blocks(source: BinaryIO, name: str, size: int) -> Iterator[tuple[int, list[str]]]:
    """So many lines at a time, with the number of the first."""
    number = 1
    while lines := list(islice(source, size)):
        yield number, [_text(line, name, place) for place, line in enumerate(lines, start=number)]
        number += len(lines)


def _text(line: bytes, name: str, number: int) -> str:
    try:
        return line.decode("utf-8").rstrip("\n")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{name}:{number} is not UTF-8 (byte {error.start + 1} of the line); convert it with iconv"
        ) from None


def _moved(network: "nn.Module", device: str) -> "nn.Module":
    try:
        return network.to(device)
    except (RuntimeError, AssertionError) as error:  # torch's, for a device that it or the machine does not have
        raise UserError(f"device={device}: {str(error).splitlines()[0]}; give cpu or cuda") from None


def _source(name: str | None, files: ExitStack) -> BinaryIO:
    if name is None:
        return sys.stdin.buffer
    with _failure_named(name):
        return files.enter_context(Path(name).open("rb"))


def _target(name: str | None, files: ExitStack) -> BinaryIO:
    if name is None:
        return sys.stdout.buffer
    path = Path(name)
    with _failure_named(name):
        if path.exists() and not path.is_file():  # a pipe or device, which cannot be replaced
            return files.enter_context(path.open("wb"))
        return files.enter_context(opened_atomically(path))


@contextmanager
def _failure_named(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{name} cannot be opened: {error.strerror}") from None
