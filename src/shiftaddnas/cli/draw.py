"""`shiftaddnas draw`: the pictures of a run folder once more, or one arch as a drawing."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from shiftaddnas.cli.app import plain_config, start
from shiftaddnas.cli.output import output_folder
from shiftaddnas.errors import UserError

if TYPE_CHECKING:  # torch and matplotlib are imported when a job runs, so that --help answers at once
    from shiftaddnas.hardware import BoundCost

GROUPS = ("task", "space", "hardware")


def main() -> None:
    start("draw", run)


def run(config: DictConfig) -> None:
    """Draw one run or one arch, and print what was written.

    Raises:
        UserError: a setting is wrong, there is nothing to draw, or the hardware fails on the arch.
    """
    settings = plain_config(config)
    if (settings["run"] is None) == (settings["arch"] is None):
        raise UserError("give one of run=FOLDER (all pictures of a run) and arch=FILE (one arch; a name or a notation)")
    if settings["run"] is not None:
        _draw_run(Path(settings["run"]))
    else:
        _draw_arch(settings)


def _draw_run(path: Path) -> None:
    import yaml

    from shiftaddnas.cli.build import build
    from shiftaddnas.cli.pictures import draw_run
    from shiftaddnas.tracking import RunFolder

    folder = RunFolder(path)
    folder.read_manifest()
    try:
        config = yaml.safe_load(folder.config.read_text(encoding="utf-8")) if folder.config.is_file() else {}
    except (yaml.YAMLError, UnicodeDecodeError):
        config = None
    if not isinstance(config, dict):
        raise UserError(f"{folder.config} is damaged: run the command that made the run again, with fresh=true")
    missing = [group for group in GROUPS if group not in config]
    if missing:
        raise UserError(f"run={path} has no {missing[0]} in its {folder.config.name}; give a run of train or search")
    space, workload = build(config["space"], "space"), build(config["task"], "task").workload()

    def bound() -> "BoundCost":
        cost: BoundCost = build(config["hardware"], "hardware").bind(space, workload)
        return cost

    pictures = draw_run(folder, space, workload, bound)
    for note in pictures.notes:
        print(f"note: {note}")
    if not pictures.paths:
        raise UserError(f"run={path} holds nothing to draw yet: no finished epoch, arch or checkpoint")
    for written in pictures.paths:
        print(written)
    if folder.report.exists():
        print(folder.report)


def _draw_arch(settings: Mapping[str, Any]) -> None:
    from shiftaddnas.cli.archs import find_arch
    from shiftaddnas.cli.build import build
    from shiftaddnas.cli.pictures import draw_arch
    from shiftaddnas.cli.workload import space_and_workload
    from shiftaddnas.hardware import CostError

    output = output_folder(settings["output"])
    space, workload = space_and_workload(settings)
    hardware = build(settings["hardware"], "hardware")
    arch = find_arch(settings["arch"], space)
    path = output / f"{arch.id}.png"
    try:
        draw_arch(path, space, arch, workload, hardware.bind(space, workload))
    except CostError as error:
        raise UserError(" ".join(str(error).split())) from error
    print(f"{arch.id}  {space.describe(arch)}")
    for text in space.notations(arch):
        print(text)
    print(path)
    print(path.with_suffix(".svg"))
