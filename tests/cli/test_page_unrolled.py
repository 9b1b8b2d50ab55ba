"""An unrolled network on a terminal."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from rnntext.cli.page_unrolled import draw
from tests.plotting.unrolled import unrolled


def lines(width: int, steps: int = 3, *, coloured: bool = True, text: str = "heron") -> list[str]:
    return [line.plain for line in draw(unrolled(steps, text=text), width, coloured)]


def test_boxes_and_arrows() -> None:
    assert [line.rstrip() for line in lines(80)] == [
        "                                    ┌────────┐",
        "answer                              │pos 0.98│",
        "                                    └────▲───┘",
        "            ┌────────┐  ┌────────┐  ┌────────┐",
        "layer 1 ←   │        │◀─│        │◀─│        │",
        "            │|h| 0.5 │  │|h| 1.5 │  │|h| 2.5 │",
        "            └────────┘  └────────┘  └────────┘",
        "            ┌────────┐  ┌────────┐  ┌────────┐",
        "layer 1 →   │        │─▶│        │─▶│        │",
        "            │|h| 0.5 │  │|h| 1.5 │  │|h| 2.5 │",
        "            └────▲───┘  └────▲───┘  └────▲───┘",
        "            ┌────────┐  ┌────────┐  ┌────────┐",
        "input       │        │  │        │  │        │",
        "            │|h| 0.5 │  │|h| 1.5 │  │|h| 2.5 │",
        "            └────────┘  └────────┘  └────────┘",
        "              heron0      heron1      heron2",
    ]


def test_without_colours_values_are_characters() -> None:
    found = lines(80, coloured=False)
    assert found[4].rstrip() == "layer 1 ←   |-#-*-*-:|<-|-.    +.|<-|+:+*+*+#|"
    assert not {"┌", "▲", "─"} & set("".join(found))


def test_a_narrow_terminal_has_blocks() -> None:
    found = lines(40, 5)
    assert [line for line in found if line.startswith("steps")] == [
        "steps 1 to 2 of 5",
        "steps 3 to 4 of 5",
        "steps 5 to 5 of 5",
    ]
    assert max(map(cell_len, found)) <= 40
    # The state goes on from block to block.
    forward = [line for line in found if line.startswith("layer 1 →")]
    assert [line.count("─▶") for line in forward] == [2, 3, 1]
    # Without an answer among its steps a block has no boxes for answers.
    assert sum(line.startswith("answer") for line in found) == 1


@pytest.mark.parametrize("text", ["你好", "\x1b[31m", "a\tb", "x" * 50, "👩‍👩‍👧"])
def test_texts_keep_the_columns(text: str) -> None:
    found = lines(200, text=text)
    assert "\x1b" not in "".join(found)
    widths = {cell_len(line) for line in found}
    assert len(widths) == 1
