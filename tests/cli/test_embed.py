"""`rnntext embed`: a vector for each record, in a pipe, as JSON and for TensorBoard's projector."""

from __future__ import annotations

import os
import select
import subprocess
from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

import rnntext
from tests.cli.test_streams import on_terminal, plain
from tests.conftest import RNNTEXT, Shell, environment

ONE = ("--threads", "1")
TEXTS = ["The heron counted the boats.", "", "naïve café 你好 🙂", "a\tb\u2028c", "  ", "[bold] x"]
FILES = ["metadata.tsv", "projector_config.pbtxt", "vectors.tsv"]


def lines(texts: list[str]) -> bytes:
    return "".join(f"{text}\n" for text in texts).encode()


@pytest.mark.parametrize("task", ["lm", "classifier", "tagger"])
def test_one_line_a_record(task: str, run: Shell, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(task)
    rows = run("embed", "-m", model, *ONE, stdin=lines(TEXTS)).done().lines
    objects = run("embed", "-m", model, *ONE, "--json", stdin=lines(TEXTS)).done().objects
    vectors = rnntext.load(model, threads=1).embed(TEXTS)
    assert [list(found) for found in objects] == [["text", "vector"]] * len(TEXTS)
    assert [found["text"] for found in objects] == TEXTS
    assert len(rows) == len(TEXTS)
    for row, found, vector in zip(rows, objects, vectors, strict=True):
        assert "e" not in row
        assert [float(number) for number in row.split("\t")] == pytest.approx(found["vector"])
        assert found["vector"] == pytest.approx(vector.tolist(), abs=2e-6)


def test_many_lines_stay_in_order(run: Shell, classifier: Path) -> None:
    texts = [f"{'word ' * (n % 50)}{n}" for n in range(5000)]
    rows = run("embed", "-m", classifier, "--threads", 2, stdin=lines(texts)).done().lines
    assert len(rows) == len(texts)
    some = [0, 1, 49, 2500, 4999]
    alone = [f"--text={texts[index]}" for index in some]
    assert run("embed", "-m", classifier, *ONE, *alone).done().lines == [rows[i] for i in some]


def test_pools(run: Shell, classifier: Path) -> None:
    model = rnntext.load(classifier, threads=1)
    for pool in ("mean", "max", "last"):
        command = ("embed", "-m", classifier, *ONE, "--pool", pool, "--json", "--text", TEXTS[0])
        (found,) = run(*command).done().objects
        assert found["vector"] == pytest.approx(model.embed(TEXTS[:1], pool=pool)[0], abs=2e-6)
    run("embed", "-m", classifier, "--pool", "sum", "--text", "x").failed(2, "mean, max, last")


def test_rows_of_a_table(run: Shell, lm: Path, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text('id,body,vector\n7,"one\ntwo",old\n', "utf-8")
    command = ("embed", "-m", lm, *ONE, "--json", "--text-column", "body", table)
    (found,) = run(*command).done().objects
    assert (found["id"], found["body"], found["text"]) == ("7", "one\ntwo", "one\ntwo")
    assert found["vector"] != "old"


def test_one_line_is_answered_while_the_pipe_is_open(lm: Path) -> None:
    with subprocess.Popen(
        [*RNNTEXT, "embed", "-m", str(lm), *ONE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"one line\n")
        process.stdin.flush()
        assert select.select([process.stdout], [], [], 60)[0]
        assert os.read(process.stdout.fileno(), 1 << 20).endswith(b"\n")
        process.stdin.close()
        assert process.wait(60) == 0


def test_a_terminal_shows_the_first_numbers(run: Shell, lm: Path) -> None:
    found, shown = on_terminal(run, "embed", "-m", lm, *ONE, "--text", "[per] x" * 40)
    assert (found.status, found.err) == (0, "")
    (line,) = plain(shown)[:-1].splitlines()
    assert "numbers  [per] x" in line
    assert line.endswith("…")


# For TensorBoard


def test_projector_files(run: Shell, lm: Path, tmp_path: Path) -> None:
    directory = tmp_path / "new" / "board"
    found = run("embed", "-m", lm, *ONE, "--tensorboard", directory, stdin=lines(TEXTS)).done()
    assert found.out == b""
    assert sorted(os.listdir(directory)) == FILES
    rows = run("embed", "-m", lm, *ONE, stdin=lines(TEXTS)).done().text
    assert (directory / "vectors.tsv").read_text("utf-8") == rows
    labels = (directory / "metadata.tsv").read_text("utf-8").split("\n")
    # Blank lines are passed over there: the label of an empty text is not blank.
    assert labels == [TEXTS[0], "(empty)", TEXTS[2], "a b c", "(empty)", TEXTS[5], ""]
    config = (directory / "projector_config.pbtxt").read_text("utf-8")
    (embedding,) = text_format.Parse(config, ProjectorConfig()).embeddings
    assert (embedding.tensor_path, embedding.metadata_path) == ("vectors.tsv", "metadata.tsv")


def test_projector_files_are_written_whole_or_not(run: Shell, lm: Path, tmp_path: Path) -> None:
    directory = tmp_path / "new" / "board"
    command = ("embed", "-m", lm, *ONE, "--tensorboard", directory)
    run(*command, stdin=b"good\n\xff\n").failed(1, "0xFF")
    run(*command, stdin=b"").failed(1, "no record")
    assert os.listdir(tmp_path) == []
    run(*command, "--text", "first").done()
    before = {name: (directory / name).read_bytes() for name in FILES}
    run(*command, stdin=b"good\n\xff\n").failed(1, "0xFF")
    assert {name: (directory / name).read_bytes() for name in os.listdir(directory)} == before
    run(*command, "--text", "x", "--json").failed(2, "leave --json out")
    (tmp_path / "file").write_text("x", "utf-8")
    blocked = ("embed", "-m", lm, *ONE, "--tensorboard", tmp_path / "file" / "board")
    run(*blocked, "--text", "x").failed(1, "--tensorboard")


# What cannot be


def test_errors(run: Shell, lm: Path, tmp_path: Path) -> None:
    run("embed", "--text", "x").failed(2, "-m DIR")
    run("embed", "-m", tmp_path / "none", "--text", "x").failed(1, "none does not exist")
    found = run("embed", "-m", lm, *ONE, stdin=b"good\n\xff\n")
    found.failed(1, "0xFF")
    assert len(found.lines) == 1  # the record before it
