"""Text to the symbols that networks read, and back: words of Moses' tokeniser where asked for, then subwords."""

import io
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from contextlib import redirect_stderr
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from shiftaddnas.errors import UserError
from tasks.translation.data.text import normalized

SubwordMethod = Literal["sentencepiece", "subword_nmt", "none"]


class Subwords(ABC):
    """Words to subwords and back; both are separated by spaces."""

    method: ClassVar[SubwordMethod]

    @abstractmethod
    def encode(self, text: str) -> str: ...

    @abstractmethod
    def decode(self, symbols: str) -> str: ...

    def symbols(self) -> Iterable[str]:
        """All that can come out, where they are known; training text need not have each."""
        return ()

    def content(self) -> bytes | None:
        """What the file holds that they were learnt to; None where there is none."""
        return None


class WholeWords(Subwords):
    """No subwords: a symbol is what stands between spaces."""

    method = "none"

    def encode(self, text: str) -> str:
        return text

    def decode(self, symbols: str) -> str:
        return symbols


class LearntSubwords(Subwords):
    """Subwords of a file.

    Args:
        file: the file, or what it holds; None can decode only.
    """

    def __init__(self, file: Path | bytes | None) -> None:
        self._file = file
        self._name = "what was kept of task.data.source.subword_file" if isinstance(file, bytes) else str(file)

    def content(self) -> bytes | None:
        """As above.

        Raises:
            UserError: the file cannot be read.
        """
        if not isinstance(self._file, Path):
            return self._file
        try:
            return self._file.read_bytes()
        except OSError as error:
            raise UserError(
                f"{self._file} cannot be read ({error.strerror}): it says how words are split; put it there again"
            ) from None


class SentencePieces(LearntSubwords):
    """The pieces of a SentencePiece model, which keep the text's spaces."""

    method = "sentencepiece"

    @cached_property
    def _processor(self) -> Any:
        import sentencepiece

        model = self.content()
        if model is None:
            raise UserError("text cannot be encoded without the SentencePiece model: set task.data.source.subword_file")
        try:
            return sentencepiece.SentencePieceProcessor(model_proto=model)
        except RuntimeError as error:
            raise UserError(f"{self._name} cannot be read as a SentencePiece model: {error}") from error

    def encode(self, text: str) -> str:
        return " ".join(self._processor.encode(text, out_type=str))

    def symbols(self) -> Iterable[str]:
        processor = self._processor
        numbers = range(processor.get_piece_size())
        return [processor.id_to_piece(number) for number in numbers if not processor.is_unknown(number)]

    def decode(self, symbols: str) -> str:
        return symbols.replace(" ", "").replace("▁", " ").strip()


class BytePairs(LearntSubwords):
    """subword-nmt's byte-pair encoding of words; "@@" marks what is continued."""

    method = "subword_nmt"

    @cached_property
    def _merges(self) -> Any:
        from subword_nmt.apply_bpe import BPE

        merges = self.content()
        if merges is None:
            raise UserError("text cannot be encoded without the merges: set task.data.source.subword_file")
        try:
            with redirect_stderr(io.StringIO()) as said:
                return BPE(io.TextIOWrapper(io.BytesIO(merges), encoding="utf-8"))
        except (UnicodeDecodeError, ValueError, IndexError) as error:
            raise UserError(f"{self._name} cannot be read as merges of subword-nmt: {error}") from error
        except SystemExit:  # subword-nmt's way to refuse a line
            reason = said.getvalue().splitlines()[0].removeprefix("Error: ")
            raise UserError(f"{self._name} cannot be read as merges of subword-nmt: {reason}") from None

    def encode(self, text: str) -> str:
        return str(self._merges.process_line(text))

    def decode(self, symbols: str) -> str:
        return re.sub(r"@@( |$)", "", symbols)


SUBWORDS: Mapping[SubwordMethod, type[SentencePieces] | type[BytePairs]] = {
    "sentencepiece": SentencePieces,
    "subword_nmt": BytePairs,
}


def subwords(method: SubwordMethod, file: Path | bytes | None) -> Subwords:
    return WholeWords() if method == "none" else SUBWORDS[method](file)


def learn(method: SubwordMethod, text: Iterable[str], size: int, file: Path) -> None:
    """Learn subwords, the same ones from the same text, and write them to a file.

    Args:
        text: normalised lines.
        size: pieces of the SentencePiece model, or merges.

    Raises:
        UserError: the text is too little for so many.
    """
    if method == "sentencepiece":
        file.write_bytes(_sentencepiece_model(text, size))
    elif method == "subword_nmt":
        from subword_nmt.learn_bpe import learn_bpe

        with file.open("w", encoding="utf-8") as codes:
            learn_bpe(text, codes, size)


def _sentencepiece_model(text: Iterable[str], size: int) -> bytes:
    import sentencepiece

    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(text),
            model_writer=model,
            model_type="bpe",
            vocab_size=size,
            character_coverage=1.0,
            normalization_rule_name="identity",  # the text is normalised, and comes back as it was
            bos_id=-1,
            eos_id=-1,
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        reason = " ".join(str(error).split()).rpartition("] ")[2]
        raise UserError(f"task.data.source.preparation.num_subwords={size} cannot be learnt: {reason}") from None
    return model.getvalue()


class Moses:
    """The words of one language as Moses splits them, and text out of such words."""

    def __init__(self, language: str) -> None:
        from sacremoses import MosesDetokenizer, MosesPunctNormalizer, MosesTokenizer

        self._normalizer = MosesPunctNormalizer(language)
        self._tokenizer = MosesTokenizer(language)
        self._detokenizer = MosesDetokenizer(language)

    def tokenize(self, text: str) -> str:
        normal = self._normalizer.normalize(text)
        return str(self._tokenizer.tokenize(normal, aggressive_dash_splits=True, return_str=True))

    def detokenize(self, words: str) -> str:
        return str(self._detokenizer.detokenize(words.split()))


class Codec:
    """Text of the two languages to symbols and back.

    Args:
        moses: whether words are tokenised before they are split into subwords.
    """

    def __init__(self, subwords: Subwords, *, moses: bool) -> None:
        self.subwords = subwords
        self.moses = moses
        self._tokenizers: dict[str, Moses] = {}

    def encode(self, text: str, language: str) -> str:
        """The symbols of a text, separated by spaces.

        Raises:
            UserError: the file of the subwords is not given, or cannot be read.
        """
        return self.subwords.encode(self.words(text, language))

    def words(self, text: str, language: str) -> str:
        """The text, normalised and tokenised: what subwords are learnt from."""
        text = normalized(text)
        return self._tokenizer(language).tokenize(text) if self.moses else text

    def decode(self, symbols: str, language: str) -> str:
        """The text of symbols that are separated by spaces."""
        words = self.subwords.decode(symbols)
        return self._tokenizer(language).detokenize(words) if self.moses else words

    def _tokenizer(self, language: str) -> Moses:
        if language not in self._tokenizers:
            self._tokenizers[language] = Moses(language)
        return self._tokenizers[language]
