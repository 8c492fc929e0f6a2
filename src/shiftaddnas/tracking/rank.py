"""This process's place in a distributed run, known before Lightning or torch is imported."""

import os


def process_rank() -> int:
    """The rank, as torchrun, Lightning or SLURM tell it; 0 where nothing is distributed."""
    for name in ("RANK", "SLURM_PROCID"):
        if name in os.environ:
            return int(os.environ[name])
    # Of processes that Lightning starts on several machines: not the rank, but 0 for the first of them all alone.
    return sum(int(os.environ.get(name, 0)) for name in ("LOCAL_RANK", "NODE_RANK", "GROUP_RANK"))


def is_main_process() -> bool:
    """Whether this process writes files and speaks, of the processes of a distributed run."""
    return process_rank() == 0
