"""Tagged sentences as CoNLL-U."""

from __future__ import annotations

from pathlib import Path

import pytest

from rnntext.cli.conllu import sentence_lines, tag_index
from rnntext.runtime.tagger import TaggedSentence
from rnntext.text.formats import DataOptions
from rnntext.text.raw_text import RawText
from rnntext.text.tagged import read_tagged

RAW = RawText("Au chat, 10 000", ((0, 2), (3, 7), (7, 8), (9, 15)), (2, 1, 1, 1))
AU = TaggedSentence(
    RAW.text, ["À", "le", "chat", ",", "10 000"], ["ADP", "DET", "NOUN", "PUNCT", "NUM"], [], RAW
)


def test_ranges_and_spaces() -> None:
    assert sentence_lines(AU, 3) == (
        "# text = Au chat, 10 000\n"
        "1-2\tAu\t_\t_\t_\t_\t_\t_\t_\t_\n"
        "1\tÀ\t_\tADP\t_\t_\t_\t_\t_\t_\n"
        "2\tle\t_\tDET\t_\t_\t_\t_\t_\t_\n"
        "3\tchat\t_\tNOUN\t_\t_\t_\t_\t_\tSpaceAfter=No\n"
        "4\t,\t_\tPUNCT\t_\t_\t_\t_\t_\t_\n"
        "5\t10 000\t_\tNUM\t_\t_\t_\t_\t_\t_\n"
        "\n"
    )


def test_a_range_without_a_space_after_it_says_so_in_its_own_line() -> None:
    raw = RawText("au,", ((0, 2), (2, 3)), (2, 1))
    lines = sentence_lines(TaggedSentence("au,", ["à", "le", ","], ["X"] * 3, [], raw), 4)
    assert [line.split("\t")[-1] for line in lines.split("\n")[1:5]] == [
        "SpaceAfter=No", "_", "_", "_",
    ]  # fmt: skip
    assert lines.split("\n")[2].split("\t")[4] == "X"


def test_what_is_printed_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "a.conllu"
    path.write_text(sentence_lines(AU, 3), "utf-8")
    (found,) = read_tagged([str(path)], DataOptions())
    assert (list(found.words), list(found.tags), found.raw) == (AU.words, AU.tags, RAW)


def test_words_that_were_given_stand_where_the_text_has_them() -> None:
    lines = sentence_lines(TaggedSentence("a, b", ["a", ",", "b"], ["X"] * 3, []), 3)
    assert lines.startswith("# text = a, b\n1\ta\t_\tX\t_\t_\t_\t_\t_\tSpaceAfter=No\n2\t,")
    other = sentence_lines(TaggedSentence("other", ["a", "b"], ["X"] * 2, []), 3)
    assert other.split("\n")[1] == "1\ta\t_\tX\t_\t_\t_\t_\t_\t_"


def test_words_that_were_given_may_be_anything() -> None:
    for words in (["a", "\xa0", "b"], ["\x1cb"], ["a", "", "b"], [" "]):
        text = " ".join(words)
        lines = sentence_lines(TaggedSentence(text, words, ["X"] * len(words), []), 3)
        assert lines.count("\n") == len(words) + 2
        assert [line.split("\t")[3] for line in lines.split("\n")[1:-2]] == ["X"] * len(words)


def test_a_record_without_words_is_an_empty_line() -> None:
    assert sentence_lines(TaggedSentence("  ", [], [], []), 3) == "\n"


def test_a_text_makes_no_other_line() -> None:
    raw = RawText("a\nb\x1b", ((0, 1), (2, 4)), (1, 1))
    lines = sentence_lines(TaggedSentence(raw.text, ["a", "b\x1b"], ["X"] * 2, [], raw), 3)
    assert lines.count("\n") == 4
    assert "\x1b" not in lines


@pytest.mark.parametrize(
    ("column", "index"),
    [(None, 3), ("upos", 3), ("XPOS", 4), ("feats", 5), ("4", 3), ("9", 8), ("2", 3), ("1", 3),
     ("11", 3), ("tags", 3), (4, 3)],
)  # fmt: skip
def test_tags_stand_where_the_training_data_had_them(column: object, index: int) -> None:
    assert tag_index(column) == index
