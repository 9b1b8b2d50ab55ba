"""How a page of help is laid out."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
import typer

from rnntext.arguments import Range
from rnntext.cli import examples
from rnntext.cli.commands import click_command
from rnntext.cli.help_page import OUTPUT
from rnntext.cli.values import number_option

Path = Annotated[str, typer.Argument(metavar="PATH", help="A path.")]
Size = Annotated[
    int,
    number_option(
        "--size", metavar="N", within=Range(int, 1, 9), help="A size.", rich_help_panel="Model"
    ),
]
Cell = Annotated[
    str | None, typer.Option("--cell", metavar="gru|lstm", help="A cell.", rich_help_panel="Model")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Be quiet.", rich_help_panel=OUTPUT)]
Rate = Annotated[
    float,
    typer.Option("--rate", metavar="R", help="The rate of it all.", show_default="by the size"),
]
Echo = Annotated[bool, typer.Option("--echo/--no-echo", help="Say it again.")]
Secret = Annotated[str, typer.Option("--secret", hidden=True, rich_help_panel="Hidden")]
Model = Annotated[str | None, typer.Option("--model", metavar="DIR", envvar="X", help="A model.")]
Words = Annotated[list[str] | None, typer.Option("--word", metavar="W", help="A word.")]
Long = Annotated[
    str, typer.Option("--a-very-long-option", metavar="this|that|neither", help="It is long.")
]


def many(
    path: Path,
    rate: Rate = 0.5,
    quiet: Quiet = False,
    size: Size = 3,
    cell: Cell = None,
    echo: Echo = False,
    secret: Secret = "",
    model: Model = None,
    words: Words = None,
    long: Long = "that",
) -> None:
    """Do it, as the self-evident `many things at once` and --no-echo say."""


def few(size: Size = 4, quiet: Quiet = False) -> None:
    """Do little."""


def page(function: Any, columns: int, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    built = click_command(function, "words")
    return str(built.get_help(built.make_context("words", [], resilient_parsing=True)))


def test_many_options_are_in_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order in which the sections are first named, arguments first, the output last."""
    assert page(many, 80, monkeypatch) == (
        "Usage: words [OPTIONS] PATH\n"
        "\n"
        "  Do it, as the self-evident `many things at once` and --no-echo say.\n"
        "\n"
        "Arguments:\n"
        "  PATH                A path. [required]\n"
        "\n"
        "Options:\n"
        "  --rate R            The rate of it all. [default: by the size]\n"
        "  --echo / --no-echo  Say it again. [default: no-echo]\n"
        "  --model DIR         A model. [default: $X]\n"
        "  --word W            A word. [default: none]\n"
        "  --a-very-long-option this|that|neither\n"
        "                      It is long. [default: that]\n"
        "\n"
        "Model:\n"
        "  --size N            A size. [1 to 9; default: 3]\n"
        "  --cell gru|lstm     A cell. [default: none]\n"
        "\n"
        "Output and help:\n"
        "  --quiet             Be quiet.\n"
        "  --help              Show this message and exit."
    )


@pytest.mark.parametrize("columns", range(52, 81))
def test_lines_break_between_statements(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at a hyphen, in backticks or inside a range or a default."""
    found = page(many, columns, monkeypatch)
    assert "self-evident" in found
    assert "`many things at once`" in found
    assert "--no-echo" in found
    assert "[default: by the size]" in found
    assert "[1 to 9;" in found
    assert "default: 3]" in found


def test_a_few_options_are_together(monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, options = page(few, 80, monkeypatch).partition("\n\nOptions:\n")
    assert [line.split()[0] for line in options.splitlines()] == ["--size", "--quiet", "--help"]


def test_own_options_may_have_a_title_and_examples_are_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(examples, "OWN_SECTIONS", {"words": "Counting"})
    line = f"rnntext words {'x' * 90}"
    monkeypatch.setattr(examples, "EXAMPLES", {"words": (("One", line), ("Two", "a\nb"))})
    found = page(many, 80, monkeypatch)
    assert "\nCounting:\n  --rate R " in found
    assert found.endswith(f"exit.\n\nExamples:\n  # One\n  {line}\n\n  # Two\n  a\n  b")


def test_remarks_of_examples_are_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """And remain remarks, so that examples can be pasted as they stand."""
    remark = "one two three four five six seven eight nine ten eleven twelve thirteen"
    monkeypatch.setattr(examples, "EXAMPLES", {"words": ((remark, "rnntext words"),)})
    _, _, found = page(many, 60, monkeypatch).partition("\nExamples:\n")
    *remarks, line = found.splitlines()
    assert (len(remarks), line) == (2, "  rnntext words")
    assert all(part.startswith("  # ") and len(part) < 60 for part in remarks)
    assert " ".join(part.removeprefix("  # ") for part in remarks) == remark
