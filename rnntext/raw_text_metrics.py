"""How well words, sentences and tags are found in raw text, as the CoNLL 2018 shared task counts
(Zeman et al. 2018; its script is `conll18_ud_eval.py`).

Knows: how the words of two divisions of one text are aligned. Does not know: how a text is divided,
or files.

A word is found if the same characters are a word, white space apart. Words of a token that is
written for several, `du` for `de` and `le`, have no characters of their own: where one of the two
divisions has such a token, the words that stand there are aligned by the longest common subsequence
of their forms, in small letters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rnntext.text.raw_text import RawText


class PlacedWord(NamedTuple):
    """A word, and the characters of its token: their numbers among those that are not white
    space."""

    start: int
    stop: int
    form: str
    is_in_range: bool  # its token is written for several words


def placed_words(raw: RawText, words: Sequence[str]) -> list[PlacedWord]:
    """Return the words of a text with their places."""
    before = [0]
    for character in raw.text:
        before.append(before[-1] + (not character.isspace()))
    found, rest = [], iter(words)
    for (start, stop), count in zip(raw.spans, raw.counts, strict=True):
        for _ in range(count):
            found.append(PlacedWord(before[start], before[stop], next(rest), count > 1))
    return found


def align(gold: Sequence[PlacedWord], found: Sequence[PlacedWord]) -> Iterator[tuple[int, int]]:
    """Yield the numbers of the words of two divisions of a text that are the same words."""
    stretches = _stretches([word for word in (*gold, *found) if word.is_in_range])
    single = {(word.start, word.stop): n for n, word in enumerate(found) if not word.is_in_range}
    for number, word in enumerate(gold):
        other = single.get((word.start, word.stop))
        inside = any(start <= word.start and word.stop <= stop for start, stop in stretches)
        if other is not None and not inside:
            yield number, other
    for start, stop in stretches:
        parts = [
            [n for n, word in enumerate(words) if start <= word.start and word.stop <= stop]
            for words in (gold, found)
        ]
        forms = [
            [words[n].form.lower() for n in part]
            for words, part in zip((gold, found), parts, strict=True)
        ]
        for one, other in _common_subsequence(*forms):
            yield parts[0][one], parts[1][other]


def _stretches(words: Sequence[PlacedWord]) -> list[tuple[int, int]]:
    """Return the stretches of text that tokens cover; those that overlap are one."""
    found: list[tuple[int, int]] = []
    for start, stop in sorted({(word.start, word.stop) for word in words}):
        if found and start < found[-1][1]:
            found[-1] = found[-1][0], max(stop, found[-1][1])
        else:
            found.append((start, stop))
    return found


def _common_subsequence(one: Sequence[str], other: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield the places of a longest common subsequence."""
    # length[i][j]: of what follows place i of one and place j of the other.
    length = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i in range(len(one) - 1, -1, -1):
        for j in range(len(other) - 1, -1, -1):
            if one[i] == other[j]:
                length[i][j] = length[i + 1][j + 1] + 1
            else:
                length[i][j] = max(length[i + 1][j], length[i][j + 1])
    i = j = 0
    while i < len(one) and j < len(other):
        if one[i] == other[j]:
            yield i, j
            i, j = i + 1, j + 1
        elif length[i + 1][j] >= length[i][j + 1]:
            i += 1
        else:
            j += 1


def _extent(words: Sequence[PlacedWord]) -> tuple[int, int]:
    return (words[0].start, words[-1].stop) if words else (0, 0)


@dataclass(slots=True)
class RawTextCounts:
    """Counts over sentences, and the metrics that follow from them."""

    gold_words: int = 0
    found_words: int = 0
    same_words: int = 0
    same_tags: int = 0
    sentences: int = 0
    same_sentences: int = 0

    def add(
        self,
        gold: Sequence[PlacedWord],
        found: Sequence[PlacedWord],
        gold_tags: Sequence[str] = (),
        found_tags: Sequence[str] = (),
    ) -> None:
        """Count a sentence that both divisions have. Without tags only its words count."""
        self.sentences += 1
        # The sentence stands by its text, where words cover all of it.
        self.same_sentences += _extent(gold) == _extent(found)
        self.gold_words += len(gold)
        self.found_words += len(found)
        for one, other in align(gold, found):
            self.same_words += 1
            self.same_tags += bool(gold_tags) and gold_tags[one] == found_tags[other]

    @property
    def words_f1(self) -> float:
        return 2 * self.same_words / max(1, self.gold_words + self.found_words)

    @property
    def sentences_f1(self) -> float:
        return self.same_sentences / max(1, self.sentences)

    @property
    def tags_f1(self) -> float:
        return 2 * self.same_tags / max(1, self.gold_words + self.found_words)
