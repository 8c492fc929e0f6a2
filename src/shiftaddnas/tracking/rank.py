"""This process's place in a distributed run, known before Lightning or torch is imported."""

import os


def process_rank() -> int:
    """The rank, as torchrun, Lightning or SLURM tell it; 0 where nothing is distributed."""
    names = ("RANK", "LOCAL_RANK", "SLURM_PROCID")
    return int(next((os.environ[name] for name in names if name in os.environ), 0))


def is_main_process() -> bool:
    """Whether this process writes files and speaks, of the processes of a distributed run."""
    return process_rank() == 0
