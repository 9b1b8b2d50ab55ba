"""Pages as a terminal shows them."""

from __future__ import annotations

import re

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from rnntext.cli.page import render
from rnntext.plotting.page import (
    ColouredText,
    Heatmap,
    Line,
    Lines,
    Note,
    Page,
    Panel,
    Piece,
    Table,
)
from tests.plotting.pages import EMPTY_PANELS, NAUGHTY_PAGE, heatmap

NAN = float("nan")


def printed(page: Page, width: int, colours: bool = False) -> str:
    """What a console of that width prints, with the codes of 256 colours or without any."""
    console = Console(
        width=width,
        force_terminal=True,
        color_system="256" if colours else None,
        legacy_windows=False,
        highlight=False,
    )
    with console.capture() as capture:
        for part in render(page, width, colours):
            console.print(part, width=width, soft_wrap=False)
    return capture.get()


def lines_of(panel: Panel, width: int = 60) -> list[str]:
    """The lines of a panel without colours."""
    title, empty, *lines = printed(Page("page", [panel]), width).split("\n")
    assert (title, empty) == ("page", "")
    return [line.rstrip() for line in lines]


SHARES = Heatmap(
    "gates of “storm”",
    ("reset", "你好"),
    ("the", "你好", "e\u0301t", "x"),
    np.array([[0.0, 0.25, 0.5, 1.0], [NAN, 1.0, 0.0, 0.78]]),
    0.0,
    1.0,
    "gate",
    "token",
)


def test_a_heatmap_of_shares_side_by_side() -> None:
    assert lines_of(SHARES) == [
        "gates of “storm”",
        "      the 你好 e\u0301t x",
        "reset     :::: == @@",
        " 你好 /// @@@@    ##",
        "",
        "      0   ..::--==++**##%%@@ 1   // no value",
        "      each row is one gate, each column is one token",
        "",
    ]


def test_a_heatmap_with_labels_downwards_in_blocks() -> None:
    assert lines_of(SHARES, 11)[:14] == [
        "gates of",
        "“storm”",
        "columns 1",
        "to 3 of 4",
        "     t",
        "     h 你e\u0301",
        "     e 好t",
        "res…   ::==",
        "你好 //@@",
        "",
        "columns 4",
        "to 4 of 4",
        "     x",
        "res… @@",
    ]


def test_signs_without_colours() -> None:
    panel = Heatmap("states", ("7",), "abcdef", np.array([[-2, -1, 0, 0.5, 1.5, 2]]), -2.0, 2.0)
    assert lines_of(panel) == [
        "states",
        "  a b c d e f",
        "7 -#-:  +.+*+#",
        "",
        "  -2 -# -* -: -.     0    +. +: +* +#  2",
        "",
    ]


def backgrounds(text: str) -> list[str]:
    """The colours behind the characters of a line, one a character."""
    found, now = [], ""
    for code, char in re.findall(r"\x1b\[([\d;]*)m|([^\x1b])", text):
        if char:
            found.append(now)
        elif match := re.search(r"48;5;(\d+)|(?:^|;)(4[0-7]|10[0-7])(?:;|$)", code):
            now = match[1] or match[2]
        else:
            now = ""
    return found


def test_a_heatmap_in_colours() -> None:
    lines = printed(Page("", [SHARES]), 22, colours=True).split("\n")
    top, below = backgrounds(lines[4])[6:], backgrounds(lines[5])[4:]
    # Dark blue, blue-green, green and yellow, each as wide as its label.
    low, high = top[0], top[-1]
    assert top == [low] * 4 + ["24"] * 5 + ["36"] * 3 + [high] * 2
    assert (low, high) == ("17", "228")
    assert below[:4] == [""] * 4
    assert below[4:9] == [high] * 5
    assert "/// " in lines[5]
    # A heatmap with signs has the same colour for 0 wherever it is.
    panel = Heatmap("", ("r",), "ab", np.array([[0.0, -3.0]]), -3.0, 1.0)
    zero, lowest = backgrounds(printed(Page("", [panel]), 30, colours=True).split("\n")[4])[2::2]
    assert (zero, lowest) == ("231", "19")


def test_three_hundred_steps() -> None:
    values = np.linspace(-1, 1, 600).reshape(2, 300)
    panel = Heatmap("", ("1", "10"), [f"word{i}" for i in range(300)], values, -1.0, 1.0)
    # Two columns a value beside three of the rows' labels.
    for width, blocks in ((80, 8), (160, 4)):
        lines = printed(Page("", [panel]), width).split("\n")
        heads = [line for line in lines if line.startswith("columns ")]
        assert len(heads) == blocks
        assert heads[-1].endswith(" to 300 of 300")
        assert max(map(cell_len, lines)) <= width
        assert "".join(line[3] for line in lines[4:10]) == " word0"
    assert len([line for line in lines_of(heatmap(1)) if "no value" in line]) == 1


def test_curves() -> None:
    x = np.arange(1.0, 5.0)
    lines = (Line("GRU\x1b", x, 10.0**x), Line("gone", x, -x), Line("LSTM", x, 10.0 ** (5 - x)))
    found = lines_of(Lines("memory", "distance", "effect", lines, log_y=True))
    assert found[:5] == ["memory", "* GRU\ufffd", "+ gone", "x LSTM", "      effect"]
    marks = [set(re.findall("[*+x]", line.partition("|")[2])) for line in found if "|" in line]
    assert set().union(*marks) == {"*", "x"}
    assert marks[0] == marks[-1] == {"*", "x"}
    # One rises and one falls by the same factors: they cross in the middle.
    ends = [line[-1] for line in found if "|" in line and line[-1] in "*x"]
    assert ends == sorted(ends)
    assert {"*", "x"} == set(ends)
    assert found[-2] == "distance".rjust(60)


def test_a_coloured_text() -> None:
    values = (0.0, 4.0, -8.0, NAN, 1.0)
    words = ("the", " storm", "\t你好\n", "came", " now\x1b")
    pieces = [
        Piece(w, v, f"not {i}\x1b") for i, (w, v) in enumerate(zip(words, values, strict=True))
    ]
    panel = ColouredText("surprise", pieces, -8.0, 8.0, "bits")
    assert lines_of(panel) == [
        "surprise",
        "the storm 你好[-8]",
        "came now\ufffd",
        "",
        "in brackets: bits, of a scale from -8 to 8",
        "  你好 (-8): not 2\ufffd",
        "  storm (4): not 1\ufffd",
        "  now\ufffd (1): not 4\ufffd",
        "",
    ]
    lines = printed(Page("", [panel]), 60, colours=True).split("\n")
    first, second = backgrounds(lines[3]), backgrounds(lines[4])
    # Weak pieces and spaces have no colour behind them.
    assert first == [""] * 4 + ["209"] * 5 + [""] + ["19"] * 2
    assert second == [""] * 5 + ["223"] * 4


def test_a_table() -> None:
    panel = Table("near", ("word", "similarity"), [("storm", 0.123456), ("[bold]\x1b", 12)])
    found = lines_of(panel)
    assert found[0] == "near"
    assert [line.strip("│ ").split() for line in found[4:6]] == [
        ["storm", "│", "0.1235"],
        ["[bold]\ufffd", "│", "12"],
    ]
    assert found[5].endswith("        12 │")


def test_a_note_is_wrapped() -> None:
    assert lines_of(Note("one two three\nfour"), 8) == ["one two", "three", "four", ""]


@pytest.mark.parametrize("width", [20, 80, 160])
@pytest.mark.parametrize("colours", [False, True])
def test_nothing_drives_the_terminal_and_all_fits(width: int, colours: bool) -> None:
    text = printed(NAUGHTY_PAGE, width, colours)
    plain = re.sub(r"\x1b\[[\d;]*m", "", text)
    # Only colours, of those that Rich writes.
    assert all(char.isprintable() or char == "\n" for char in plain)
    assert ("\x1b" in text) == colours
    assert max(map(cell_len, plain.split("\n"))) <= width
    assert "[bold]" in plain
    assert "你好吗" in plain


def test_rows_of_a_heatmap_are_aligned() -> None:
    lines = printed(Page("", [heatmap(13, units=13)]), 200).split("\n")
    rows = lines[4:17]
    assert len({cell_len(row) for row in rows}) == 1


@pytest.mark.parametrize("colours", [False, True])
def test_pages_without_values(colours: bool) -> None:
    text = printed(EMPTY_PANELS, 80, colours)
    assert text.count("no values") == 3
    assert "no pieces" in text
    assert printed(Page("nothing", ()), 80).split() == ["nothing"]


def test_a_number_is_never_broken_into_two_lines() -> None:
    numbers = [-0.011321234, 12345.678901, 2.168e-05]
    rows = [(f"a word that is long {n}", n, n, n) for n in numbers]
    lines = lines_of(Table("shares", ("word", "network", "linear", "total"), rows), 30)
    cells = [cell.strip() for line in lines for cell in re.split("[│┃]", line)[2:-1]]
    shown = [cell for cell in cells if re.search(r"\d", cell)]
    assert len(shown) == 9
    assert all(cell.endswith("…") or cell[-1].isdigit() for cell in shown)
