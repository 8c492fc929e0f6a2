"""The supernets of a study: found by name, told apart by content, and scoring archs with their weights."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shiftaddnas.engine import SupernetEvaluator, Task
from shiftaddnas.engine.checkpoint import check_symbols, load_checkpoint, network_state
from shiftaddnas.errors import UserError
from shiftaddnas.sharing import WeightSharing
from shiftaddnas.spaces import Arch, Space

CHECKPOINT, MANIFEST = "supernet.ckpt", "manifest.json"


@dataclass(frozen=True)
class SupernetFile:
    """A supernet's checkpoint.

    Args:
        digest: of its content, twelve hexadecimal digits.
        config: the settings that it was made with: task, space and sharing.
        seed: of its training; None where it lies in no run folder, which would tell.
    """

    path: Path
    digest: str
    config: Mapping[str, Any]
    seed: int | None


def find_supernets(names: Sequence[str]) -> list[SupernetFile]:
    """The supernets of checkpoints, run folders, and patterns of both, each once.

    Raises:
        UserError: there is nothing of a name, or something else than a supernet.
    """
    paths: dict[Path, None] = {}
    for name in names:
        path = Path(name).expanduser()
        base = Path(path.anchor)
        found = [path] if path.exists() else sorted(base.glob(str(path.relative_to(base))))
        checkpoints = [path / CHECKPOINT if path.is_dir() else path for path in found]
        # Of a pattern, folders without a supernet are no mistake: runs of another kind, or unfinished ones.
        existing = [path for path in checkpoints if path.is_file()]
        if not existing:
            why = f"nothing there has a {CHECKPOINT}" if found else "there is nothing of this name"
            raise UserError(f"supernets={name}: {why}; give checkpoints, run folders, or a quoted pattern of these")
        paths |= dict.fromkeys(existing)
    return list({supernet.digest: supernet for supernet in reversed([*map(_read, paths)])}.values())[::-1]


def _read(path: Path) -> SupernetFile:
    checkpoint = load_checkpoint(path)
    config = checkpoint.get("config", {})
    if not network_state(checkpoint, "supernet") or not {"task", "space", "sharing"} <= set(config):
        raise UserError(f"supernets={path} holds no supernet of this framework; make one with shiftaddnas train")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    manifest = path.with_name(MANIFEST)
    seed = json.loads(manifest.read_text(encoding="utf-8")).get("seed") if manifest.is_file() else None
    return SupernetFile(path, digest, config, seed)


def scheme_names(sharings: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """What to call each scheme: by its name, and where several have the same name, by how their settings differ too.

    Args:
        sharings: names and settings.
    """
    names = []
    for name, settings in sharings:
        others = [other for same, other in sharings if same == name]
        differing = sorted(
            {key for other in others for key in {*other, *settings} if len({str(o.get(key)) for o in others}) > 1}
        )
        names.append(" ".join([name, *(f"{key}={settings.get(key)}" for key in differing)]))
    return names


class SupernetScoring:
    """Calls give the metrics of an arch with a supernet's weights; the supernet that was last used is kept.

    Args:
        make_sharing: gives the scheme of a supernet's settings.
        device: where supernets run, for instance "cuda:0".
        limit_val_batches: as `pytorch_lightning.Trainer` has it.
    """

    def __init__(
        self,
        task: Task,
        space: Space[Any, Any],
        make_sharing: Callable[[Mapping[str, Any]], WeightSharing],
        *,
        device: str,
        limit_val_batches: float,
    ) -> None:
        self._task = task
        self._space = space
        self._make_sharing = make_sharing
        self._device = device
        self._limit_val_batches = limit_val_batches
        self._kept: tuple[SupernetFile, SupernetEvaluator] | None = None

    def __call__(self, job: tuple[SupernetFile, Arch]) -> dict[str, float]:
        file, arch = job
        if self._kept is None or self._kept[0].digest != file.digest:
            self._kept = file, self._evaluator(file)
        return self._kept[1](arch)

    def _evaluator(self, file: SupernetFile) -> SupernetEvaluator:
        checkpoint = load_checkpoint(file.path)
        check_symbols(checkpoint, self._task, file.path)
        supernet = self._task.supernet(self._space, self._make_sharing(file.config["sharing"]))
        supernet.load_weights(network_state(checkpoint, "supernet"), str(file.path))
        data: Any = self._task.datamodule()
        return SupernetEvaluator(supernet.to(self._device), self._task, data, limit_val_batches=self._limit_val_batches)
