"""What `export` asks for and prints of what was written; the conversion is a fake."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import rnntext.api
import rnntext.cli.export
from rnntext.api import Exported
from rnntext.cli.commands import click_command
from rnntext.errors import UsageError
from tests.cli.screens import pipe, screen, written


class Export:
    """Stands for `rnntext.export`."""

    def __init__(self, result: Exported) -> None:
        self.result = result
        self.asked: list[Any] = []

    def __call__(self, directory: Path, out: Path | None, **options: Any) -> Exported:
        self.asked.append((directory, out, options))
        return self.result


@pytest.fixture
def export(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Export:
    fake = Export(Exported(tmp_path, "int8", 1234))
    monkeypatch.setattr(rnntext.api, "export", fake)
    monkeypatch.setenv("RAYON_NUM_THREADS", "1")  # the command sets it
    return fake


def command(monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    """Run the command and return what it wrote into a pipe."""
    reader = pipe(monkeypatch)
    built = click_command(rnntext.cli.export.command, "export")
    built(list(words), prog_name="export", standalone_mode=False)
    return written(reader)


@pytest.mark.parametrize(
    ("words", "out", "precision", "valid", "threads"),
    [
        (["-o", "a.onnx"], Path("a.onnx"), "float32", (), None),
        (["-o", "a.onnx", "--float32"], Path("a.onnx"), "float32", (), None),
        (["-o", "a.onnx", "--int8", "--threads", "1"], Path("a.onnx"), "int8", (), 1),
        (["--int8"], None, "int8", (), None),
        (["--float32"], None, "float32", (), None),
        (["--int8", "--valid", "a", "--valid", "b"], None, "int8", ["a", "b"], None),
    ],
)
def test_what_is_asked_for(
    words: list[str],
    out: Path | None,
    precision: str,
    valid: object,
    threads: int | None,
    export: Export,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command(monkeypatch, "dir", *words)
    wanted = {"precision": precision, "slim": False, "valid": valid, "threads": threads}
    assert export.asked == [(Path("dir"), out, wanted)]


def test_there_must_be_something_to_do(export: Export) -> None:
    with pytest.raises(UsageError) as error:
        click_command(rnntext.cli.export.command, "export")(["dir"], standalone_mode=False)
    assert str(error.value) == (
        "say what to do: -o FILE.onnx writes one file, --int8 changes DIR itself"
    )
    assert export.asked == []


def test_a_file(export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.onnx"
    file.write_bytes(b"x")
    export.result = Exported(file, "float32", 99)
    out = command(monkeypatch, "dir", "-o", str(file))
    assert out == f"file\t{file}\nprecision\tfloat32\nbytes\t99\n"
    out = command(monkeypatch, "dir", "-o", str(file), "--json")
    assert json.loads(out) == {"file": str(file), "precision": "float32", "bytes": 99}


def test_a_directory_that_was_measured(
    export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command(monkeypatch, "dir", "--int8") == (
        f"model\t{tmp_path}\nprecision\tint8\nbytes\t1234\n"
    )
    export.result = replace(
        export.result,
        temperature=1.25,
        metrics={"accuracy": 0.5, "precision": 0.625, "per_label": {}},
        metrics_before={"accuracy": 0.75, "bits": None, "per_label": {}},
    )
    # A tagger's precision is not the precision of its weights.
    assert command(monkeypatch, "dir", "--int8") == (
        f"model\t{tmp_path}\n"
        "precision\tint8\n"
        "bytes\t1234\n"
        "temperature\t1.25\n"
        "before_accuracy\t0.75\n"
        "before_bits\t\n"
        "accuracy\t0.5\n"
        "metrics.precision\t0.625\n"
    )
    found = json.loads(command(monkeypatch, "dir", "--int8", "--json"))
    assert (found["before_bits"], found["metrics.precision"]) == (None, 0.625)


@pytest.mark.parametrize(
    ("words", "title"), [(["-o", "a.onnx"], "a.onnx"), (["--int8"], "some dir")]
)
def test_a_terminal_names_what_was_written(
    words: list[str], title: str, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = screen(monkeypatch, columns=200)
    click_command(rnntext.cli.export.command, "export")(["some dir", *words], standalone_mode=False)
    lines = terminal.shown.splitlines()
    assert lines[0].strip() == title
    assert [line.split()[1:4:2] for line in lines[3:5]] == [
        ["precision", "int8"],
        ["bytes", "1234"],
    ]
