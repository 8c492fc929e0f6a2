"""One run of a command: its components, its run folder and its trackers, and what it writes down."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from rich.console import Console

from shiftaddnas.cli.app import SWEEP, plain_config
from shiftaddnas.cli.build import build
from shiftaddnas.cli.components import Components
from shiftaddnas.cli.quiet import quiet
from shiftaddnas.cli.repeat import config_options
from shiftaddnas.errors import UserError
from shiftaddnas.files import write_atomically
from shiftaddnas.tracking import RunFolder, State
from shiftaddnas.tracking.rank import is_main_process
from shiftaddnas.tracking.wandb_run import WandbRun


@dataclass
class Session(Components):
    """One run of a command."""

    folder: RunFolder
    wandb: WandbRun
    _seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the time spent inside to the stage's, without what inner stages take."""
        begin, before = time.perf_counter(), sum(self._seconds.values())
        try:
            yield
        finally:
            inner = sum(self._seconds.values()) - before
            self._seconds[stage] = self._seconds.get(stage, 0.0) + time.perf_counter() - begin - inner

    def write_results(self, results: Mapping[str, Any]) -> None:
        """Write results.json, whose being there says that the run is finished; the main process alone does it."""
        if not is_main_process():
            return
        common = {
            "task": self.task.name,
            "seed": self.seed,
            "seconds": {stage: round(seconds, 1) for stage, seconds in self._seconds.items()},
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": self.folder.read_manifest()["command"],
        }
        write_atomically(self.folder.results, json.dumps(common | dict(results), indent=2) + "\n")
        self.wandb.summary(_flat(results))

    def draw(self) -> None:
        """Make all pictures of the run from its folder, and mirror them."""
        from shiftaddnas.cli.pictures import draw_run

        pictures = draw_run(self.folder, self.space, self.task.workload(), lambda: self.cost)
        for note in pictures.notes:
            self.console.print(f"note: {note}", soft_wrap=True, markup=False)
        self.wandb.log_pictures(pictures.paths)

    def score(self) -> float | None:
        """What a sweeper optimises: the test score of the network, or the winner, of a finished run."""
        if not is_main_process():
            return None
        results = json.loads(self.folder.results.read_text(encoding="utf-8"))
        test = results.get("winner", results).get("test", {})
        return test.get(self.task.metric)  # type: ignore[no-any-return]


@contextmanager
def open_session(config: DictConfig, prepare: Callable[[Session], object]) -> Iterator[tuple[Session, State]]:
    """The session of a Hydra job, and whether its run is new, unfinished or finished.

    Every setting is checked before anything is begun; a run that fails these checks leaves nothing behind.

    Args:
        prepare: what checks the settings, by building all that one of them could make impossible.
    """
    plain = plain_config(config)
    hydra = HydraConfig.get()
    folder = RunFolder(Path(hydra.runtime.output_dir))
    # A sweep ends one run and begins the next in this process, each with its own command.
    placed = [override for override in hydra.overrides.hydra if override.startswith("hydra.run.dir=")]
    argv = [sys.argv[0], *config_options(), *placed, *hydra.overrides.task]
    quiet()
    wandb = WandbRun.off(folder.path)
    session = Session(plain, Console(quiet=not is_main_process()), folder, wandb)
    try:
        state = folder.open(plain, fresh=bool(plain["fresh"]), argv=argv)
        if state != "finished":
            prepare(session)
            session.wandb = _wandb(session, hydra)
        yield session, state
    except UserError:
        folder.discard_if_empty()
        raise
    except BaseException:
        session.wandb.finish(failed=True)
        raise
    else:
        session.wandb.finish()
    finally:
        folder.close()


def _wandb(session: Session, hydra: Any) -> WandbRun:
    in_sweep = hydra.mode == RunMode.MULTIRUN
    logger = dict(session.config["logger"])
    if in_sweep and logger.get("group") is None:
        logger["group"] = os.environ.get(SWEEP)
    return build(  # type: ignore[no-any-return]
        logger | {"_target_": "shiftaddnas.tracking.wandb_run.WandbRun"},
        "logger",
        folder=session.folder.path,
        run_id=session.folder.run_id if is_main_process() else "",  # the others may be here before it is written
        config=session.config,
    )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted names."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
