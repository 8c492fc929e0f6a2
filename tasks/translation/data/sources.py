"""Where translation data come from: a folder of fairseq-preprocess, text in files, or the catalogues of programs."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from shiftaddnas.errors import UserError
from tasks.translation.data.binarized import Binarized
from tasks.translation.data.catalogues import Catalogues, versions
from tasks.translation.data.codec import Codec, SubwordMethod, subwords
from tasks.translation.data.preparation import Corpus, Preparation, Words, prepare
from tasks.translation.data.split import split
from tasks.translation.data.text import Filter, Located, Pair, read_pairs, read_table
from tasks.translation.fairseq_adapter import data_utils


class TranslationSource(ABC):
    """Data of one language pair."""

    @abstractmethod
    def binarized(self) -> Binarized:
        """The data as fairseq reads them; prepared first, where that is not done yet.

        Raises:
            UserError: data are missing or not as expected.
        """


@dataclass
class FairseqFolder(TranslationSource):
    """A folder that `fairseq-preprocess` has written.

    Args:
        root: the folder.
        source_lang: what is translated; None: as the files are named.
        target_lang: into what; None: as the files are named.
        subwords: how the text was split, so that it can be joined again.
        moses: whether it was tokenised with Moses before.
        subword_file: the model or the merges, to translate other text; None: not at hand.
    """

    root: Path
    source_lang: str | None = None
    target_lang: str | None = None
    subwords: SubwordMethod = "subword_nmt"
    moses: bool = False
    subword_file: Path | None = None

    def __post_init__(self) -> None:
        self.root = self.root.expanduser()
        _check_languages(source_lang=self.source_lang, target_lang=self.target_lang)

    def binarized(self) -> Binarized:
        if not self.root.is_dir():
            raise UserError(
                f"task.data.source.root={self.root} is not a folder; put what fairseq-preprocess wrote there"
            )
        found = data_utils.infer_language_pair(str(self.root))
        source_lang, target_lang = self.source_lang or found[0], self.target_lang or found[1]
        if source_lang is None or target_lang is None:
            raise UserError(
                f"task.data.source.root={self.root} has no files like train.en-de.en.idx; "
                "it must be a folder that fairseq-preprocess wrote"
            )
        return Binarized(
            self.root, source_lang, target_lang, Codec(subwords(self.subwords, self.subword_file), moses=self.moses)
        )


@dataclass
class ParallelText(TranslationSource):
    """Text in files: pairs of files with a sentence a line, or tables with a sentence, a tab and its translation.

    A name that ends in ".tsv" is a table; any other is a pair of files, the name with `.<source_lang>` and
    `.<target_lang>` added.

    Args:
        root: the folder of the files.
        train: names of what is learnt from, one after the other.
        valid: name of the part that a search scores on; None: held out of `train`.
        test: name of the part for final networks alone; None: held out of `train`.
        val_share: of the pairs, held out where `valid` is None.
        test_share: of the pairs, held out where `test` is None.
        valid_every: hold out every so many-th training pair for `valid` instead, as the recipe of WMT'14 En-Fr does.
        output: below which folder the prepared data are kept; None: the user's cache.
    """

    root: Path
    source_lang: str
    target_lang: str
    train: Sequence[str] = ("train",)
    valid: str | None = None
    test: str | None = None
    val_share: float = 0.05
    test_share: float = 0.05
    valid_every: int | None = None
    output: Path | None = None
    preparation: Preparation = field(default_factory=Preparation)

    def __post_init__(self) -> None:
        self.root = self.root.expanduser()
        self.output = self.output and self.output.expanduser()
        held_out = self.valid is None and self.valid_every is None
        _check_shares(
            val_share=self.val_share if held_out else None, test_share=self.test_share if self.test is None else None
        )
        _check_languages(source_lang=self.source_lang, target_lang=self.target_lang)
        if self.source_lang == self.target_lang:
            raise UserError(
                f"task.data.source.source_lang={self.source_lang} and target_lang are the same, but parts and "
                "dictionaries go by the language; give the two names of their own"
            )
        if self.valid_every is not None and (self.valid is not None or self.test is None or self.valid_every < 2):
            raise UserError(
                f"task.data.source.valid_every={self.valid_every}: it is 2 or more, and needs a test part and no valid"
            )
        if not self.train:
            raise UserError("task.data.source.train is empty; name at least one text")

    def binarized(self) -> Binarized:
        files = [self._files(name) for name in (*self.train, self.valid, self.test) if name is not None]
        for file in (file for pair in files for file in pair):
            if not file.is_file():
                raise UserError(
                    f"{file} is missing: put the text there, or set task.data.source.root={self.root} to its folder"
                )
        identity = _plain(self, without=("root", "output", "preparation")) | {
            "files": [[str(file.resolve()), *_stamp(file)] for pair in files for file in pair]
        }
        corpus = Corpus(self.root.resolve().name, self.source_lang, self.target_lang, identity, self._pairs)
        folder, codec = prepare(corpus, self.preparation, self.output)
        return Binarized(folder, self.source_lang, self.target_lang, codec, folder.parent / "text")

    def _files(self, name: str) -> tuple[Path, ...]:
        if name.endswith(".tsv"):
            return (self.root / name,)
        return self.root / f"{name}.{self.source_lang}", self.root / f"{name}.{self.target_lang}"

    def _read(self, names: Iterable[str], words: Words) -> Iterator[Located]:
        for name in names:
            files = self._files(name)
            for (source, target), place in read_table(files[0]) if len(files) == 1 else read_pairs(*files):
                yield Located(Pair(words(source, self.source_lang), words(target, self.target_lang)), place)

    def _pairs(self, words: Words) -> Iterator[tuple[str, Pair]]:
        kept = self.preparation.filter("the training part")
        trained = kept(self._read(self.train, words))
        if self.valid_every is not None:
            number = 0
            for number, pair in enumerate(trained, start=1):
                yield ("train" if number % self.valid_every else "valid"), pair
            if number < self.valid_every:
                raise UserError(
                    f"task.data.source.valid_every={self.valid_every} holds out none of the {number} training pairs; "
                    "lower it or give more text"
                )
        elif self.valid is None or self.test is None:
            shares = (self.val_share if self.valid is None else 0.0, self.test_share if self.test is None else 0.0)
            yield from split(list(trained), *shares)
        else:
            yield from (("train", pair) for pair in trained)
        for part, name in (("valid", self.valid), ("test", self.test)):
            if name is not None:
                whole = Filter(None, None, 0.0, f"the {part} part")  # what is measured on fewer cannot be compared
                yield from ((part, pair) for pair in whole(self._read([name], words)))


@dataclass
class GettextCatalogues(TranslationSource):
    """The messages of programs, English, and their translations; see `catalogue_cleaning` for what counts.

    Args:
        target_lang: the translations' language, for instance "de".
        packages: installed distributions whose catalogues are read.
        folder: where further catalogues lie; None: nowhere.
        val_share: of the pairs, held out for a search's scores.
        test_share: of the pairs, held out for final networks alone.
        output: below which folder the prepared data are kept; None: the user's cache.
    """

    target_lang: str
    packages: Sequence[str] = ()
    folder: Path | None = None
    val_share: float = 0.1
    test_share: float = 0.1
    output: Path | None = None
    preparation: Preparation = field(default_factory=Preparation)

    def __post_init__(self) -> None:
        self.folder = self.folder and self.folder.expanduser()
        self.output = self.output and self.output.expanduser()
        _check_shares(val_share=self.val_share, test_share=self.test_share)
        _check_languages(target_lang=self.target_lang)

    def binarized(self) -> Binarized:
        identity = _plain(self, without=("folder", "output", "preparation")) | {"packages": versions(self.packages)}
        catalogues = Catalogues(self.packages, self.folder, self.target_lang)
        if self.folder is not None:
            files = Catalogues((), self.folder, self.target_lang).files()
            identity["files"] = [[str(file.resolve()), *_stamp(file)] for file in files]

        def pairs(words: Words) -> Iterator[tuple[str, Pair]]:
            tokenized = (
                Located(Pair(words(english, "en"), words(translation, self.target_lang)), place)
                for (english, translation), place in catalogues.pairs()
            )
            kept = self.preparation.filter("the catalogues")
            yield from split(list(kept(tokenized)), self.val_share, self.test_share)

        corpus = Corpus(f"gettext_en_{self.target_lang}", "en", self.target_lang, identity, pairs)
        folder, codec = prepare(corpus, self.preparation, self.output)
        return Binarized(folder, "en", self.target_lang, codec, folder.parent / "text")


def _check_shares(**shares: float | None) -> None:
    """Of the parts that are held out; None: that one is not."""
    held_out = {name: share for name, share in shares.items() if share is not None}
    if any(share <= 0 for share in held_out.values()) or sum(held_out.values()) >= 1:
        settings = ", ".join(f"{name}={share}" for name, share in held_out.items())
        raise UserError(f"task.data.source.{settings}; allowed are shares above 0 that sum to less than 1")


def _check_languages(**languages: str | None) -> None:
    """Files are named by them; None: as the files are."""
    for name, language in languages.items():
        if language is not None and (not language or "/" in language):
            raise UserError(f"task.data.source.{name}={language!r} cannot name a file; give a name such as de")


def _plain(source: Any, *, without: Sequence[str]) -> dict[str, Any]:
    return {key: value for key, value in asdict(source).items() if key not in without}


def _stamp(file: Path) -> tuple[int, int]:
    """Size and time of last change: what tells that a file is another one."""
    status = file.stat()
    return status.st_size, status.st_mtime_ns
