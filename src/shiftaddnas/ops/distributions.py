"""What trained weights look like: Gaussian for multiplications and shifts, Laplacian for additions (ShiftAddNAS).

All are of zero mean and unit standard deviation; scale is kept apart.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor


class Distribution(ABC):
    """A symmetric distribution of unit standard deviation."""

    name: ClassVar[str]

    @abstractmethod
    def quantile(self, p: Tensor) -> Tensor:
        """The value below which a share p, 0 < p < 1, of the distribution lies."""

    @abstractmethod
    def from_gaussian(self, z: Tensor) -> Tensor:
        """The increasing map that turns a standard Gaussian into this distribution: quantile(Phi(z))."""

    def quantiles(self, n: int, like: Tensor) -> Tensor:
        """The n quantiles at (i + 1/2) / n, increasing, of the type and on the device of `like`."""
        p = (torch.arange(n, dtype=torch.float64, device=like.device) + 0.5) / n
        return self.quantile(p).to(like.dtype)


@dataclass(frozen=True)
class Gaussian(Distribution):
    name = "gaussian"

    def quantile(self, p: Tensor) -> Tensor:
        value: Tensor = torch.special.ndtri(p)
        return value

    def from_gaussian(self, z: Tensor) -> Tensor:
        return z


@dataclass(frozen=True)
class Laplacian(Distribution):
    name = "laplacian"

    def quantile(self, p: Tensor) -> Tensor:
        tail = torch.minimum(p, 1 - p)
        return (p - 0.5).sign() * -(2 * tail).log() / math.sqrt(2)

    def from_gaussian(self, z: Tensor) -> Tensor:
        # The logarithm of the Gaussian's tail keeps float32 exact where 1 - Phi(z) would round to zero, and mirroring
        # by a factor that is never zero keeps the slope at z = 0.
        wide = z.to(torch.promote_types(z.dtype, torch.float32))  # PyTorch has no log_ndtr in half precision
        side = torch.where(wide < 0, -1.0, 1.0).to(wide.dtype)
        log_tail: Tensor = torch.special.log_ndtr(-side * wide)
        mapped: Tensor = -side * (math.log(2) + log_tail) / math.sqrt(2)
        return mapped.to(z.dtype)
