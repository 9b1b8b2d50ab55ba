"""The answers of a model as columns of a table: what files of answers and Arrow batches hold.

Knows: the name, the kind and the value of each column of an answer, as JSON names them too. Does
not know: how a model answers, or formats of files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rnntext.text.beside import Kind

if TYPE_CHECKING:
    from rnntext.runtime.classifier import Classification
    from rnntext.runtime.score import LineScore
    from rnntext.runtime.tagger import TaggedSentence


@dataclass(frozen=True, slots=True)
class AnswerColumns:
    """The columns of one answer."""

    kinds: Mapping[str, Kind]  # by name, in order
    values: Callable[[Any], Sequence[object]]  # of an answer, None where it has none

    def as_object(self, answer: Any) -> dict[str, object]:
        """Return the values by name."""
        return dict(zip(self.kinds, self.values(answer), strict=True))

    def with_text(self, name: str, text_of: Callable[[Any], str]) -> AnswerColumns:
        """Return these columns and a last one with a text of each answer."""
        values = self.values
        return AnswerColumns(
            {**self.kinds, name: str}, lambda answer: [*values(answer), text_of(answer)]
        )


class LabelPairs:
    """Which labels of a classification are given: the `top_k` likeliest of at least `threshold`.

    Without `top_k` that is one label, of a multi-label model any number; without `threshold` a
    multi-label model gives each label of at least 0.5, any other model the likeliest.
    """

    def __init__(
        self, labels: Sequence[str], multi_label: bool, top_k: int | None, threshold: float | None
    ) -> None:
        self._least = threshold if threshold is not None else 0.5 if multi_label else 0.0
        count = len(labels)
        self.most = min(top_k or (count if multi_label else 1), count)

    def of(self, answer: Classification) -> list[tuple[str, float]]:
        """Return labels and their probabilities, at most `most`, the likeliest first."""
        return [(label, p) for label, p in answer.labels.items() if p >= self._least]

    def columns(self) -> AnswerColumns:
        """`label` and `probability`, then `label_2` and `probability_2` and so on; empty where so
        many labels do not pass."""

        def values(answer: Classification) -> list[object]:
            flat = [value for pair in self.of(answer)[: self.most] for value in pair]
            return [*flat, *[None] * (2 * self.most - len(flat))]

        ends = ("", *(f"_{number}" for number in range(2, self.most + 1)))
        kinds: dict[str, Kind] = {}
        for end in ends:
            kinds |= {f"label{end}": str, f"probability{end}": float}
        return AnswerColumns(kinds, values)


def score_columns(*, words: bool) -> AnswerColumns:
    """The figures of a scored line, with `words` those of each word too."""
    kinds: dict[str, Kind] = {
        "perplexity": float, "bits_per_byte": float, "tokens": int, "bits": float, "unknown": int,
        "perplexity_known": float,
    }  # fmt: skip
    if words:
        kinds["words"] = [{"word": str, "bits": float}]

    def values(line: LineScore) -> list[object]:
        found: list[object] = [
            line.perplexity, line.bits_per_byte, line.tokens, line.bits, line.unknown,
            line.perplexity_known,
        ]  # fmt: skip
        by_word = [{"word": word.word, "bits": word.bits} for word in line.words or ()]
        return [*found, by_word] if words else found

    return AnswerColumns(kinds, values)


def tag_columns() -> AnswerColumns:
    """The words of a sentence, their tags and the probabilities of these."""

    def values(sentence: TaggedSentence) -> list[object]:
        return [sentence.words, sentence.tags, sentence.probabilities]

    return AnswerColumns({"words": [str], "tags": [str], "probabilities": [float]}, values)


def vector_columns() -> AnswerColumns:
    """The vector of a text, in float32."""
    import numpy as np

    return AnswerColumns({"vector": [np.float32]}, lambda vector: [vector.tolist()])
