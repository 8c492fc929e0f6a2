"""What a worker process of a ranking study builds from the settings: the training of single archs, or their scoring."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytorch_lightning as pl

    from shiftaddnas.ranking import StandaloneTraining, SupernetScoring
    from shiftaddnas.sharing import WeightSharing


def make_trainer(settings: Mapping[str, Any]) -> "pl.Trainer":
    """A trainer that writes nothing and shows nothing."""
    from shiftaddnas.cli.build import build

    silent = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    return build({**settings["trainer"], **silent}, "trainer", logger=False)  # type: ignore[no-any-return]


def make_sharing(settings: Mapping[str, Any]) -> "WeightSharing":
    from shiftaddnas.cli.build import build

    return build(settings, "sharing")  # type: ignore[no-any-return]


def make_training(settings: Mapping[str, Any]) -> "StandaloneTraining":
    """What trains single archs."""
    from functools import partial

    from shiftaddnas.cli.build import build
    from shiftaddnas.cli.quiet import quiet
    from shiftaddnas.ranking import StandaloneTraining

    quiet()
    return StandaloneTraining(
        build(settings["task"], "task"),
        build(settings["space"], "space"),
        build(settings["optim"], "optim"),
        partial(make_trainer, settings),
        settings["seed"],
    )


def make_scoring(settings: Mapping[str, Any]) -> "SupernetScoring":
    """What scores archs in supernets, on the device that the trainer would take."""
    from shiftaddnas.cli.build import build
    from shiftaddnas.cli.quiet import quiet
    from shiftaddnas.ranking import SupernetScoring

    quiet()
    return SupernetScoring(
        build(settings["task"], "task"),
        build(settings["space"], "space"),
        make_sharing,
        device=str(make_trainer(settings).strategy.root_device),
        limit_val_batches=settings["trainer"]["limit_val_batches"],
    )
