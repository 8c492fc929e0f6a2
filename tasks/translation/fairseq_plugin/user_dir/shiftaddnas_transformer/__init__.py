"""What fairseq's tools import for `--user-dir`: registers the model, and has users' mistakes told in one line."""

import sys
from types import TracebackType

from shiftaddnas.errors import UserError
from tasks.translation.fairseq_plugin import model

__all__ = ["model"]


def _in_one_line(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if isinstance(error, UserError):
        print(f"error: {error}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, traceback)


sys.excepthook = _in_one_line
