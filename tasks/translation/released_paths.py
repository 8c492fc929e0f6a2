"""The released path sequence as a path sampler."""

from typing import Any

import numpy as np

from shiftaddnas.engine.paths import PathSampler
from shiftaddnas.errors import UserError
from shiftaddnas.spaces import Arch, Space
from tasks.translation.released_sampling import released_arch
from tasks.translation.space import TranslationSpace


class ReleasedPaths(PathSampler):
    """One arch a step for all processes, the one that the released ShiftAddNAS code trains in that step.

    It depends on the number of the step alone, not on the run's seed.

    Raises:
        UserError: on sampling, the space is of other networks.
    """

    per_rank = False

    def archs(self, space: Space[Any, Any], rng: np.random.Generator) -> list[Arch]:
        """An arch by the law of the sequence, for who does not count steps."""
        return [space.sample(rng, "decisions")]

    def archs_at(self, num_updates: int, space: Space[Any, Any], rng: np.random.Generator) -> list[Arch]:
        if not isinstance(space, TranslationSpace):
            raise UserError(f"sampling=transformer_released is of translation networks; space {space.name} has none")
        return [released_arch(space, num_updates)]
