"""Latency as it is measured: layers and whole networks timed on this machine, and a predictor fitted to them."""

from shiftaddnas.latency.accuracy import Accuracy, accuracy, rank_correlation
from shiftaddnas.latency.collecting import Networks, measure, sample_archs
from shiftaddnas.latency.features import FEATURES, Features, features_of, fingerprint
from shiftaddnas.latency.figure import write_figure
from shiftaddnas.latency.host import HostLatency
from shiftaddnas.latency.layers import layer_call
from shiftaddnas.latency.machine import this_machine
from shiftaddnas.latency.measurements import Conditions, Measurements
from shiftaddnas.latency.predictor import LatencyPredictor, PredictorFile, load_predictor, save_predictor
from shiftaddnas.latency.study import Fit, Study, fit_study, measure_study
from shiftaddnas.latency.timing import Protocol, time_call
from shiftaddnas.latency.training import Predictor, Training, fit, held_out

__all__ = [
    "FEATURES",
    "Accuracy",
    "Conditions",
    "Features",
    "Fit",
    "HostLatency",
    "LatencyPredictor",
    "Measurements",
    "Networks",
    "Predictor",
    "PredictorFile",
    "Protocol",
    "Study",
    "Training",
    "accuracy",
    "features_of",
    "fingerprint",
    "fit",
    "fit_study",
    "held_out",
    "layer_call",
    "load_predictor",
    "measure",
    "measure_study",
    "rank_correlation",
    "sample_archs",
    "save_predictor",
    "this_machine",
    "time_call",
    "write_figure",
]
