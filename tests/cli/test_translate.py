"""Translation on the command line: a network is trained, scored by BLEU, and translates files and standard input."""

import json
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import torch
import yaml
from commands import command, environment, failed_in_one_line, run, run_forked, succeeded

ARCH = """
num_bits: 32
encoder_embed_dim: 96
encoder_layers: 3
encoder_0_heads: 2
encoder_0_operator: lightweight_add
encoder_0_ffn: linear
encoder_0_ffn_dim: 256
encoder_1_heads: 2
encoder_1_operator: self_attention
encoder_1_ffn: linear
encoder_1_ffn_dim: 256
encoder_2_heads: 2
encoder_2_operator: self_attention+lightweight_shiftadd
encoder_2_ffn: linear
encoder_2_ffn_dim: 256
decoder_embed_dim: 96
decoder_layers: 1
decoder_0_heads: 2
decoder_0_operator: self_attention+lightweight_add
decoder_0_cross_span: 1
decoder_0_cross_heads: 2
decoder_0_ffn: linear
decoder_0_ffn_dim: 256
"""
TEXT = (
    "task=parallel_text",
    "task.data.source.root=text",
    "task.data.source.source_lang=en",
    "task.data.source.target_lang=de",
    "task.data.source.valid=valid",
    "task.data.source.test=test",
    "task.data.source.output=prepared",
    "task.data.source.preparation.subwords=none",
    "task.data.num_workers=0",
    "task.decoding.max_len_b=10",
    "logger.mode=disabled",
)
TRAINED = ("space=gettext", "arch=arch.yaml", "debug=fast", "trainer.max_epochs=1", "hydra.run.dir=trained")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with text, and a run on it in `trained`."""
    folder = tmp_path_factory.mktemp("translate")
    (folder / "text").mkdir()
    for part, count in (("train", 200), ("valid", 20), ("test", 20)):
        lines = [f"the number {number} of {part}" for number in range(count)]
        (folder / "text" / f"{part}.en").write_text("".join(f"{line}\n" for line in lines))
        (folder / "text" / f"{part}.de").write_text("".join(f"{line.replace('the', 'die')}\n" for line in lines))
    (folder / "arch.yaml").write_text(ARCH)
    done = run("train.py", *TEXT, *TRAINED, folder=folder)
    succeeded(done)
    assert "bleu " in done.stderr
    assert "tok:13a" in done.stderr
    return folder


def test_bleu_is_beside_the_loss(trained: Path) -> None:
    test = json.loads((trained / "trained" / "results.json").read_text())["test"]
    assert set(test) == {"loss", "loss_bits", "perplexity", "bleu"}
    assert 0 <= test["bleu"] <= 100


def test_a_file_and_standard_input_are_translated_line_by_line(trained: Path) -> None:
    (trained / "input.txt").write_text("the number 3\n\nof the number 7")
    succeeded(run("shiftaddnas", "translate", "run=trained", "input=input.txt", "output=output.txt", folder=trained))
    lines = (trained / "output.txt").read_text().split("\n")
    assert len(lines) == 4
    assert lines[1] == lines[3] == ""
    done = subprocess.run(
        command("shiftaddnas", "translate", "run=trained", "block=2"),
        cwd=trained, env=environment(), input="the number 3\n\nof the number 7\n", capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip
    assert succeeded(done).split("\n") == lines


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ((), "run= is missing"),
        (("run=trained", "weights=best"), "weights=best is unknown; they are raw, ema"),
        (("run=trained", "input=none.txt"), "none.txt cannot be opened"),
        (("run=trained", "input=latin.txt", "output=kept.txt", "block=1"), "latin.txt:2 is not UTF-8 (byte 4 "),
        (("run=trained", "input=long.txt", "output=kept.txt", "block=2"), "line 3 ('the the "),
        (("run=trained", "input=long.txt", "output=text"), "text cannot be opened: Is a directory"),
    ],
)
def test_mistakes_are_one_line(trained: Path, options: tuple[str, ...], what: str) -> None:
    (trained / "latin.txt").write_bytes(b"\nnum\xf6ber\n")
    (trained / "long.txt").write_text("\n\n" + "the " * 1024)
    (trained / "kept.txt").write_text("what was there\n")
    assert what in failed_in_one_line(run_forked("shiftaddnas", "translate", *options, folder=trained))

    # A translation that fails has written nothing.
    assert (trained / "kept.txt").read_text() == "what was there\n"
    assert not list(trained.glob(".kept.txt.*"))


def test_a_file_may_be_its_own_translations_place(trained: Path) -> None:
    (trained / "own.txt").write_text("the number 3\n\n")
    succeeded(run("shiftaddnas", "translate", "run=trained", "input=own.txt", "output=own.txt", folder=trained))
    assert (trained / "own.txt").read_text().split("\n")[1:] == ["", ""]


def test_a_run_translates_wherever_it_lies(trained: Path, tmp_path: Path) -> None:
    """Neither the text, whose folder the run knows relative to its own, nor what was prepared is there."""
    shutil.copytree(trained / "trained", tmp_path / "run")
    (tmp_path / "input.txt").write_text("the number 3\nof the number 7\n")
    for folder, name in ((trained, "trained"), (tmp_path, "run")):
        options = (f"run={name}", f"input={tmp_path}/input.txt", f"output={tmp_path}/{name}.txt")
        succeeded(run_forked("shiftaddnas", "translate", *options, folder=folder))
    assert (tmp_path / "run.txt").read_text() == (tmp_path / "trained.txt").read_text()


def test_a_reader_that_goes_away_ends_a_translation_quietly(trained: Path) -> None:
    (trained / "many.txt").write_text("the number 3\n" * 2000)
    translation = shlex.join(command("shiftaddnas", "translate", "run=trained", "input=many.txt", "block=1"))
    done = subprocess.run(
        ["bash", "-c", f"{translation} | head -1; exit ${{PIPESTATUS[0]}}"],
        cwd=trained, env=environment(), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert len(done.stdout.splitlines()) == 1
    assert "Error" not in done.stderr
    assert done.returncode == 128 + signal.SIGPIPE


def test_a_run_does_not_go_on_with_other_text(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    (tmp_path / "trained" / "results.json").unlink()
    config = yaml.safe_load((tmp_path / "trained" / "config.yaml").read_text())
    symbols = torch.load(tmp_path / "trained" / "subnet.ckpt", weights_only=True)["symbols"]
    content = {"state_dict": {"supernet.weight": torch.ones(1)}, "config": config, "symbols": symbols}
    torch.save(content, tmp_path / "supernet.ckpt")
    text = tmp_path / "text" / "train.de"
    text.write_text(text.read_text().replace("number", "Zahl"))
    other = ("space=gettext", "ckpt=supernet.ckpt", "debug=fast", "hydra.run.dir=other")
    for options, checkpoint in ((TRAINED, "trained/subnet.ckpt"), (other, "supernet.ckpt")):
        message = failed_in_one_line(run_forked("train.py", *TEXT, *options, folder=tmp_path))
        assert f"{checkpoint} was trained with other symbols than task=parallel_text has now" in message
        assert "restore the text, or train anew, with fresh=true" in message


def test_export_says_what_to_do_with_a_translation_network(trained: Path) -> None:
    message = failed_in_one_line(run_forked("shiftaddnas", "export", "run=trained", folder=trained))
    assert "run=trained: what is exported is one computation of fixed sizes" in message
    assert "shiftaddnas translate" in message


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ((*TEXT, "space=digits"), "space=digits is not a space of transformers; give task=parallel_text one of those"),
        (("space=gettext",), "space=gettext is not a space of images; give task=digits one of those"),
    ],
)
def test_a_space_of_the_other_kind_is_one_line(trained: Path, options: tuple[str, ...], what: str) -> None:
    assert what in failed_in_one_line(run_forked("train.py", *options, "debug=fast", folder=trained))
