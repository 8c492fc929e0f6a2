"""The measurements of a study, in two files: archs trained alone, and their scores in supernets.

Every result is on the disk before the next is waited for, so a killed study loses only what its workers were at.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shiftaddnas.errors import UserError
from shiftaddnas.ranking.correlation import Floats
from shiftaddnas.ranking.row_file import RowFile
from shiftaddnas.ranking.supernets import SupernetFile
from shiftaddnas.ranking.workers import in_workers
from shiftaddnas.spaces import Arch, Space

# What tells a row from others comes first; metrics follow.
ARCH_COLUMNS = ("arch_id", "label", "arch")
SCORE_COLUMNS = ("checkpoint", "arch_id", "sharing", "seed", "supernet")

Train = Callable[[Arch], dict[str, float]]
Score = Callable[[tuple[SupernetFile, Arch]], dict[str, float]]


@dataclass(frozen=True)
class Study:
    """Which archs of a space are compared, and in how many worker processes.

    Args:
        on_result: called for each result, those in the files included.
    """

    space: Space[Any, Any]
    archs: tuple[Arch, ...]
    num_workers: int
    on_result: Callable[[], None] = lambda: None


def trained_alone(study: Study, path: Path, make: Callable[[], Train]) -> dict[str, Floats]:
    """Train each arch alone, but for those in the file already; every metric of all archs, (N).

    Args:
        path: of the CSV file, with a row for each arch.
        make: gives, in each worker, what trains an arch.

    Raises:
        UserError: the file holds something else, or a metric is not finite.
    """
    file = RowFile(path, ARCH_COLUMNS[:1])
    missing = [arch for arch in study.archs if (arch.id,) not in file.rows]
    for _ in range(len(study.archs) - len(missing)):
        study.on_result()
    for arch, metrics in in_workers(make, missing, study.num_workers):
        identity = (arch.id, study.space.describe(arch), json.dumps(arch.to_json()))
        file.append(dict(zip(ARCH_COLUMNS, identity, strict=True)) | metrics)
        study.on_result()
    keys = [(arch.id,) for arch in study.archs]
    file.sort(keys)
    return _columns(file, keys, set(ARCH_COLUMNS))


def scored_by(
    study: Study, supernets: Sequence[SupernetFile], schemes: Sequence[str], path: Path, make: Callable[[], Score]
) -> list[dict[str, Floats]]:
    """Score each arch in each supernet, but for what is in the file already; for each supernet every metric, (N).

    Args:
        schemes: what to call the sharing scheme of each supernet.
        path: of the CSV file, with a row for each supernet and arch.
        make: gives, in each worker, what scores an arch.

    Raises:
        UserError: the file holds something else, or a score is not finite.
    """
    file = RowFile(path, SCORE_COLUMNS[:2])
    jobs = [(supernet, arch) for supernet in supernets for arch in study.archs]
    missing = [(supernet, arch) for supernet, arch in jobs if (supernet.digest, arch.id) not in file.rows]
    for _ in range(len(jobs) - len(missing)):
        study.on_result()
    called = {supernet.digest: scheme for supernet, scheme in zip(supernets, schemes, strict=True)}
    for (supernet, arch), metrics in in_workers(make, missing, study.num_workers):
        seed = "" if supernet.seed is None else supernet.seed
        identity = (supernet.digest, arch.id, called[supernet.digest], seed, supernet.path)
        file.append(dict(zip(SCORE_COLUMNS, identity, strict=True)) | metrics)
        study.on_result()
    file.sort((supernet.digest, arch.id) for supernet, arch in jobs)
    return [
        _columns(file, [(supernet.digest, arch.id) for arch in study.archs], set(SCORE_COLUMNS))
        for supernet in supernets
    ]


def _columns(file: RowFile, keys: Sequence[tuple[str, ...]], but_for: set[str]) -> dict[str, Floats]:
    """The columns of metrics, of these rows."""
    return {name: _column(file, keys, name) for name in file.rows[keys[0]] if name not in but_for}


def _column(file: RowFile, keys: Sequence[tuple[str, ...]], name: str) -> Floats:
    try:
        values = np.array([float(file.rows[key][name]) for key in keys])
    except (KeyError, ValueError):
        raise UserError(f"{file.path} has no numbers in column {name}; start over with fresh=true") from None
    if not np.isfinite(values).all():
        arch_id = keys[int(np.argmin(np.isfinite(values)))][-1]
        raise UserError(
            f"{file.path}: {name} of arch {arch_id} is not finite, so it has no rank; its training diverged: lower "
            "optim.optimizer.lr"
        )
    return values
