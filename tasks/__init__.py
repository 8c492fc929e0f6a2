"""One folder per task: its data, its space and supernet, its metric. Tasks import shiftaddnas, never each other."""
