"""Real text for tests: English and German messages of installed packages, cleaned."""

from functools import cache
from pathlib import Path

import pytest

from shiftaddnas.errors import UserError
from tasks.translation.data.catalogues import Catalogues
from tasks.translation.data.text import Pair

PACKAGES = ("Django", "wagtail")


@cache
def _pairs() -> list[Pair] | str:
    try:
        return [pair for pair, _ in Catalogues(PACKAGES, None, "de").pairs()]
    except UserError as error:
        return str(error)


def messages(count: int) -> list[Pair]:
    """The first pairs; the test is skipped where the packages are not installed."""
    pairs = _pairs()
    if isinstance(pairs, str):
        pytest.skip(pairs)
    assert len(pairs) >= count
    return pairs[:count]


def write(folder: Path, name: str, pairs: list[Pair]) -> None:
    """As two files, `<name>.en` and `<name>.de`."""
    folder.mkdir(exist_ok=True)
    for language, side in zip(("en", "de"), zip(*pairs, strict=True), strict=True):
        (folder / f"{name}.{language}").write_text("".join(f"{line}\n" for line in side), encoding="utf-8")


def write_parts(folder: Path, count: int) -> Path:
    """Training text of `count` pairs, and 40 pairs more for each of valid and test."""
    pairs = messages(count + 80)
    write(folder, "train", pairs[:count])
    write(folder, "valid", pairs[count : count + 40])
    write(folder, "test", pairs[count + 40 :])
    return folder
