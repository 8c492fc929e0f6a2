"""Translation data: folders of fairseq-preprocess, parallel text, and the catalogues of installed programs."""

from tasks.translation.data.module import TranslationData
from tasks.translation.data.preparation import Preparation
from tasks.translation.data.sources import FairseqFolder, GettextCatalogues, ParallelText, TranslationSource

__all__ = ["FairseqFolder", "GettextCatalogues", "ParallelText", "Preparation", "TranslationData", "TranslationSource"]
