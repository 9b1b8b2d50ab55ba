"""Which letters have no spaces between their words, and where a word may end beside one."""

from __future__ import annotations

import pytest

from rnntext.text.scripts import is_unspaced, lacks_spaces, unit_edges


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


def test_text_whose_words_are_not_separated_by_spaces() -> None:
    chinese, thai = "我们今天去公园里面散步看花", "สวัสดีชาวโลกที่สวยงามมากมาย"
    for lines in (
        [chinese],
        [thai],
        ["吾輩は猫であるが名前はまだ無い", ""],
        [chinese, "the iPhone"],
    ):
        assert lacks_spaces(lines), lines
    for lines in (
        [], ["", " \t"], ["the heron counted the boats"], ["한국어는 띄어쓰기를 합니다"],
        ["我们 今天 去 公园 里面 散步 看 花"],  # segmented
        ["สวัสดี ชาว โลก ที่ สวยงาม มากมาย"],
        [chinese, "the heron counted the boats at the end of the pier"],  # mostly English
    ):  # fmt: skip
        assert not lacks_spaces(lines), lines
