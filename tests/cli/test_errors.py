"""Errors: one line on stderr, the right exit status, and nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import CORPORA, TINY, Shell

resource = pytest.importorskip("resource")

Fails = Callable[..., None]

ONE = ("--threads", "1")
REVIEWS = CORPORA / "reviews.csv"
GOOD = "".join(f"text {n},{'ab'[n % 2]}\n" for n in range(20))
LATIN_1 = "text,label\nx,a\ncafé,a\n".encode("latin-1")
BINARY = bytes(range(256)) * 8


@pytest.fixture
def train(run: Shell, tmp_path: Path) -> Fails:
    """Runs a training that must fail and leave no file."""

    def fails(status: int, *args: object, parts: tuple[str, ...] = ()) -> None:
        before = sorted(os.listdir(tmp_path))
        found = run("train", *args, "-o", tmp_path / "new", "--threads", "1", "-q")
        found.failed(status, *parts)
        assert found.out == b""
        assert sorted(os.listdir(tmp_path)) == before

    return fails


# Name: task, file name, content of the file, parts of the message
DATA: dict[str, tuple[str, str, bytes | str, tuple[str, ...]]] = {
    "empty lm": ("lm", "a.txt", "", ("a.txt is empty",)),
    "empty classify": ("classify", "a.csv", "", ("a.csv is empty",)),
    "empty tag": ("tag", "a.conllu", "", ("a.conllu is empty",)),
    "blank": ("lm", "a.txt", "\n \n" * 30, ("a.txt",)),
    "one line lm": ("lm", "a.txt", "a line\n", ("a.txt", "--valid")),
    "one line classify": ("classify", "a.csv", "text,label\nx,a\n", ("a.csv", "only the label")),
    "header": ("classify", "a.csv", "text,label\n", ("a.csv has no examples",)),
    "one line tag": ("tag", "a.conll", "a X\nb Y\n", ("a.conll", "--valid")),
    "binary lm": ("lm", "a.txt", BINARY, ("a.txt looks like a binary file",)),
    "binary classify": ("classify", "a.csv", BINARY, ("a.csv looks like a binary file",)),
    "binary tag": ("tag", "a.conllu", BINARY, ("a.conllu looks like a binary file",)),
    "latin-1 lm": ("lm", "a.txt", LATIN_1, ("a.txt, line 3, byte 18 (0xE9)", "--encoding")),
    "latin-1 classify": ("classify", "a.csv", LATIN_1, ("a.csv, line 3, byte 18 (0xE9)",)),
    "no gzip": ("lm", "a.txt.gz", "plain text\n", ("a.txt.gz is not gzip",)),
    "no label": ("classify", "a.csv", f"text,label\n{GOOD}x,\n", ("a.csv, line 22 has no label",)),
    "no label, fastText": (
        "classify",
        "a.txt",
        "__label__a x\nno label\n",
        ("a.txt, line 2", "__label__"),
    ),
    "no tag": ("tag", "a.conll", "a X\nb\n", ("a.conll, line 2",)),
    "no column": (
        "classify",
        "a.csv",
        f"review,stars\n{GOOD}",
        ("a.csv has no column 'text'", "review, stars", "--text-column"),
    ),
    "seen once": (
        "classify",
        "a.csv",
        f"text,label\n{GOOD}x,rare\n",
        ("a.csv, line 22: the label 'rare'",),
    ),
    "a list of labels": (
        "classify",
        "a.jsonl",
        '{"text": "x", "label": ["a", "b"]}\n',
        ("a.jsonl, line 1", "--multi-label"),
    ),
    "no JSON": ("classify", "a.jsonl", '{"text": "x", "label": "a"}\n{\n', ("line 2 is not JSON",)),
    "an open quote": ("classify", "a.csv", 'text,label\n"x,a\n', ("a.csv, line 2",)),
    "too many fields": ("classify", "a.tsv", "text\tlabel\nx\ty\tz\n", ("a.tsv, line 2",)),
}  # fmt: skip


@pytest.mark.parametrize("name", DATA)
def test_data(name: str, train: Fails, tmp_path: Path) -> None:
    task, file, content, parts = DATA[name]
    raw = content if isinstance(content, bytes) else content.encode()
    (tmp_path / file).write_bytes(raw)
    train(1, task, tmp_path / file, parts=parts)


def test_missing_files(run: Shell, train: Fails, classifier: Path, tmp_path: Path) -> None:
    missing, no_file = tmp_path / "missing.csv", "cannot be read: No such file or directory"
    for task in ("lm", "classify", "tag"):
        train(1, task, missing, parts=(f"missing.csv {no_file}",))
    train(1, "classify", REVIEWS, "--valid", missing, parts=("missing.csv", "cannot be read"))
    train(1, "tag", CORPORA, parts=("cannot be read", "name the files in it"))
    run("classify", "-m", classifier, missing).failed(1, f"missing.csv {no_file}")
    run("classify", "-m", classifier, CORPORA).failed(1, "name the files in it")
    run("evaluate", "-m", classifier, missing).failed(1, f"missing.csv {no_file}")
    run("classify", "-m", tmp_path / "no", "--text", "x").failed(1, "no does not exist")
    run("classify", "-m", REVIEWS, "--text", "x").failed(1, "reviews.csv is not a directory")
    run("info", CORPORA).failed(1, "has no config.json")


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--epochs", "1", "--steps", "1"], ("--epochs and --steps",)),
        (["--minutes", "1", "--steps", "1"], ("--steps and --minutes",)),
        (["--device", "abacus"], ("--device", "auto, cpu, cuda, mps")),
        (["--preset", "huge"], ("--preset", "tiny, small, medium, large")),
        (["--cell", "cnn"], ("--cell", "rnn, gru, lstm")),
        (["--tokenizer", "x"], ("--tokenizer", "bpe, word, char, byte")),
        (["--format", "xml"], ("--format xml", "csv")),
        (["--format", "conllu"], ("--format conllu does not serve classify",)),
        (["--steps", "0"], ("--steps",)),
        (["--steps", "x"], ("--steps", "'x'")),
        (["--lr", "nan"], ("--lr",)),
        (["--dropout", "1"], ("--dropout",)),
        (["--vocab-size", "5"], ("--vocab-size",)),
        (["--bptt", "9"], ("--bptt is for train lm",)),
        (["--label-separator", "|"], ("--label-separator needs --multi-label",)),
        (["--encoding", "klingon"], ("--encoding klingon",)),
        (["--encoding-errors", "ignore"], ("--encoding-errors",)),
        (["--config", "missing.json"], ("--config missing.json",)),
        (["--config", str(REVIEWS)], ("not a checkpoint's config.json",)),
        (["--no-such"], ("No such option: --no-such", "--help")),
    ],
)
def test_options(options: list[str], parts: tuple[str, ...], train: Fails) -> None:
    train(2, "classify", REVIEWS, *options, parts=parts)


def test_a_device_that_this_machine_does_not_have(train: Fails) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has one")
    train(2, "classify", REVIEWS, "--device", "cuda", parts=("--device cuda",))


def test_init_from_an_unsuitable_model(
    run: Shell,
    train: Fails,
    classifier: Path,
    tmp_path: Path,
) -> None:
    train(1, "classify", REVIEWS, "--init", tmp_path / "no", parts=("no does not exist",))
    stories = CORPORA / "stories.txt"
    train(2, "lm", stories, "--init", classifier, parts=("--init", "both directions"))
    train(2, "tag", stories, "--init", classifier, "--cell", "gru", parts=("--cell",))


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (["classify", "--text", "x"], ("-m DIR", "RNNTEXT_MODEL")),
        (["tag", "--text", "x"], ("-m DIR", "RNNTEXT_MODEL")),
        (["generate", "x"], ("-m DIR", "RNNTEXT_MODEL")),
        (["evaluate", str(REVIEWS)], ("-m DIR", "RNNTEXT_MODEL")),
        (["info"], ("DIR", "--help")),
        (["evaluate"], ("DATA", "--help")),
        (["train"], ("lm|classify|tag", "--help")),
        (["train", "lm", "-o", "x"], ("data",)),
        (["train", "lm", str(REVIEWS)], ("-o DIR",)),
        (["train", "translate", str(REVIEWS), "-o", "x"], ("lm, classify, tag", "'translate'")),
        (["translate"], ("No such command 'translate'", "--help")),
        (["classify", "-m", "x", "--text", "x", "file"], ("--text",)),
        (["classify", "-m", "x", "--record", "word", "file"], ("--record word",)),
        (["classify", "-m", "x", "--threshold", "2", "file"], ("--threshold",)),
        (["classify", "-m", "x", "-k", "0", "file"], ("--top-k", "from 1 to")),
        (["classify", "-m", "x", "--threads", "0", "file"], ("--threads", "from 1 to")),
        (["tag", "-m", "x", "--record", "file", "--text-column", "a", "f"], ("--text-column",)),
        (["generate", "-m", "x", "--temperature", "-1", "a"], ("--temperature",)),
        (["generate", "-m", "x", "--top-p", "0", "a"], ("--top-p",)),
        (["generate", "-m", "x", "--length", "-1", "a"], ("--length",)),
        (["generate", "-m", "x", "--stop", "", "a"], ("--stop",)),
        (["generate", "-m", "x", "--record", "file", "a"], ("--record file",)),
        (["generate", "-m", "x", "--num-samples", "0", "a"], ("--num-samples",)),
    ],
)
def test_command_lines(args: list[str], parts: tuple[str, ...], run: Shell, tmp_path: Path) -> None:
    found = run(*args, cwd=tmp_path).failed(2, *parts)
    assert found.out == b""
    assert os.listdir(tmp_path) == []


def test_no_command_shows_the_help(run: Shell) -> None:
    found = run()
    assert (found.status, found.out) == (2, b"")
    assert "Usage: rnntext" in found.err


def test_the_model_s_name_in_the_environment(run: Shell, classifier: Path, lm: Path) -> None:
    env = {"RNNTEXT_MODEL": str(classifier)}
    named = run("classify", "-m", classifier, "--text", "x").done()
    assert run("classify", "--text", "x", env=env).done().out == named.out
    # -m has precedence over the environment.
    other = {"RNNTEXT_MODEL": str(lm)}
    assert run("classify", "-m", classifier, "--text", "x", env=other).done().out == named.out
    assert run("evaluate", REVIEWS, env=env).done().out


def test_a_model_of_another_task(run: Shell, lm: Path, classifier: Path, tagger: Path) -> None:
    run("classify", "-m", lm, "--text", "x").failed(1, "language model", "classifier")
    run("generate", "-m", tagger, "x").failed(1, "tagger", "language model")
    run("tag", "-m", classifier, "--text", "x").failed(1, "classifier", "tagger")


# Damaged checkpoints

NEEDED = ["model.onnx", "ngrams.safetensors", "tokenizer.json"]  # to run a classifier
RECORDS = ["README.md", "evaluation.json", "metrics.jsonl"]
DAMAGE = ["removed", "cut short", "one bit", "empty", "a directory"]


def damage_file(path: Path, damage: str) -> None:
    data = bytearray(path.read_bytes())
    path.unlink()
    if damage == "cut short":
        path.write_bytes(data[: len(data) * 2 // 3])
    elif damage == "one bit":
        # There is no digest of config.json itself: damage its first brace.
        data[0 if path.name == "config.json" else len(data) // 2] ^= 4
        path.write_bytes(data)
    elif damage == "empty":
        path.touch()
    elif damage == "a directory":
        path.mkdir()


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", [*NEEDED, "config.json"])
def test_a_damaged_file(
    name: str, damage: str, run: Shell, classifier: Path, tmp_path: Path
) -> None:
    shutil.copytree(classifier, tmp_path / "m")
    damage_file(tmp_path / "m" / name, damage)
    command = ["info"] if damage == "one bit" else ["classify", "--text", "x", "-m"]
    assert run(*command, tmp_path / "m").failed(1, name).out == b""


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", [*RECORDS, "model.safetensors"])
def test_damage_that_does_not_stop_a_model(
    name: str, damage: str, run: Shell, classifier: Path, tmp_path: Path
) -> None:
    expected = run("classify", "--text", "x", "-m", classifier).done().out
    shutil.copytree(classifier, tmp_path / "m")
    damage_file(tmp_path / "m" / name, damage)
    assert run("classify", "--text", "x", "-m", tmp_path / "m").done().out == expected
    found = run("info", tmp_path / "m")
    if name in RECORDS:
        found.done()
    else:
        found.failed(1, name)


def test_a_newer_format(run: Shell, tagger: Path, tmp_path: Path) -> None:
    shutil.copytree(tagger, tmp_path / "m")
    path = tmp_path / "m/config.json"
    config = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**config, "format_version": config["format_version"] + 1}), "utf-8")
    run("tag", "-m", tmp_path / "m", "--text", "x").failed(1, "format version", "upgrade rnntext")


def test_files_of_two_models(run: Shell, classifier: Path, tagger: Path, tmp_path: Path) -> None:
    shutil.copytree(classifier, tmp_path / "m")
    shutil.copy(tagger / "model.onnx", tmp_path / "m")
    run("classify", "-m", tmp_path / "m", "--text", "x").failed(1, "model.onnx")


def test_a_disk_that_fills_while_saving(run: Shell, classifier: Path, tmp_path: Path) -> None:
    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))

    shutil.copytree(classifier, tmp_path / "m")
    before = {path.name: path.read_bytes() for path in (tmp_path / "m").iterdir()}
    args = ("train", "classify", REVIEWS, *TINY, 2, "-q", "-o", tmp_path / "m", "--force")
    found = run.fresh(*args, preexec_fn=limit)
    found.failed(1, f"cannot write {tmp_path / 'm'}: File too large")
    assert found.out == b""
    assert {path.name: path.read_bytes() for path in (tmp_path / "m").iterdir()} == before


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is full")
def test_results_that_cannot_be_printed_say_where_the_model_is(run: Shell, tmp_path: Path) -> None:
    args = ("train", "tag", CORPORA / "tagged.conllu", *TINY, 2, "-q", "-o", tmp_path / "m")
    run(*args, out="/dev/full").failed(
        1, f"No space left on device; the model is saved in {tmp_path / 'm'}"
    )
    assert (tmp_path / "m" / "model.onnx").exists()
    dry = run(*args, "--dry-run", out="/dev/full").failed(1, "No space left on device")
    assert "saved" not in dry.err
