"""`shiftaddnas rank`: train some archs alone, let supernets score them, and say how well the scores rank them."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from shiftaddnas.cli.app import plain_config, start
from shiftaddnas.errors import UserError

if TYPE_CHECKING:  # torch and Lightning are imported when a job runs, so that --help answers at once
    from shiftaddnas.cli.session import Session
    from shiftaddnas.ranking import Floats, Statistics, SupernetFile
    from shiftaddnas.spaces import Arch

PARTS = ("test", "val")
# What supernets of one study may differ in, wherever these settings stand.
MAY_DIFFER = ("seed", "batch_size", "num_workers")


def main() -> None:
    """A study or, where the command line names a table, the comparison of its columns."""
    if any(re.match(r"\+*table=", argument) for argument in sys.argv[1:]):
        from shiftaddnas.cli.rank_table import run as run_table

        start("rank_table", run_table)
    else:
        start("rank", run)


def run(config: DictConfig) -> None:
    """One study, from config to results.json."""
    from shiftaddnas.cli.session import open_session
    from shiftaddnas.ranking import find_supernets, print_study

    settings = plain_config(config)
    names = settings["supernets"]
    supernets = find_supernets([names] if isinstance(names, str) else names)
    asked = {name: settings[name] for name in ("num_archs", "quality", "statistics")}
    asked["supernets"] = {supernet.digest: str(supernet.path) for supernet in supernets}
    with (
        _reopened(settings, asked),
        open_session(config, partial(_prepare, supernets=supernets)) as (session, state),
    ):
        if state != "finished":
            _measure(session, supernets, asked)
        print_study(session.folder, session.console)


@contextmanager
def _reopened(settings: dict[str, Any], asked: dict[str, Any]) -> Iterator[None]:
    """Of a finished study, take away the results if more is asked of it now; its measurements stay.

    The results come back where what is asked is a mistake.
    """
    import json

    from hydra.core.hydra_config import HydraConfig

    from shiftaddnas.files import write_atomically
    from shiftaddnas.tracking import RunFolder, config_hash

    folder = RunFolder(Path(HydraConfig.get().runtime.output_dir))
    before = None
    if folder.results.is_file() and folder.manifest.is_file():
        is_ours = folder.read_manifest()["config_hash"] == config_hash(settings)
        content = folder.results.read_bytes()
        if is_ours and json.loads(content)["asked"] != asked:
            before = content
            folder.results.unlink()
    try:
        yield
    except UserError:
        if before is not None:
            write_atomically(folder.results, before)
        raise


def _prepare(session: "Session", supernets: "list[SupernetFile]") -> None:
    """Find every mistake in the settings before anything is begun."""
    from shiftaddnas.cli.rank_workers import make_trainer

    config = session.config
    if config["quality"] not in PARTS:
        raise UserError(f"quality={config['quality']} is not allowed; give {' or '.join(PARTS)}")
    if config["num_workers"] < 1:
        raise UserError(f"num_workers={config['num_workers']} is not allowed; give at least 1")
    for limit in ("limit_val_batches", "limit_test_batches"):
        if config["trainer"][limit] == 0:
            raise UserError(f"trainer.{limit}=0 leaves no batch to measure archs with; give at least 1, or 1.0 for all")
    _statistics(session).check(config["num_archs"], f"num_archs={config['num_archs']}")
    _ = session.optimization
    session.standalone(_archs(session)[0])
    trainer = make_trainer(config)
    if trainer.world_size > 1:
        raise UserError(f"trainer.devices={config['trainer']['devices']}: an arch is trained by one; raise num_workers")
    for supernet in supernets:
        _check_same(supernet, config)


def _check_same(supernet: "SupernetFile", config: Any) -> None:
    from shiftaddnas.cli.components import difference

    for key in ("task", "space"):
        differs = difference(_without(supernet.config[key]), _without(config[key]), key)
        if differs:
            raise UserError(f"supernets={supernet.path} was made with other settings than this study has: {differs}")


def _without(settings: Any) -> Any:
    if isinstance(settings, dict):
        return {key: _without(value) for key, value in settings.items() if key not in MAY_DIFFER}
    return settings


def _statistics(session: "Session") -> "Statistics":
    from shiftaddnas.cli.build import build

    return build(session.config["statistics"], "statistics")  # type: ignore[no-any-return]


def _archs(session: "Session") -> "list[Arch]":
    from shiftaddnas.latency import sample_archs
    from shiftaddnas.tracking import child_generator

    config = session.config
    rng = child_generator(config["archs_seed"], "rank", "archs")
    return sample_archs(session.space, config["num_archs"], rng, config["law"])


def _measure(session: "Session", supernets: "list[SupernetFile]", asked: dict[str, Any]) -> None:
    from shiftaddnas.cli.progress import progress_bar
    from shiftaddnas.cli.rank_workers import make_scoring, make_sharing, make_training
    from shiftaddnas.ranking import Study, scheme_names, scored_by, trained_alone

    config, folder, space = session.config, session.folder, session.space
    archs = tuple(_archs(session))
    settings = {key: config[key] for key in ("task", "space", "optim", "trainer", "seed")}
    sharings = [(make_sharing(supernet.config["sharing"]).name, supernet.config["sharing"]) for supernet in supernets]
    schemes = scheme_names(sharings)
    with progress_bar(session.console) as bar:

        def study(description: str, total: int, status: str) -> Study:
            row = bar.add_task(description, total=total, status=status)
            return Study(space, archs, config["num_workers"], lambda: bar.advance(row))

        with session.timed("standalone"):
            training = study("trained alone", len(archs), f"archs of {space.name}")
            alone = trained_alone(training, folder.standalone, partial(make_training, settings))
        with session.timed("scores"):
            scoring = study("scored", len(archs) * len(supernets), f"in {len(supernets)} supernets")
            scores = scored_by(scoring, supernets, schemes, folder.scores, partial(make_scoring, settings))
    _analyse(session, supernets, schemes, alone, [one[session.task.metric] for one in scores], asked)


def _analyse(
    session: "Session",
    supernets: "list[SupernetFile]",
    schemes: list[str],
    alone: "dict[str, Floats]",
    scores: "list[Floats]",
    asked: dict[str, Any],
) -> None:
    from shiftaddnas.ranking import Scored, StudyResults, agreement, analyse, write_study
    from shiftaddnas.tracking import child_generator

    folder, task, statistics = session.folder, session.task, _statistics(session)
    part = session.config["quality"]
    (other,) = {*PARTS} - {part}
    quality = alone[f"{part}_{task.metric}"]
    resamples, again = (child_generator(session.seed, "rank", name) for name in ("resamples", "ceiling"))
    scored = [
        Scored(scheme, supernet.seed, values)
        for scheme, supernet, values in zip(schemes, supernets, scores, strict=True)
    ]
    analysis = analyse(quality, scored, task.maximize, statistics, resamples)
    ceiling = agreement(quality, alone[f"{other}_{task.metric}"], task.maximize, statistics, again)
    labels = [session.space.describe(arch) for arch in _archs(session)]
    study = StudyResults(labels, quality, ceiling, supernets, scored, analysis)
    manifest = folder.read_manifest()
    results = {
        "kind": "ranking",
        "command": [manifest, *manifest["resumed"]][-1]["command"],  # the one that asked last
        "space": {"name": session.space.name, "size": session.space.size()},
        "metric": {"name": task.metric, "unit": task.unit, "maximize": task.maximize},
        "quality": part,
        "other_part": other,
        **study.as_plain(),
        "asked": asked,
    }
    write_study(folder, study, results)
    session.wandb.log(study.scalars())
    for path in (folder.standalone, folder.scores, folder.ranking):
        if path.is_file():
            session.wandb.log_artifact(path, type="ranking")
    session.write_results(results)
