"""Training, the same for every task: LightningModules for supernets and single networks, and what they are made of."""

from shiftaddnas.engine.batch_norm import batch_norm_statistics, lent_statistics
from shiftaddnas.engine.distillation import Distillation
from shiftaddnas.engine.evaluation import SupernetEvaluator
from shiftaddnas.engine.optimization import Optimization, cosine_with_warmup, deit_cosine
from shiftaddnas.engine.paths import FairPaths, PathSampler, SandwichPaths, UniformPaths
from shiftaddnas.engine.resumable_loader import ResumableLoader
from shiftaddnas.engine.schedule import OperatorSchedule, Stage
from shiftaddnas.engine.subnet_module import SubnetModule
from shiftaddnas.engine.supernet_module import SupernetModule
from shiftaddnas.engine.task import Output, Task, TaskData
from shiftaddnas.engine.warmup import linear_then_cosine, linear_then_inverse_sqrt

__all__ = [
    "Distillation",
    "FairPaths",
    "OperatorSchedule",
    "Optimization",
    "Output",
    "PathSampler",
    "ResumableLoader",
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
    "deit_cosine",
    "lent_statistics",
    "linear_then_cosine",
    "linear_then_inverse_sqrt",
]
