"""Hybrid transformers for fairseq's own command line tools, as a folder for their `--user-dir`."""

from pathlib import Path

USER_DIR = Path(__file__).parent / "user_dir" / "shiftaddnas_transformer"
"""What to give as `--user-dir`. Alone in its folder, which fairseq puts on Python's path."""
