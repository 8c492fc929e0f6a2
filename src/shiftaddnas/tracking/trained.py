"""Where the trained network of a run lies."""

from pathlib import Path

from shiftaddnas.errors import UserError
from shiftaddnas.tracking.run_folder import RunFolder


def trained_checkpoint(path: Path) -> Path:
    """The checkpoint of the network in a run folder; a checkpoint is its own.

    Raises:
        UserError: there is none, and what to do about it.
    """
    if path.is_file():
        return path
    if not path.exists():
        raise UserError(f"{path} does not exist; give a run folder such as runs/digits/0123456789ab")
    folder = RunFolder(path)
    found = next((file for file in (folder.best_subnet, folder.subnet) if file.is_file()), None)
    if found is None:
        raise UserError(_why_there_is_no_network(folder))
    return found


def _why_there_is_no_network(folder: RunFolder) -> str:
    command = folder.read_manifest()["command"]
    if not folder.results.exists():
        return f"the run in {folder.path} is unfinished and has no trained network yet; go on with it: {command}"
    return (
        f"the run in {folder.path} trained a supernet, no network of its own; make one with "
        f"shiftaddnas train ckpt={folder.supernet} arch=FILE, or shiftaddnas search ckpt={folder.supernet}"
    )
