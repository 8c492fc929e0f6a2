"""Prepared text: as fairseq-preprocess makes it, the same bytes each time, and not lost when a process is killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from catalogue_text import messages, write, write_parts

from shiftaddnas.errors import UserError
from tasks.translation.data import FairseqFolder, GettextCatalogues, ParallelText, Preparation
from tasks.translation.data.codec import Codec, SentencePieces, learn, subwords
from tasks.translation.data.preparation import PARTS
from tasks.translation.fairseq_adapter import indexed_dataset

ROOT = Path(__file__).parents[2]
PIECES = Preparation(num_subwords=300)


def source(text: Path, output: Path, preparation: Preparation = PIECES) -> ParallelText:
    return ParallelText(text, "en", "de", valid="valid", test="test", output=output, preparation=preparation)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def test_the_same_text_gives_the_same_bytes_and_is_prepared_once(tmp_path: Path) -> None:
    text = write_parts(tmp_path / "text", 200)
    one = source(text, tmp_path / "one").binarized()
    other = source(text, tmp_path / "other").binarized()
    assert one.root != other.root
    assert one.root.parent.name == other.root.parent.name
    assert contents(one.root) == contents(other.root)
    assert len(contents(one.root)) == 2 + 4 * len(PARTS)
    before = one.root.stat().st_mtime_ns, one.root.stat().st_ino
    again = source(text, tmp_path / "one").binarized()
    assert (again.root.stat().st_mtime_ns, again.root.stat().st_ino) == before


def test_other_settings_and_other_text_have_a_folder_of_their_own(tmp_path: Path) -> None:
    text = write_parts(tmp_path / "text", 200)
    one = source(text, tmp_path / "made").binarized()
    fewer = source(text, tmp_path / "made", Preparation(num_subwords=250)).binarized()
    write(text, "train", messages(190))
    other = source(text, tmp_path / "made").binarized()
    assert len({one.root, fewer.root, other.root}) == 3
    assert len(other.dataset("train")) == 190


KILLED = """
import os, signal, sys
from pathlib import Path
from tasks.translation.data import ParallelText, Preparation, preparation

binarize, lines = preparation.VocabularyDatasetBinarizer.binarize_line, []

def killed(self, line, summary):
    lines.append(line)
    if len(lines) == 100:
        os.kill(os.getpid(), signal.SIGKILL)
    return binarize(self, line, summary)

preparation.VocabularyDatasetBinarizer.binarize_line = killed
text, output = map(Path, sys.argv[1:])
ParallelText(text, "en", "de", valid="valid", test="test", output=output,
             preparation=Preparation(num_subwords=300)).binarized()
"""


@pytest.mark.slow
def test_a_killed_preparation_goes_on_where_it_was(tmp_path: Path) -> None:
    text = write_parts(tmp_path / "text", 200)
    arguments = [sys.executable, "-c", KILLED, str(text), str(tmp_path / "killed")]
    assert subprocess.run(arguments, cwd=ROOT, env=os.environ, timeout=120).returncode == -signal.SIGKILL
    (folder,) = (tmp_path / "killed").iterdir()
    assert not (folder / "binarized").exists()
    finished = {name: (folder / name).stat().st_mtime_ns for name in ("text", "subwords", "symbols-train")}
    whole = source(text, tmp_path / "whole").binarized()
    resumed = source(text, tmp_path / "killed").binarized()
    assert resumed.root == folder / "binarized"
    assert contents(resumed.root) == contents(whole.root)
    assert {name: (folder / name).stat().st_mtime_ns for name in finished} == finished
    assert not list(folder.glob(".*.unfinished"))


def preprocess(symbols: Path, output: Path) -> Path:
    """What fairseq itself makes of symbols."""
    command = "from fairseq_cli.preprocess import cli_main; cli_main()"
    texts = [word for name in PARTS for word in (f"--{name}pref", str(symbols / name))]
    settings = ["--source-lang", "en", "--target-lang", "de", "--joined-dictionary", "--destdir", str(output)]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", command, *settings, *texts],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return output


@pytest.mark.slow
def test_fairseq_preprocess_makes_the_same_bytes_and_its_folders_are_read(tmp_path: Path) -> None:
    text = write_parts(tmp_path / "text", 200)
    words = Preparation(subwords="subword_nmt", num_subwords=200)
    ours = source(text, tmp_path / "ours", words).binarized()
    symbols = tmp_path / "symbols"
    symbols.mkdir()
    for part in PARTS:
        for language in ("en", "de"):
            made = ours.root.parent / f"symbols-{part}" / language
            (symbols / f"{part}.{language}").write_bytes(made.read_bytes())
    theirs = preprocess(symbols, tmp_path / "theirs")
    (theirs / "preprocess.log").unlink()
    assert contents(ours.root) == contents(theirs)
    read = FairseqFolder(theirs).binarized()
    assert (read.source_lang, read.target_lang) == ("en", "de")
    for number, (english, german) in enumerate(messages(200)):
        pair = read.dataset("train")[number]
        assert (read.text(pair["source"], "en"), read.text(pair["target"], "de")) == (english, german)


def test_fairseqs_older_layout_is_read(tmp_path: Path) -> None:
    ours = source(write_parts(tmp_path / "text", 200), tmp_path).binarized()
    older = tmp_path / "older"
    older.mkdir()
    for language in ("en", "de"):
        (older / f"dict.{language}.txt").write_bytes((ours.root / f"dict.{language}.txt").read_bytes())
        builder = indexed_dataset.make_builder(str(older / f"test.en-de.{language}.bin"), impl="lazy")
        for pair in (ours.dataset("test")[number] for number in range(40)):
            builder.add_item(pair["source" if language == "en" else "target"])
        builder.finalize(str(older / f"test.en-de.{language}.idx"))
    read = FairseqFolder(older, subwords="sentencepiece").binarized().dataset("test")
    for number in range(40):
        assert torch.equal(read[number]["source"], ours.dataset("test")[number]["source"])
        assert torch.equal(read[number]["target"], ours.dataset("test")[number]["target"])


def test_every_other_pair_can_be_held_out(tmp_path: Path) -> None:
    pairs = messages(60)
    write(tmp_path / "text", "train", pairs[:50])
    write(tmp_path / "text", "test", pairs[50:])
    held_out = ParallelText(
        tmp_path / "text", "en", "de", test="test", valid_every=20, output=tmp_path,
        preparation=Preparation(subwords="none"),
    )  # fmt: skip
    made = held_out.binarized()
    assert [len(made.dataset(part)) for part in ("train", "val", "test")] == [48, 2, 10]
    valid = (made.root.parent / "text" / "valid.en").read_text(encoding="utf-8").splitlines()
    assert valid == [pairs[19].source, pairs[39].source]
    held_out.valid_every = 51
    for _ in range(2):  # nothing counts as finished
        with pytest.raises(UserError, match="valid_every=51 holds out none of the 50 training pairs; lower it"):
            held_out.binarized()


def test_a_held_out_part_is_split_off_a_table(tmp_path: Path) -> None:
    pairs = messages(400)
    (tmp_path / "all.tsv").write_text("".join(f"{one}\t{other}\n" for one, other in pairs), encoding="utf-8")
    made = ParallelText(
        tmp_path, "en", "de", train=["all.tsv"], val_share=0.1, test_share=0.1, output=tmp_path, preparation=PIECES
    ).binarized()
    sizes = [len(made.dataset(part)) for part in ("train", "val", "test")]
    assert sum(sizes) == 400
    assert min(sizes[1:]) >= 15


@pytest.mark.parametrize("method", ["sentencepiece", "subword_nmt", "none"])
@pytest.mark.parametrize("moses", [False, True])
def test_text_comes_back_from_its_symbols(tmp_path: Path, method: str, moses: bool) -> None:
    pairs = messages(300)
    plain = Codec(subwords("none", None), moses=moses)
    learn(method, (plain.words(pair.source, "en") for pair in pairs), 200, tmp_path / "model")  # type: ignore[arg-type]
    codec = Codec(subwords(method, tmp_path / "model"), moses=moses)  # type: ignore[arg-type]
    # Moses' tokeniser is not undone everywhere: quotation marks and slashes lose spaces.
    texts = [pair.source for pair in pairs if not moses or pair.source.replace(" ", "").isalpha()]
    assert len(texts) > 100
    for text in texts:
        symbols = codec.encode(text, "en")
        assert codec.decode(symbols, "en") == text
    if method != "none":
        assert any(len(codec.encode(text, "en").split()) > len(text.split()) for text in texts)


def test_pieces_that_training_text_lacks_have_a_number(tmp_path: Path) -> None:
    made = source(write_parts(tmp_path / "text", 200), tmp_path).binarized()
    pieces = set(SentencePieces(made.root.parent / "subwords" / "model").symbols())
    assert pieces <= set(made.target_dictionary.symbols)
    # The model's 300 pieces are these and its unknown one; with four special symbols, padded to a multiple of eight.
    assert len(pieces) == 299
    assert len(made.target_dictionary) == 304


def test_symbols_that_were_applied_already_are_taken_as_they_are(tmp_path: Path) -> None:
    write(tmp_path / "text", "train", [("a@@ b c", "d &amp; e@@ f")] * 8)  # type: ignore[list-item]
    write(tmp_path / "text", "valid", [("c", "d")])  # type: ignore[list-item]
    write(tmp_path / "text", "test", [("a@@ b", "d &amp; e@@ f")])  # type: ignore[list-item]
    applied = Preparation(subwords="subword_nmt", tokenizer="moses", already_applied=True)
    made = source(tmp_path / "text", tmp_path, applied).binarized()
    # Padded to a multiple of eight, the four special symbols counted.
    assert sorted(made.target_dictionary.symbols[4:11]) == ["&amp;", "a@@", "b", "c", "d", "e@@", "f"]
    assert len(made.target_dictionary) == 16
    assert made.text(made.dataset("test")[0]["target"], "de") == "d & ef"
    with pytest.raises(UserError, match="subword_file"):
        made.tokens("other text")


def test_a_file_that_has_no_merges_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "codes").write_text("#version: 0.2\na b</w>\nno merge at all\n")
    with pytest.raises(UserError, match=r"codes cannot be read as merges of subword-nmt: invalid line 3"):
        subwords("subword_nmt", tmp_path / "codes").encode("ab")


def test_settings_that_contradict_each_other() -> None:
    with pytest.raises(UserError, match="already_applied=true"):
        Preparation(subword_file=Path("codes"))
    for name, value in (
        ("num_subwords", 0),
        ("max_symbols", 4),
        ("max_words", 0),
        ("max_ratio", 0.5),
        ("max_dropped", 7),
    ):
        with pytest.raises(UserError, match=rf"preparation\.{name}={value}; "):
            Preparation(**{name: value})  # type: ignore[arg-type]
    with pytest.raises(UserError, match="source_lang=en and target_lang are the same"):
        ParallelText(Path(), "en", "en")
    with pytest.raises(
        UserError, match=r"val_share=0\.0, test_share=0\.05; allowed are shares above 0 that sum to less"
    ):
        ParallelText(Path(), "en", "de", val_share=0.0)
    with pytest.raises(UserError, match=r"source\.test_share=1\.0; allowed"):
        ParallelText(Path(), "en", "de", valid="valid", test_share=1.0)
    ParallelText(Path(), "en", "de", valid="valid", test="test", val_share=0.0, test_share=0.0)
    ParallelText(Path(), "en", "de", valid_every=5, test="test", val_share=0.0, test_share=0.0)
    for language in ("", "de/at"):
        refused = rf"target_lang='{language}' cannot name a file; give a name such as de"
        with pytest.raises(UserError, match=refused):
            ParallelText(Path(), "en", language)
        with pytest.raises(UserError, match=refused):
            FairseqFolder(Path(), "en", language)
        with pytest.raises(UserError, match=refused):
            GettextCatalogues(language)
    with pytest.raises(UserError, match="valid_every=5"):
        ParallelText(Path(), "en", "de", valid_every=5)
    with pytest.raises(UserError, match="train is empty"):
        ParallelText(Path(), "en", "de", train=[])


def test_missing_text_and_impossible_settings_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train\.en is missing: put the text there"):
        source(tmp_path, tmp_path / "made").binarized()
    text = write_parts(tmp_path / "text", 50)
    with pytest.raises(UserError, match="num_subwords=60000 cannot be learnt: Vocabulary size too high"):
        source(text, tmp_path / "made", Preparation(num_subwords=60000)).binarized()
    (text / "test.de").write_text("\n" * 40)
    with pytest.raises(UserError, match=r"40 of 40 pairs of the test part"):
        source(text, tmp_path / "refused").binarized()
    assert {file.name for file in (tmp_path / "refused").rglob("*") if file.is_file()} == {".lock", "settings.json"}
    assert not list((tmp_path / "refused").rglob("*.unfinished"))
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written to .*task\.data\.source\.output"):
        source(text, tmp_path / "file").binarized()
