"""How tagged sentences become rows: their tags, and the words of pieces."""

from __future__ import annotations

import pytest

from rnntext.text.tagged import Tagged
from rnntext.text.tokenizer import Tokenizer
from rnntext.training.data.examples import split_joined_words
from rnntext.training.recipes import TokenizerDefaults
from rnntext.training.tasks import sentence_schema
from rnntext.training.tasks.sentence_schema import SentenceSchema

SCHEMA = SentenceSchema(TokenizerDefaults(10.0))
TOKENIZER = Tokenizer.train("byte", [], vocab_size=0)
LABELS = {"B-x": 0, "I-x": 1, "O": 2}
SENTENCES = [
    Tagged(("aa", "bb cc", "d\ne", "f"), ("B-x", "I-x", "I-x", "O"), "a.conll", 1),
    Tagged(("g",), ("O",), "a.conll", 6),
]


@pytest.mark.parametrize(
    ("seen", "labels"),
    [
        (["VERB", "ADJ", "NOUN"], ("ADJ", "NOUN", "VERB")),
        (["O", "I-x", "B-y"], ("B-x", "B-y", "I-x", "I-y", "O")),
        (["I-x"], ("B-x", "I-x", "O")),
        (["B", "O"], ("B", "I", "O")),
        (["B-x", "VERB"], ("B-x", "VERB")),
    ],
)
def test_the_tags_to_learn_are_sorted_and_spans_are_whole(
    seen: list[str], labels: tuple[str, ...]
) -> None:
    assert SCHEMA.label_set(seen) == labels


def test_a_row_has_the_words_of_its_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentence_schema, "MAX_LENGTH", 9)
    rows = SCHEMA.encode(TOKENIZER, SENTENCES, LABELS, keep_whole=False)
    words = [split_joined_words(text) for text in rows.texts]
    # A line end inside a word parts words in the store: there it is a space.
    assert words == [["aa", "bb cc"], ["d e", "f"], ["g"]]
    tags = [row.reshape(3, -1)[2].tolist() for row in rows.targets]
    assert tags == [[0, 1], [0, 2], [2]]  # the span that goes on begins anew
    whole = SCHEMA.encode(TOKENIZER, SENTENCES, LABELS, keep_whole=True)
    words = [split_joined_words(text) for text in whole.texts]
    assert words == [["aa", "bb cc", "d e", "f"], ["g"]]
    assert [row.reshape(3, -1)[2].tolist() for row in whole.targets] == [[0, 1, 1, 2], [2]]
