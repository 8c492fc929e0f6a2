"""Training, the same for every task: LightningModules for supernets and single networks, and what they are made of."""

from shiftaddnas.engine.batch_norm import batch_norm_statistics, lent_statistics
from shiftaddnas.engine.evaluation import SupernetEvaluator
from shiftaddnas.engine.optimization import Optimization, cosine_with_warmup
from shiftaddnas.engine.paths import FairPaths, PathSampler, SandwichPaths, UniformPaths
from shiftaddnas.engine.schedule import OperatorSchedule, Stage
from shiftaddnas.engine.subnet_module import SubnetModule
from shiftaddnas.engine.supernet_module import SupernetModule
from shiftaddnas.engine.task import Output, Task, TaskData

__all__ = [
    "FairPaths",
    "OperatorSchedule",
    "Optimization",
    "Output",
    "PathSampler",
    "SandwichPaths",
    "Stage",
    "SubnetModule",
    "SupernetEvaluator",
    "SupernetModule",
    "Task",
    "TaskData",
    "UniformPaths",
    "batch_norm_statistics",
    "cosine_with_warmup",
    "lent_statistics",
]
