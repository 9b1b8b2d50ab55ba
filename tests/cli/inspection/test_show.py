"""Where a view goes: to a terminal, into a pipe, as JSON, or into a file."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len

from rnntext.cli.inspection.common import show
from rnntext.errors import UsageError
from rnntext.plotting.page import Heatmap, Page, View
from rnntext.text.controls import ONE_LINE
from tests.cli.screens import pipe, screen, written
from tests.cli.test_streams import on_terminal, plain
from tests.conftest import Outcome, Shell

PANEL = Heatmap("states", ("3",), ("storm",), np.array([[0.5]]), -1.0, 1.0)
VIEW = View(
    Page("a page", [PANEL]),
    [{"token": "storm", "value": 0.5}, {"token": "你好", "value": 0.25}],
    [("storm", 3, 0.5), ("a\tb", 4, 0.25)],
)
ROWS = "storm\t3\t0.5\na b\t4\t0.25\n"
JSON = '{"token": "storm", "value": 0.5}\n{"token": "你好", "value": 0.25}\n'


def test_a_pipe_has_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = pipe(monkeypatch)
    show(lambda: VIEW, None, False)
    assert written(reader) == ROWS


@pytest.mark.parametrize("name", [None, "page.html"])
def test_json_is_printed_beside_a_file_too(
    name: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = pipe(monkeypatch)
    out = tmp_path / name if name else None
    show(lambda: VIEW, out, True)
    assert written(reader) == JSON
    assert [path.name for path in tmp_path.iterdir()] == ([name] if name else [])


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("a.png", b"\x89PNG"),
        ("a.SVG", b"<?xml"),
        ("a.html", b"<!DOCTYPE html>"),
    ],
)
def test_a_file_takes_the_place_of_what_is_printed(
    name: str, start: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = pipe(monkeypatch)
    (tmp_path / name).write_bytes(b"old")
    show(lambda: VIEW, tmp_path / name, False)
    assert written(reader) == ""
    assert (tmp_path / name).read_bytes().startswith(start)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.pdf", r"-o \S*a\.pdf: the file's name ends in \.png, \.svg or \.html"),
        ("png", r"the file's name ends in"),
        ("folder.html", r"folder\.html is a directory"),
        ("folder.png", r"folder\.png is a directory"),
    ],
)
def test_a_name_is_refused_before_the_view_is_made(name: str, message: str, tmp_path: Path) -> None:
    for folder in ("folder.html", "folder.png"):
        (tmp_path / folder).mkdir()

    def make() -> View:
        raise AssertionError("it was made")

    with pytest.raises(UsageError, match=message):
        show(make, tmp_path / name, False)


def test_a_page_needs_no_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    reader = pipe(monkeypatch)
    show(lambda: VIEW, tmp_path / "a.html", False)
    assert written(reader) == ""
    with pytest.raises(UsageError, match=r"needs the package matplotlib.*pip install"):
        show(lambda: VIEW, tmp_path / "a.svg", False)
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]


def shown(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    """What a terminal gets."""
    screen(monkeypatch)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    texts: list[str] = []
    monkeypatch.setattr("rnntext.cli.output.write", texts.append)
    show(lambda: VIEW, None, False)
    return "".join(texts)


def test_a_terminal_has_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch)
    assert "48;5;209" in text
    lines = plain(text.encode()).split("\n")
    assert [line.rstrip() for line in lines[:5]] == ["a page", "", "states", "  storm", "3"]


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_without_colours(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch, **variables)
    assert "\x1b" not in text
    assert "3 +::::" in text


# The whole command


def gates(run: Shell, model: Path, *args: object, cwd: Path) -> Outcome:
    text = "The storm came\x1b[31m over the <b>hill</b>. naïve café 你好 🙂"
    return run("inspect", "gates", "-m", model, "--text", text, *args, cwd=cwd)


def test_a_command_writes_rows_objects_and_files(run: Shell, lm: Path, tmp_path: Path) -> None:
    rows = [line.split("\t") for line in gates(run, lm, cwd=tmp_path).done().lines]
    objects = gates(run, lm, "--json", cwd=tmp_path).done().objects
    assert [row[4] for row in rows] == [each["token"].translate(ONE_LINE) for each in objects]
    assert any("\x1b" in each["token"] for each in objects)
    for name in ("a.html", "b.svg", "c.png"):
        assert gates(run, lm, "-o", name, cwd=tmp_path).done().out == b""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "b.svg", "c.png"]
    page = (tmp_path / "a.html").read_text("utf-8")
    assert "\x1b" not in page
    assert "<b>" not in page
    cells = re.findall(r'<td title="gate (\w+), token [^"]*: ([\d.]+)"', page)
    names = list(objects[0]["gates"])
    wanted = [(name, each["gates"][name]) for name in names for each in objects]
    assert [name for name, _ in cells] == [name for name, _ in wanted]
    values = [value for _, value in wanted]
    assert [float(value) for _, value in cells] == pytest.approx(values, abs=2e-6)
    gates(run, lm, "-o", "a.jpg", cwd=tmp_path).failed(2, "a.jpg", ".png, .svg or .html")
    gates(run, lm, "-o", "none/a.html", cwd=tmp_path).failed(1, "cannot write none/a.html")


@pytest.mark.parametrize("columns", [80, 160])
def test_a_command_on_a_terminal(columns: int, run: Shell, lm: Path) -> None:
    args = ("inspect", "states", "-m", lm, "--text", "The storm came over the hill. 你好 🙂")
    found, shown = on_terminal(run, *args, size=(50, columns))
    found.done()
    assert b"48;5;" in shown
    lines = plain(shown).split("\n")
    assert "hidden state" in lines[0]
    assert max(map(cell_len, lines)) <= columns
    assert len([line for line in lines if re.match(r" *\d+  ", line)]) >= 32
