"""A mirror of one run in Weights & Biases: all stages of the pipeline in a single W&B run.

The run folder is the truth, so nothing here may stop or slow a run: whatever W&B raises, at the start or later, is
reported in one line, and the run goes on without it.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities import rank_zero_only

from shiftaddnas.tracking.rank import process_rank

log = logging.getLogger(__name__)

Mode = Literal["offline", "online", "disabled"]

START_TIMEOUT_SECONDS = 30
FINISH_TIMEOUT_SECONDS = 120


class WandbRun:
    """One W&B run, or nothing where W&B is disabled, missing or failing.

    All its files stay in `folder`/wandb, from where `wandb sync` uploads an offline run. A run with the id of an
    earlier one continues it: online at once, offline when both parts are synchronised.
    """

    def __init__(
        self,
        folder: Path,
        *,
        mode: Mode,
        project: str,
        run_id: str,
        config: Mapping[str, Any],
        name: str | None = None,
        group: str | None = None,
        tags: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self._run: Any = None
        if mode != "disabled" and process_rank() == 0:

            def start() -> Any:
                import wandb

                return wandb.init(
                    dir=str(folder),
                    mode=mode,
                    project=project,
                    id=run_id,
                    name=name,
                    group=group,
                    tags=list(tags),
                    config=dict(config),
                    resume="allow" if mode == "online" else None,
                    reinit="create_new",
                    settings=_settings(),
                )

            self._run = self._guarded("could not start", start)

    @classmethod
    def off(cls, folder: Path) -> "WandbRun":
        """A run that mirrors nothing."""
        return cls(folder, mode="disabled", project="", run_id="", config={})

    @property
    def active(self) -> bool:
        """Whether anything is mirrored."""
        return self._run is not None

    def logger(self, stage: str) -> "WandbStage":
        """A Lightning logger whose metrics are named `stage`/metric and drawn over the steps of this stage."""
        self._call("define metrics", lambda run: run.define_metric(f"{stage}/*", step_metric=f"{stage}/step"))
        return WandbStage(self, stage)

    def log(self, metrics: Mapping[str, float]) -> None:
        self._call("log metrics", lambda run: run.log(dict(metrics)))

    def log_candidates(self, records: Sequence[Mapping[str, Any]]) -> None:
        """A table of everything that was evaluated, from the records of `search.jsonl`."""
        self._call("log the candidates", lambda run: run.log({"search/candidates": _table(records)}))

    def log_pareto(self, front: Sequence[Mapping[str, Any]], *, objective: str) -> None:
        """A plot of the scores of the Pareto front over a cost, from its records."""

        def plot(run: Any) -> None:
            import wandb

            run.log({"search/pareto": wandb.plot.scatter(_table(front), objective, "score", title="Pareto front")})

        self._call("log the Pareto front", plot)

    def log_pictures(self, paths: Sequence[Path]) -> None:
        """PNG files, each by its name."""

        def add(run: Any) -> None:
            import wandb

            run.log({f"pictures/{path.stem}": wandb.Image(str(path)) for path in paths})

        self._call("log the pictures", add)

    def log_artifact(self, path: Path, *, type: str) -> None:
        """A file of the run folder, for instance of type "arch" or "model"."""

        def add(run: Any) -> None:
            import wandb

            artifact = wandb.Artifact(f"{run.id}-{path.stem}", type=type)
            # The run folder keeps the file, so W&B needs no copy of its own.
            artifact.add_file(str(path), policy="immutable")
            run.log_artifact(artifact)

        self._call(f"log {path.name}", add)

    def summary(self, values: Mapping[str, Any]) -> None:
        """The figures that stand for the run in W&B's tables of runs."""
        self._call("write the summary", lambda run: run.summary.update(dict(values)))

    def finish(self, *, failed: bool = False) -> None:
        """Complete the run; does nothing if it is not active."""
        self._call("finish", lambda run: run.finish(exit_code=int(failed)))
        self._run = None

    def _call(self, what: str, action: Callable[[Any], object]) -> None:
        if self._run is not None:
            self._guarded(f"could not {what}", lambda: action(self._run))

    def _guarded(self, failure: str, action: Callable[[], Any]) -> Any:
        try:
            with _environment(self.folder):
                return action()
        except Exception as error:
            self._run = None
            reason = " ".join(str(error).split()) or type(error).__name__
            log.warning("W&B %s and is off for the rest of this run: %s", failure, reason)
            return None


class WandbStage(Logger):
    """One stage of a `WandbRun`, as Lightning's trainer wants it."""

    def __init__(self, run: WandbRun, stage: str) -> None:
        super().__init__()
        self.stage = stage
        self._wandb = run

    @property
    def name(self) -> str:
        return ""

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        named = {f"{self.stage}/{name}": value for name, value in metrics.items()}
        self._wandb.log(named if step is None else {f"{self.stage}/step": step, **named})

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: the run was started with its config."""


def _settings() -> Any:
    import wandb

    return wandb.Settings(
        console="off",
        silent=True,
        init_timeout=START_TIMEOUT_SECONDS,
        finish_timeout=FINISH_TIMEOUT_SECONDS,
        finish_timeout_raises=False,
        # The manifest says all of this, without a process that watches the machine.
        disable_git=True,
        disable_code=True,
        save_code=False,
        x_disable_stats=True,
        x_disable_meta=True,
        x_disable_machine_info=True,
        x_save_requirements=False,
        symlink=False,
    )


@contextmanager
def _environment(folder: Path) -> Iterator[None]:
    """What W&B reads from the environment alone: where to put files, and that there is nobody to ask for an account."""
    ours = {
        "WANDB_SILENT": "true",
        "WANDB_CACHE_DIR": str(folder / "wandb" / "cache"),
        "WANDB_DATA_DIR": str(folder / "wandb" / "data"),
    }
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _table(records: Sequence[Mapping[str, Any]]) -> Any:
    """A W&B table of records: scalars as they are, metrics and costs one column each."""
    import wandb

    rows = [
        {
            **{name: value for name, value in record.items() if not isinstance(value, Mapping)},
            **record["metrics"],
            **record["costs"],
        }
        for record in records
    ]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return wandb.Table(columns=columns, data=[[row.get(name) for name in columns] for row in rows])
