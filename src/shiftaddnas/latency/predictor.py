"""A fitted latency predictor as one file, and as a hardware cost of whole archs."""

import io
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from shiftaddnas.errors import UserError
from shiftaddnas.files import write_atomically
from shiftaddnas.hardware import BoundCost, Cost, HardwareCost, Metric, Values
from shiftaddnas.latency.accuracy import Accuracy
from shiftaddnas.latency.features import Features, features_of, fingerprint
from shiftaddnas.latency.training import Predictor
from shiftaddnas.spaces import Arch, Space

W = TypeVar("W")

FORMAT = "shiftaddnas latency predictor 1"


@dataclass(frozen=True)
class PredictorFile:
    """All that a predictor's file holds.

    Args:
        space: the name of the space whose archs it predicts.
        fingerprint: of that space's computations under the workload.
        batch_size: of the measured networks' inputs.
        machine: where it was measured, as names and values.
        features: the name of the feature function.
        columns: what each feature is, in order.
        accuracy: on archs that it was not fitted to.
        date: when it was fitted.
    """

    space: str
    fingerprint: str
    batch_size: int
    machine: Mapping[str, str]
    features: str
    columns: tuple[str, ...]
    predictor: Predictor
    accuracy: Accuracy
    date: str


def save_predictor(path: Path, content: PredictorFile) -> None:
    """Write a predictor as tensors and plain data, atomically."""
    plain = asdict(content)
    plain["predictor"] = {name: _tensors(value) for name, value in plain["predictor"].items()}
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **plain}, buffer)
    write_atomically(path, buffer.getvalue())


def load_predictor(path: Path) -> PredictorFile:
    """The content of a predictor's file.

    Raises:
        UserError: the file is missing, damaged, or no predictor.
    """
    try:
        plain = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"latency predictor {path} does not exist; `shiftaddnas latency` makes one") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"latency predictor {path} is damaged or no predictor ({reason})") from None
    if not isinstance(plain, dict) or plain.get("format") != FORMAT:
        raise UserError(f"{path} is not a latency predictor of this version; `shiftaddnas latency` makes one")
    arrays: dict[str, Any] = {name: _arrays(value) for name, value in plain["predictor"].items()}
    values = {field.name: plain[field.name] for field in fields(PredictorFile)}
    values |= {"predictor": Predictor(**arrays), "accuracy": Accuracy(**plain["accuracy"])}
    return PredictorFile(**values)


def _tensors(value: Any) -> Any:
    """Arrays as tensors, in tuples as well."""
    if isinstance(value, tuple):
        return tuple(map(_tensors, value))
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value


def _arrays(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_arrays, value))
    return value.numpy() if isinstance(value, torch.Tensor) else value


class LatencyPredictor(HardwareCost):
    """The latency that a predictor's file gives for the archs of the space it was made for.

    Args:
        name: how tables and messages call the machine.
        path: of the file, as `shiftaddnas latency` writes it.

    Raises:
        UserError: the file is missing or damaged. On binding: it is for another space or workload.
    """

    metrics = (Metric("latency_ms", "ms", additive=False),)

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self.path = path
        self.content = load_predictor(Path(path))

    def bind(self, space: Space[Any, W], workload: W) -> BoundCost:
        content, setting = self.content, f"hardware.path={self.path}"
        if space.name != content.space:
            raise UserError(f"{setting} predicts archs of space {content.space}, not of {space.name}; {_REMEDY}")
        features = features_of(content.features, space, setting)
        if features.columns != content.columns or fingerprint(space, workload) != content.fingerprint:
            raise UserError(f"{setting} was measured with other layers in space {space.name}, or inputs; {_REMEDY}")
        return _Predicted(self, features)


_REMEDY = "run `shiftaddnas latency` with this space and task"


class _Predicted(BoundCost):
    def __init__(self, model: LatencyPredictor, features: Features) -> None:
        super().__init__(model.name, model.metrics)
        self._features = features
        self._predictor = model.content.predictor
        self._known: dict[Arch, float] = {}

    def estimate(self, arch: Arch) -> Cost:
        if arch not in self._known:
            # Beyond the measured archs a fit may fall below nothing; a ranking does not mind, a cost would.
            self._known[arch] = max(0.0, self._predictor(self._features(arch)))
        return Cost(Values({"latency_ms": self._known[arch]}))
