"""Which of its libraries' messages a command lets through."""

import logging
import warnings


def quiet() -> None:
    """Let Lightning say what is wrong, not how it is."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # A profiler that was asked for prints its table as information.
    logging.getLogger("pytorch_lightning.profilers").setLevel(logging.INFO)
    for name in ("shiftaddnas", "hydra"):
        logging.getLogger(name).setLevel(logging.INFO)
    # Lightning's use of torch, not the user's.
    warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)`", FutureWarning)
    # A data module says how many workers it wants; the advice would come back with every loader.
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
