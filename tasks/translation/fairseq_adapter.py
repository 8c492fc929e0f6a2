"""fairseq, imported so that nothing else notices; the only module that imports it.

Importing fairseq puts configs named "config", "task", "model" and more into Hydra's global ConfigStore, makes the root
logger print everything, draws from Python's random numbers and warns. Here all of that is as it was afterwards. Its
`convert_namespace_to_omegaconf` clears Hydra's global state and is therefore not offered: build its config dataclasses
themselves, a TransformerConfig with `transformer_config`.
"""

import argparse
import logging
import pickle
import random
import warnings
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import omegaconf
import torch
from hydra.core.config_store import ConfigStore

from shiftaddnas.errors import UserError

SETTINGS: list[Any] = [
    argparse.Namespace,
    omegaconf.DictConfig,
    omegaconf.ListConfig,
    omegaconf.AnyNode,
    omegaconf.base.ContainerMetadata,
    omegaconf.base.Metadata,
    defaultdict,
    dict,
    list,
    int,
    Any,
]
"""The classes of the settings in fairseq's checkpoints, all plain data."""

INSTALL = "pip install 'shiftaddnas[translation]'"


@contextmanager
def _global_state_kept() -> Iterator[None]:
    store, root = ConfigStore.instance(), logging.getLogger()
    # Copied down to the folders: fairseq adds to them. The configs themselves it leaves alone.
    repo, level, handlers = _folders(store.repo), root.level, list(root.handlers)
    silenced, drawn = logging.root.manager.disable, random.getstate()
    logging.disable(logging.INFO)  # hints at packages for its speech tasks
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch.jit.script and the like, which only fairseq can mend
            yield
    finally:
        logging.disable(silenced)
        root.setLevel(level)
        root.handlers[:] = handlers
        store.repo = repo
        random.setstate(drawn)


def _folders(tree: dict[str, Any]) -> dict[str, Any]:
    return {name: _folders(node) if isinstance(node, dict) else node for name, node in tree.items()}


with _global_state_kept():
    try:
        from fairseq.binarizer import BinarizeSummary, VocabularyDatasetBinarizer
        from fairseq.criterions.label_smoothed_cross_entropy import LabelSmoothedCrossEntropyCriterion
        from fairseq.data import Dictionary, LanguagePairDataset, data_utils, indexed_dataset
        from fairseq.models import (
            BaseFairseqModel,
            FairseqEncoder,
            FairseqEncoderDecoderModel,
            FairseqIncrementalDecoder,
            register_model,
            register_model_architecture,
        )
        from fairseq.models.transformer import TransformerConfig, TransformerModelBase
        from fairseq.models.transformer.transformer_config import DecoderConfig, EncDecBaseConfig, QuantNoiseConfig
        from fairseq.modules import MultiheadAttention, SinusoidalPositionalEmbedding
        from fairseq.sequence_generator import SequenceGenerator
    except ImportError as error:
        raise UserError(f"fairseq cannot be imported ({error}); translation needs it: {INSTALL}") from error

__all__ = [
    "BaseFairseqModel",
    "BinarizeSummary",
    "Dictionary",
    "FairseqEncoder",
    "FairseqEncoderDecoderModel",
    "FairseqIncrementalDecoder",
    "LabelSmoothedCrossEntropyCriterion",
    "LanguagePairDataset",
    "MultiheadAttention",
    "SequenceGenerator",
    "SinusoidalPositionalEmbedding",
    "TransformerConfig",
    "TransformerModelBase",
    "VocabularyDatasetBinarizer",
    "data_utils",
    "indexed_dataset",
    "load_checkpoint",
    "register_model",
    "register_model_architecture",
    "transformer_config",
]


def transformer_config() -> TransformerConfig:
    """fairseq's default settings as objects of their own: in its default the parts are classes, so shared by all."""
    config = TransformerConfig()
    config.encoder, config.decoder, config.quant_noise = EncDecBaseConfig(), DecoderConfig(), QuantNoiseConfig()
    return config


def load_checkpoint(file: Path) -> dict[str, Any]:
    """What a checkpoint written by fairseq holds, on the CPU: "model" with its state dict, and its settings.

    Raises:
        UserError: there is no such file, it is no checkpoint, or it holds objects other than tensors and settings.
    """
    try:
        with torch.serialization.safe_globals(SETTINGS):
            checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise UserError(f"{file} cannot be read as a checkpoint of fairseq: {str(error).splitlines()[0]}") from error
    if not isinstance(checkpoint, dict) or "model" not in checkpoint:
        raise UserError(f"{file} is no checkpoint of fairseq: it has no entry 'model'")
    return checkpoint
