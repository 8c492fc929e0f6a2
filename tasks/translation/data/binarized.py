"""A folder of binarised text, as `fairseq-preprocess` writes it: its dictionaries, and its parts as data sets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from shiftaddnas.errors import UserError
from tasks.translation.data.codec import Codec, subwords
from tasks.translation.fairseq_adapter import Dictionary, LanguagePairDataset, data_utils, indexed_dataset

FILE_NAMES = {"train": "train", "val": "valid", "test": "test"}


@dataclass
class Binarized:
    """Sentences as rows of numbers, with what turns numbers into text.

    Args:
        root: the folder, with `dict.<language>.txt` and `<part>.<source>-<target>.<language>.bin` and `.idx`.
        text_folder: where the text that was binarised may still lie, `<part>.<language>`; None: not known.
    """

    root: Path
    source_lang: str
    target_lang: str
    codec: Codec
    text_folder: Path | None = None

    @classmethod
    def of_symbols(cls, kept: Mapping[str, Any]) -> "Binarized":
        """Without a folder, and so without parts: what turns numbers into text and back, as `symbols` gave it."""
        codec = Codec(subwords(kept["subwords"], kept["subword_file"]), moses=kept["moses"])
        made = cls(Path(), kept["source_lang"], kept["target_lang"], codec)
        made.source_dictionary = _dictionary_of(kept["source_symbols"])
        made.target_dictionary = _dictionary_of(kept["target_symbols"])
        return made

    def symbols(self) -> dict[str, Any]:
        """All that turns numbers into text and back, as plain data.

        Raises:
            UserError: a file that it is in cannot be read.
        """
        return {
            "source_lang": self.source_lang,
            "target_lang": self.target_lang,
            "source_symbols": list(self.source_dictionary.symbols),
            "target_symbols": list(self.target_dictionary.symbols),
            "subwords": self.codec.subwords.method,
            "subword_file": self.codec.subwords.content(),
            "moses": self.codec.moses,
        }

    @cached_property
    def source_dictionary(self) -> Dictionary:
        return self._dictionary(self.source_lang)

    @cached_property
    def target_dictionary(self) -> Dictionary:
        return self._dictionary(self.target_lang)

    def _dictionary(self, language: str) -> Dictionary:
        file = self.root / f"dict.{language}.txt"
        if not file.is_file():
            raise UserError(f"{file} is missing; task.data.source.root must be a folder of fairseq-preprocess")
        try:
            return Dictionary.load(str(file))
        except Exception as error:  # fairseq raises bare exceptions for a wrong encoding
            raise UserError(f"{file} is no dictionary of fairseq: {' '.join(str(error).split())}") from error

    def dataset(self, part: str) -> LanguagePairDataset:
        """A part ("train", "val", "test") as fairseq's data set of pairs: sources padded left, targets right.

        Raises:
            UserError: files are missing, do not belong together, or hold numbers that the dictionary has no symbol for.
        """
        sides = [
            self._side(part, self.source_lang, self.source_dictionary),
            self._side(part, self.target_lang, self.target_dictionary),
        ]
        if len(sides[0]) != len(sides[1]):
            raise UserError(
                f"{self._prefix(part, self.source_lang)} has {len(sides[0])} sentences, "
                f"{self._prefix(part, self.target_lang)} has {len(sides[1])}: they do not belong together"
            )
        if not len(sides[0]):
            raise UserError(f"{self._prefix(part, self.source_lang)} has no sentences")
        source, target = sides
        return LanguagePairDataset(
            source,
            source.sizes,
            self.source_dictionary,
            target,
            target.sizes,
            self.target_dictionary,
            left_pad_source=True,
            left_pad_target=False,
            shuffle=False,
        )

    def place(self, part: str, number: int) -> str:
        """Where a sentence of a part is, numbers counting from 0, for messages: file and line, and how it begins."""
        tokens = self._side(part, self.source_lang, self.source_dictionary)[number]
        file = self.text_folder and self.text_folder / f"{FILE_NAMES[part]}.{self.source_lang}"
        where = (
            f"{file}:{number + 1}"
            if file and file.is_file()
            else f"sentence {number + 1} of {FILE_NAMES[part]} in {self.root}"
        )
        return f"{where} ({self.text(tokens, self.source_lang)[:40]!r}...)"

    def text(self, tokens: Tensor, language: str) -> str:
        """The text of one sentence's numbers (T); special symbols other than the unknown one are left out."""
        dictionary = self.target_dictionary if language == self.target_lang else self.source_dictionary
        real = tokens[tokens != dictionary.pad()]
        return self.codec.decode(dictionary.string(real), language)

    def tokens(self, text: str) -> Tensor:
        """The numbers (T) of a source text, the end's among them.

        Raises:
            UserError: text cannot be encoded, as the file of the subwords is not given.
        """
        symbols = self.codec.encode(text, self.source_lang)
        tokens: Tensor = self.source_dictionary.encode_line(symbols, add_if_not_exist=False).long()
        return tokens

    def _prefix(self, part: str, language: str) -> Path:
        return self.root / f"{FILE_NAMES[part]}.{self.source_lang}-{self.target_lang}.{language}"

    def _side(self, part: str, language: str, dictionary: Dictionary) -> Any:
        prefix = self._prefix(part, language)
        for ending in (".idx", ".bin"):
            if not Path(f"{prefix}{ending}").is_file():
                raise UserError(f"{prefix}{ending} is missing; binarise the text with fairseq-preprocess")
        layout = indexed_dataset.infer_dataset_impl(str(prefix))
        if layout == "mmap" and not _is_whole(Path(f"{prefix}.idx")):
            raise UserError(f"{prefix}.idx is cut off; binarise the text again")
        try:
            # fairseq's older layout is read sentence by sentence: its cached reader wants to be told beforehand.
            side = data_utils.load_indexed_dataset(
                str(prefix), dictionary, dataset_impl="lazy" if layout == "cached" else layout
            )
        except Exception as error:  # whatever a broken index leads to
            raise UserError(f"{prefix}.idx cannot be read ({error}); binarise the text again") from error
        num_bytes, expected = Path(f"{prefix}.bin").stat().st_size, _num_bytes(layout, side)
        if num_bytes != expected:
            raise UserError(
                f"{prefix}.bin has {num_bytes} bytes, but its .idx tells of {expected}; binarise the text again"
            )
        greatest = _greatest(prefix, layout, side)
        if greatest >= len(dictionary):
            raise UserError(
                f"{prefix}.bin has the number {greatest}, but dict.{language}.txt has {len(dictionary)} symbols; "
                "the dictionary is not the one the text was binarised with"
            )
        return side


def _dictionary_of(symbols: Sequence[str]) -> Dictionary:
    dictionary = Dictionary()
    for symbol in symbols[dictionary.nspecial :]:
        dictionary.add_symbol(symbol, overwrite=True)  # each has its number, even one that is there twice
    return dictionary


def _is_whole(index: Path) -> bool:
    """Whether an index has the length that its head speaks of; fairseq's reader prints a traceback where it has not."""
    with index.open("rb") as file:
        head = file.read(26)  # magic, version, type of the numbers; in the last eight bytes the number of sentences
    num_sentences = int.from_bytes(head[18:], "little")
    return len(head) == 26 and index.stat().st_size == 26 + 12 * num_sentences  # each with its length and place


def _num_bytes(layout: str, side: Any) -> int:
    """The size of the file of numbers, as its index has it."""
    if layout == "mmap":
        num_tokens, num_bytes = side.sizes.sum(dtype=np.int64), side._index.dtype().itemsize
    else:
        num_tokens, num_bytes = side.data_offsets[-1], side.element_size
    return int(num_tokens) * int(num_bytes)


def _greatest(prefix: Path, layout: str, side: Any) -> int:
    """The greatest number in the file, read as a whole: sentence by sentence takes minutes for large text."""
    if layout == "mmap":
        numbers = np.memmap(f"{prefix}.bin", dtype=side._index.dtype, mode="r")
        return int(numbers.max()) if numbers.size else 0
    return max((int(sentence.max()) for sentence in side), default=0)
