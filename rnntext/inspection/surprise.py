"""The view `surprise`: a text by the surprisal of its words, with what was expected in their place.

Knows: where each scored word stands in the text, and what a reader is shown of it. Does not know:
how words are scored (`runtime/score.py`) or predicted (`runtime/predict.py`), or how a page is
drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rnntext.errors import UsageError
from rnntext.plotting.page import ColouredText, Note, Page, Panel, Piece, Table, View
from rnntext.runtime.language_model import LanguageModel
from rnntext.runtime.predict import Predictor, WordPrediction
from rnntext.runtime.score import LINE_END, Scorer

MOST_WORDS = 1000  # of a text that is looked at
SURPRISING = 10  # words of the table
# The end of the scale of colours: a word of 16 bits has a probability of one in 65,536.
_MOST_BITS = 16.0
_CONTEXT = 30  # characters before a word in the table


@dataclass(frozen=True, slots=True)
class SurprisedWord:
    """A word of a text, its surprisal in bits, and the likeliest words in its place."""

    start: int  # offset of its first character in the text
    word: str
    bits: float
    expected: list[WordPrediction]

    def describe(self) -> str:
        """What was expected, in a few words."""
        return ", ".join(f"{each.word} {each.probability:.1%}" for each in self.expected)


def surprise(model: LanguageModel, name: str, texts: Sequence[str], top_k: int = 3) -> View:
    """View the surprisal of each word of the texts, which are read from the zero state after the
    end of a line, with the `top_k` likeliest words at its place, given that a word follows there.

    `name`: of the model. Raises UsageError for a text of over MOST_WORDS words.
    """
    found = [surprised_words(model, text, top_k) for text in texts]
    panels: list[Panel] = [
        Note(
            "The surprisal of a word is -log2 of its probability given the words before it, in "
            f"bits: 1 bit is a half, 10 bits are one in a thousand. {LINE_END} is the end of the "
            "line. Expected are the likeliest words at that place, given that a word follows."
        )
    ]
    objects: list[dict[str, Any]] = []
    rows: list[Sequence[str | float]] = []
    for number, (text, words) in enumerate(zip(texts, found, strict=True), 1):
        title = "" if len(texts) == 1 else f"text {number}"
        pieces = list(_pieces(text, words))
        panels.append(ColouredText(title, pieces, 0.0, _MOST_BITS, "surprisal in bits"))
        for position, each in enumerate(words, 1):
            expected = [{"word": e.word, "probability": e.probability} for e in each.expected]
            objects.append(
                {
                    "text": number,
                    "position": position,
                    "word": each.word,
                    "bits": each.bits,
                    "expected": expected,
                }
            )
            pairs = [field for e in each.expected for field in (e.word, e.probability)]
            rows.append((number, position, each.word, each.bits, *pairs))
    panels.append(_table(texts, found))
    return View(Page(f"Surprise of {name}", panels), objects, rows)


def surprised_words(model: LanguageModel, text: str, top_k: int) -> list[SurprisedWord]:
    """Score each word of a text and predict the words in its place. The last is the line's end."""
    (line,) = Scorer(model).score([text], words=True)
    words = line.words or []
    if len(words) > MOST_WORDS:
        raise UsageError(
            f"the text has {len(words):,} words, and a view shows at most {MOST_WORDS:,}: give a "
            "shorter one"
        )
    starts = list(_starts(text, [each.word for each in words]))
    expected = Predictor(model).predict_along(text, starts, top_k=top_k)
    return [
        SurprisedWord(start, each.word, each.bits, predicted)
        for start, each, predicted in zip(starts, words, expected, strict=True)
    ]


def _starts(text: str, words: Sequence[str]) -> Iterator[int]:
    """Yield the offset of each word, of which the last is the end of the text."""
    place = 0
    for word in words[:-1]:
        line_end = text.find("\n", place)
        if word == LINE_END and line_end >= 0 and not text[place:line_end].strip():
            yield line_end
            place = line_end + 1
            continue
        start = text.index(word, place)
        yield start
        place = start + len(word)
    yield len(text)


def _pieces(text: str, words: Sequence[SurprisedWord]) -> Iterator[Piece]:
    """The words with the white space before each."""
    end = 0
    for each in words:
        shown = each.word
        if shown == LINE_END and text[each.start : each.start + len(shown)] != shown:
            shown = f" {LINE_END}"
            stop = each.start
        else:
            stop = each.start + len(shown)
        note = f"expected {each.describe()}"
        yield Piece(text[end : each.start] + shown, each.bits, note)
        end = stop


def _table(texts: Sequence[str], found: Sequence[Sequence[SurprisedWord]]) -> Table:
    ranked = sorted(
        ((text, each) for text, words in zip(texts, found, strict=True) for each in words),
        key=lambda pair: -pair[1].bits,
    )
    rows = [
        (_context(text[: each.start]), each.word, round(each.bits, 1), each.describe())
        for text, each in ranked[:SURPRISING]
    ]
    return Table("the most surprising words", ("after", "word", "bits", "expected"), rows)


def _context(before: str) -> str:
    shown = " ".join(before.split())
    return shown if len(shown) <= _CONTEXT else f"…{shown[-_CONTEXT:]}"
