"""The view `explain`: which words decided a label or a tag, signed, with a check of the shares.

Knows: which panels show an explanation. Does not know: how shares are computed (`explanation.py`),
or how a page is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnntext.errors import UsageError
from rnntext.inspection.explanation import Explanation, SentenceExplainer, TextExplainer
from rnntext.inspection.reading import MOST_STEPS, InspectedModel
from rnntext.plotting.page import (
    ColouredText,
    Heatmap,
    Note,
    Page,
    Panel,
    Piece,
    Table,
    View,
    symmetric,
)

_STRONGEST = 10  # words in the table
_MOST_WORDS = 40  # of a sentence whose tags are all explained
_HOW = (
    "A word's share is what it adds to the log-odds log(p / (1 - p)) of {answer}: above 0 it "
    "speaks for it, below 0 against it. The network's shares are integrated gradients from a text "
    "without words (Sundararajan, Taly and Yan 2017){linear}."
)
_LINEAR = "; those of the linear half are its own sum, a pair of words divided between the two"
_OF_TAGS = (
    "A tag is explained by the scores of its word alone: that some tags follow each other more "
    "often than others, which the probability takes into account too, is no share of a word."
)
_INT8 = (
    "The model runs in int8, and the shares are those of its weights in float32: the difference is "
    "that of rounding too."
)


@dataclass(slots=True)
class _Parts:
    """What a view is made of, as far as it has come."""

    panels: list[Panel] = field(default_factory=list)
    objects: list[dict[str, Any]] = field(default_factory=list)
    rows: list[Sequence[str | float]] = field(default_factory=list)

    def add(self, number: int, found: Explanation) -> None:
        """Add the numbers of an explanation of text `number`."""
        columns = zip(found.words, found.as_objects(), strict=True)
        place: tuple[str | float, ...] = (number,)
        of_word: dict[str, Any] = {}
        if found.word is not None:
            place = (number, found.word + 1, found.words[found.word])
            of_word = {"step": found.word + 1, "word": found.words[found.word]}
        self.objects.append(
            {
                "text": number,
                **of_word,
                "label": found.label,
                "probability": found.probability,
                "log_odds": found.log_odds,
                "explanation": found.as_objects(),
                "without_words": {
                    "network": float(found.without.network),
                    "linear": float(found.without.linear) if found.has_linear else None,
                    "others": found.others,
                },
                "difference": found.difference,
                "steps": found.steps,
            }
        )
        for word, shares in columns:
            linear = shares["linear"] if found.has_linear else ""
            row = (*place, found.label, word, shares["network"], linear, shares["total"])
            self.rows.append(row)


def explain(
    model: InspectedModel, texts: Sequence[str], label: str | None = None, word: str | None = None
) -> View:
    """View which words decided the answer to each text. `label`: explain it in place of the answer;
    `word`: of a tagger, the word whose tag is explained, or its number from 1 (None: all words).

    Raises UsageError for a language model, and for a label or a word that there is not.
    """
    make = _VIEWS.get(model.config.task)
    if make is None:
        raise UsageError(
            f"{model.name} is a language model, and explain says which words decided a label or a "
            "tag: `rnntext score --words` says how expected each word is"
        )
    parts = _Parts()
    linear = _LINEAR if model.model.ngrams() is not None else ""
    parts.panels.append(Note(_HOW.format(answer=_ANSWER[model.config.task], linear=linear)))
    if model.model.saved is not None and model.model.saved.precision == "int8":
        parts.panels.append(Note(_INT8))
    make(parts, model, texts, label, word)
    return View(Page(f"What decided: {model.name}", parts.panels), parts.objects, parts.rows)


def _of_texts(
    parts: _Parts,
    model: InspectedModel,
    texts: Sequence[str],
    label: str | None,
    word: str | None,
) -> None:
    if word is not None:
        raise UsageError(f"--word is for a tagger, and {model.name} is a classifier")
    explainer = TextExplainer(model)
    for number, text in enumerate(texts, 1):
        reading = explainer.read(text)
        if reading is None:
            raise UsageError(
                f"text {number} has more than {MOST_STEPS:,} tokens, the most that are explained: "
                "give a shorter one"
            )
        found = explainer.explain(reading, label)
        parts.add(number, found)
        parts.panels += _panels(found, text)


def _of_sentences(
    parts: _Parts,
    model: InspectedModel,
    texts: Sequence[str],
    label: str | None,
    word: str | None,
) -> None:
    explainer = SentenceExplainer(model)
    parts.panels.append(Note(_OF_TAGS))
    for number, text in enumerate(texts, 1):
        reading = model.read(text)
        words = reading.words
        answer = explainer.tag(text)
        chosen = range(len(words)) if word is None else [_place_of(words, word)]
        if len(chosen) > _MOST_WORDS:
            raise UsageError(
                f"the sentence has {len(words):,} words, and the tags of at most {_MOST_WORDS} are "
                "explained together: name a word with --word"
            )
        found = [explainer.explain(reading, answer, place, label) for place in chosen]
        for each in found:
            parts.add(number, each)
        parts.panels += _panels(found[0], text) if word is not None else _overview(found, text)


_VIEWS = {"classify": _of_texts, "tag": _of_sentences}
_ANSWER = {"classify": "the label", "tag": "the tag"}


def _place_of(words: Sequence[str], wanted: str) -> int:
    """Return the place of a word that is given by its number, from 1, or else as it is spelled."""
    if wanted.isascii() and wanted.isdigit() and 1 <= int(wanted) <= len(words):
        return int(wanted) - 1
    for spelled in (lambda word: word, str.casefold):
        for place, word in enumerate(words):
            if spelled(word) == spelled(wanted):
                return place
    raise UsageError(
        f"--word {wanted}: the sentence has no such word; it has {len(words)}: {' '.join(words)}"
    )


def _panels(found: Explanation, text: str) -> list[Panel]:
    return [
        ColouredText(
            _answer(found),
            list(_pieces(found, text)),
            *symmetric(found.shares.total),
            "share in the log-odds",
        ),
        _strongest(found),
        _check(found),
    ]


def _answer(found: Explanation) -> str:
    what = found.label
    if found.word is not None:
        what = f"{found.words[found.word]}: {what}"
    return f"{what}, probability {found.probability:.4f}, log-odds {found.log_odds:+.2f}"


def _pieces(found: Explanation, text: str) -> Iterator[Piece]:
    """The words with the white space before each; what is left of the text is a piece of its own,
    with the share of what is of no word."""
    end = 0
    totals = found.shares.total.tolist()
    for (_, stop), network, linear, total in zip(
        found.places, found.shares.network, found.shares.linear, totals, strict=False
    ):
        note = f"network {network:+.2f}"
        if found.has_linear:
            note += f", linear {linear:+.2f}"
        yield Piece(text[end:stop], total, note)
        end = stop
    if end < len(text):
        has_rest = len(found.words) > len(found.places)
        yield Piece(text[end:], totals[-1] if has_rest else 0.0)


def _header(found: Explanation, first: str) -> tuple[str, ...]:
    return (first, "network", "linear", "total") if found.has_linear else (first, "network")


def _row(found: Explanation, name: str, network: Any, linear: Any) -> tuple[str | float, ...]:
    if not found.has_linear:
        return name, float(network)
    return name, float(network), float(linear), float(network + linear)


def _strongest(found: Explanation) -> Table:
    network, linear = found.shares.network, found.shares.linear
    rows = [_row(found, found.words[i], network[i], linear[i]) for i in found.strongest(_STRONGEST)]
    return Table("strongest words", _header(found, "word"), rows)


def _check(found: Explanation) -> Table:
    """The sum of all shares beside the model's own answer."""
    last = found.log_odds + found.difference
    blank = ("",) * (len(_header(found, "")) - 2)  # the columns but the name and the total
    rows: list[Sequence[str | float]] = [
        _row(found, "all words", found.shares.network.sum(), found.shares.linear.sum()),
        _row(found, "without words", found.without.network, found.without.linear),
    ]
    if found.others:
        rows.append(("several other labels", *blank, found.others))
    rows += [
        ("sum", *blank, last),
        ("log-odds of the answer", *blank, found.log_odds),
        ("difference", *blank, found.difference),
    ]
    title = f"check: are the shares complete? ({found.steps} steps of the integral)"
    return Table(title, _header(found, "part"), rows)


def _overview(found: Sequence[Explanation], text: str) -> list[Panel]:
    """All tags of a sentence: a row for each, with the shares of all words."""
    words = found[0].words
    shares = np.stack([each.shares.total for each in found])
    names = [f"{words[row]} {each.label}" for row, each in enumerate(found)]
    title = text if len(text) <= 60 else f"{text[:59]}…"
    rows = []
    for row, each in enumerate(found):
        (strongest,) = each.strongest(1)
        rows.append(
            (
                words[row],
                each.label,
                each.probability,
                each.log_odds,
                words[strongest],
                float(each.shares.total[strongest]),
                each.difference,
            )
        )
    header = ("word", "tag", "probability", "log-odds", "strongest word", "its share", "difference")
    return [
        Heatmap(title, names, words, shares, *symmetric(shares), "word and tag", "word"),
        Table(
            "tags; the difference is that of the sum of all shares to the log-odds", header, rows
        ),
    ]
