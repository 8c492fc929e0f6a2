"""The search at the end of a distributed training, which others wait for."""

import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch.multiprocessing as mp
from torch import distributed

from shiftaddnas.search.callback import SearchCallback

TIMEOUT_SECONDS, SEARCH_SECONDS = 1.5, 4.0


def finish_fit(rank: int, folder: Path) -> None:
    """What a process does at the end of a fit, in a group that gives up long before the search ends."""
    timeout = timedelta(seconds=TIMEOUT_SECONDS)
    distributed.init_process_group("gloo", f"file://{folder}/group", timeout, world_size=2, rank=rank)

    def search(_: Any) -> list[Any]:
        time.sleep(SEARCH_SECONDS)
        (folder / "searched").touch()
        return []

    callback = SearchCallback(search)
    callback.on_fit_end(SimpleNamespace(is_global_zero=rank == 0), None)  # type: ignore[arg-type]
    assert (folder / "searched").exists()
    assert callback.records == ([] if rank == 0 else None)
    distributed.destroy_process_group()


@pytest.mark.slow
def test_a_search_may_outlast_the_timeout_of_the_training(tmp_path: Path) -> None:
    mp.start_processes(finish_fit, (tmp_path,), nprocs=2, start_method="fork")
