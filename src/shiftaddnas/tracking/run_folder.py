"""A run's folder: the names of everything in it, whether it may be written, and where the run came from.

The folder is the truth about a run. It belongs to one resolved config, by whose hash it is named unless the user names
it; the same command therefore finds the same folder, and goes on where it stopped.
"""

import hashlib
import json
import shutil
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import yaml

from shiftaddnas.errors import UserError
from shiftaddnas.files import write_atomically
from shiftaddnas.tracking.lock import FolderLock
from shiftaddnas.tracking.manifest import session
from shiftaddnas.tracking.rank import process_rank

State = Literal["new", "unfinished", "finished"]

# What does not change a result does not change which run it is; nor does what is asked of the same trained networks.
NOT_HASHED = frozenset(
    {"logger", "paths", "hydra", "fresh", "num_workers", "num_archs", "supernets", "quality", "statistics"}
)


# Settings that may be files, of which the content counts, wherever it lies.
FILES = frozenset({"arch", "ckpt", "teacher"})


def config_hash(config: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits of a resolved config, whatever the order of its keys.

    `NOT_HASHED` is left out; where one of `FILES` is a file, its content counts.
    """
    canonical = json.dumps(_relevant(config), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


class RunFolder:
    """The artefacts of one run, by name, and the right to write them.

    `open` takes the folder and `close` gives it back. Of a distributed run only the process of rank 0 writes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest = path / "manifest.json"
        self.config = path / "config.yaml"
        self.metrics = path / "metrics.csv"
        self.supernet = path / "supernet.ckpt"
        self.search_log = path / "search.jsonl"
        self.search_times = path / "search_times.jsonl"
        self.pareto = path / "pareto.csv"
        self.standalone = path / "standalone.csv"
        self.scores = path / "scores.csv"
        self.ranking = path / "ranking.csv"
        self.best_arch = path / "best" / "arch.yaml"
        self.best_subnet = path / "best" / "subnet.ckpt"
        self.arch = path / "arch.yaml"
        self.subnet = path / "subnet.ckpt"
        self.baselines = path / "baselines"
        self.resume = path / "resume"
        self.figures = path / "figures"
        self.report = path / "report.html"
        self.results = path / "results.json"
        self.wandb = path / "wandb"
        self._lock = FolderLock(path / ".lock")
        self._begun = False  # by this object, in a folder that held no run

    def open(self, config: Mapping[str, Any], *, fresh: bool, argv: Sequence[str] | None = None) -> State:
        """Take the folder for the run of this resolved config (plain containers), and record who works on it.

        A finished run is left as it is, and not locked. `argv` repeats the run; it defaults to this process's own,
        which is not the run's where a sweep runs many in one process.

        Raises:
            UserError: the folder holds another run or a stranger's files of our names, or another process writes it.
        """
        if process_rank() > 0:
            return "finished" if self.results.exists() and not fresh else "unfinished"
        if not fresh and self.results.exists() and self.manifest.exists():
            self._check_config(config)
            return "finished"
        self._lock.acquire()
        try:
            return self._begin(config, fresh, list(sys.argv if argv is None else argv))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let others write the folder; does nothing if it was not taken."""
        self._lock.release()

    def baseline(self, role: str) -> Path:
        """The checkpoint of a network that the winner is compared with, such as "all_multiplication"."""
        return self.baselines / f"{role}.ckpt"

    @property
    def run_id(self) -> str:
        """The name of this run wherever it is mirrored: kept when it is resumed, new when it is begun afresh."""
        return str(self.read_manifest()["run_id"])

    def read_manifest(self) -> dict[str, Any]:
        """The manifest of the run in this folder.

        Raises:
            UserError: there is none, or it is not one.
        """
        try:
            content = json.loads(self.manifest.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"{self.path} is not a run folder: it has no {self.manifest.name}") from None
        except ValueError:
            content = None
        if not isinstance(content, dict) or "config_hash" not in content:
            raise UserError(f"{self.manifest} is damaged: use fresh=true to replace the run or another hydra.run.dir")
        return content

    def discard_if_empty(self) -> None:
        """Close the folder, and remove it if nothing was begun in it; for runs that end with a wrong setting.

        What it may hold is Hydra's record of the call and, if this object began the run, what is written first of all.
        """
        if process_rank() > 0:
            return
        record = self.path / ".hydra"
        traces = {record / f"{name}.yaml" for name in ("config", "hydra", "overrides")}
        traces |= {self.path / "train.log", self.path / "search.log"}
        if self._begun:
            traces |= {self.manifest, self.config, self._lock.path}
        files = {file for file in self.path.rglob("*") if not file.is_dir()}
        if self._begun:
            files = {file for file in files if self.wandb not in file.parents}
        if files <= traces:
            for file in files:
                file.unlink(missing_ok=True)
            if self._begun:
                shutil.rmtree(self.wandb, ignore_errors=True)
            for folder in (record, self.path):
                with suppress(OSError):  # it is not there, or somebody else's
                    folder.rmdir()
        self.close()

    def _begin(self, config: Mapping[str, Any], fresh: bool, argv: list[str]) -> State:
        if not self.manifest.exists():
            strange = next((path for path in self._artefacts() if path.exists()), None)
            if strange is not None:
                raise UserError(f"{self.path} is not a run folder but holds {strange.name}: use another hydra.run.dir")
        elif fresh:
            self._remove_artefacts()
        state: State = "unfinished" if self.manifest.exists() else "new"
        self._begun = state == "new"
        if state == "unfinished":
            self._check_config(config)
            manifest = self.read_manifest()
            manifest["resumed"].append(session(argv))
        else:
            digest = config_hash(config)
            manifest = {
                "config_hash": digest,
                "run_id": f"{digest}-{uuid.uuid4().hex[:6]}",
                "seed": config.get("seed"),
                **session(argv),
                "resumed": [],
            }
        # The manifest makes the folder ours: it comes first, and goes last.
        write_atomically(self.manifest, json.dumps(manifest, indent=2) + "\n")
        if not self.config.exists():
            write_atomically(self.config, yaml.safe_dump(_plain(config), sort_keys=False, allow_unicode=True))
        return state

    def _check_config(self, config: Mapping[str, Any]) -> None:
        if self.read_manifest()["config_hash"] == config_hash(config):
            return
        try:
            before = yaml.safe_load(self.config.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError):
            before = None
        differs = ""
        if isinstance(before, dict):
            names = _differences(_relevant(before), _relevant(config))
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            where = f"its config differs in {', '.join(names[:5])}{more}"
            differs = f" ({where if names else 'made with another file'})"
        raise UserError(
            f"run folder {self.path} holds another run{differs}: use fresh=true to replace it or another hydra.run.dir"
        )

    def _artefacts(self) -> Iterator[Path]:
        """What a run leaves, last first, so that a removal cut short leaves an earlier stage of the same run."""
        yield from (
            self.results,
            self.report,
            *self.figures.glob("*.png"),
            self.figures / "arch.svg",
            self.pareto,
            self.ranking,
        )
        yield from (*self._exports(self.best_subnet), *self._exports(self.subnet))
        yield from (*self.baselines.glob("*.ckpt"), self.best_subnet, self.best_arch, self.subnet, self.arch)
        yield from (self.search_times, self.search_log, self.supernet, *self.resume.glob("*.ckpt"), self.metrics)
        yield from (self.scores, self.standalone)
        yield from (self.wandb, self.config)

    @staticmethod
    def _exports(network: Path) -> tuple[Path, ...]:
        """What `shiftaddnas export` writes beside a network."""
        return tuple(network.with_name(f"{network.stem}{ending}") for ending in (".onnx", ".pt2", ".integer.pt"))

    def _remove_artefacts(self) -> None:
        for path in (*self._artefacts(), self.manifest):
            if path == self.wandb:
                shutil.rmtree(path, ignore_errors=True)
                continue
            path.unlink(missing_ok=True)
            for torn in path.parent.glob(f".{path.name}.*"):
                torn.unlink()
        for folder in (self.figures, self.baselines, self.best_arch.parent, self.resume):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _relevant(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _with_contents(key, _plain(value)) for key, value in config.items() if key not in NOT_HASHED}


def _with_contents(key: str, value: Any) -> Any:
    """The value, with the digest of its content in place of a file's name."""
    if isinstance(value, dict):
        return {name: _with_contents(name, item) for name, item in value.items()}
    if key not in FILES or not isinstance(value, str):
        return value
    try:
        status = Path(value).stat()
    except (OSError, ValueError):  # a name or a notation
        return value
    return _digest(value, status.st_mtime_ns, status.st_size) if Path(value).is_file() else value


@lru_cache
def _digest(path: str, *_: int) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _differences(before: Any, after: Any, prefix: str = "") -> list[str]:
    """Dotted names of what is not equal, sorted."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return [] if before == after else [prefix]
    missing = object()
    return [
        name
        for key in sorted({*before, *after}, key=str)
        for name in _differences(
            before.get(key, missing), after.get(key, missing), f"{prefix}.{key}" if prefix else str(key)
        )
    ]
