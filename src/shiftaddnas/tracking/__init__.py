"""What makes a run repeatable and visible: its folder and manifest, its random numbers, its metrics, its W&B mirror.

Importing this package is light. The loggers import Lightning, so they are imported by name where a trainer is built:
`shiftaddnas.tracking.metrics_csv.MetricsCsv` and `shiftaddnas.tracking.wandb_run.WandbRun`.
"""

from shiftaddnas.tracking.run_folder import RunFolder, State, config_hash
from shiftaddnas.tracking.seeding import child_generator, child_seed

__all__ = ["RunFolder", "State", "child_generator", "child_seed", "config_hash"]
