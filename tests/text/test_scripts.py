"""Which letters have no spaces between their words, and where a word may end beside one."""

from __future__ import annotations

import pytest

from rnntext.text.scripts import is_unspaced, unit_edges, unspaced_share


def test_letters_of_scripts_without_spaces() -> None:
    # Chinese, also rare and of compatibility, Japanese with its marks of repetition and length and
    # in half width, Bopomofo, Thai, Lao, Khmer, Myanmar, Tibetan, Javanese, New Tai Lue, Yi.
    for letter in "主人\U00020000\uf900々〇〆はハーｱㄅกะเລກကཀꦏᦀꀀ":
        assert is_unspaced(letter), letter
    # Letters of scripts with spaces, Korean among them, digits, marks, signs, white space.
    for other in "aéßжאسहঅ한ㅎ1๑٣ิ\u3099、。・「~ \u3000\n🙂":
        assert not is_unspaced(other), other


@pytest.mark.parametrize(
    ("text", "edges"),
    [
        ("", []),
        ("the heron", []),
        ("naïve", []),
        ("主人は", [0, 1, 2, 3]),
        ("用iPhone 吧", [0, 1, 8, 9]),
        ("กินน้ำ", [0, 2, 3, 5, 6]),  # each letter with its marks
        ("、主。」", [1, 2]),
    ],
)
def test_edges_of_units(text: str, edges: list[int]) -> None:
    assert sorted(unit_edges(text)) == edges


def test_the_share_of_such_letters() -> None:
    assert unspaced_share([]) == unspaced_share(["", " \t"]) == 0
    assert unspaced_share(["the heron"]) == 0
    assert unspaced_share(["主人 ab", "é", "は "]) == 3 / 6
