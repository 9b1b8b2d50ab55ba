"""The view `neighbours`: the tokens nearest to a word, and the lines nearest to a text.

Knows: which tokens and lines are compared, and how the nearest of a long corpus are kept. Does not
know: how a text becomes a vector (`runtime/embed.py`), or how a page is drawn.

Nearness is the cosine of the angle between two vectors (Salton, Wong and Yang 1975): 1 for vectors
of one direction, 0 for vectors that have nothing in common.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from rnntext.errors import DataError, UsageError
from rnntext.inspection.reading import InspectedModel, show_token
from rnntext.plotting.page import Array, Note, Page, Panel, Table, View
from rnntext.runtime.embed import Embedder

_LINES = 4096  # of a corpus that are compared together
_SHOWN = 200  # characters of a line, on a page


@dataclass(frozen=True, slots=True)
class NearToken:
    """A token of the vocabulary, as it is shown."""

    token: str
    cosine: float


@dataclass(frozen=True, slots=True)
class NearLine:
    """A line of a corpus, by its number from 1."""

    line: int
    text: str
    cosine: float


def neighbours(
    model: InspectedModel,
    words: Sequence[str],
    texts: Sequence[str],
    corpus: Iterable[str] = (),
    count: int = 10,
) -> View:
    """View the `count` tokens nearest to each word, and the lines of the corpus nearest to each
    text. Raises UsageError for a word that the model does not know, DataError for a corpus without
    any line to compare with."""
    panels: list[Panel] = [
        Note(
            "The cosine of two vectors is 1 where they have one direction and 0 where they have "
            "nothing in common. Words are compared by their embeddings, texts by the mean of the "
            "last layer's hidden states over their tokens."
        )
    ]
    objects: list[dict[str, Any]] = []
    rows: list[Sequence[str | float]] = []
    for word in words:
        tokens = near_tokens(model, word, count)
        table = [(each.token, each.cosine) for each in tokens]
        panels.append(Table(f"nearest to the word {word}", ("token", "cosine"), table))
        found = [{"token": each.token, "cosine": each.cosine} for each in tokens]
        objects.append({"word": word, "neighbours": found})
        rows += [(word, rank, *row) for rank, row in enumerate(table, 1)]
    for text, lines in zip(texts, near_lines(model, texts, corpus, count), strict=True):
        shown = [(_shortened(each.text), each.cosine) for each in lines]
        panels.append(Table(f"nearest to {_shortened(text)}", ("line", "cosine"), shown))
        objects.append(
            {
                "text": text,
                "neighbours": [
                    {"line": each.line, "text": each.text, "cosine": each.cosine} for each in lines
                ],
            }
        )
        rows += [(text, rank, each.text, each.cosine) for rank, each in enumerate(lines, 1)]
    return View(Page(f"Neighbours in {model.name}", panels), objects, rows)


def near_tokens(model: InspectedModel, word: str, count: int) -> list[NearToken]:
    """Return the tokens whose embeddings are nearest to a word's, the nearest first.

    A word of several tokens is their mean. Of subwords those that begin a word come before the
    others, which continue one. The word's own tokens, the end of a line, the unknown word and parts
    of characters are left out.
    """
    tokenizer = model.tokenizer
    (encoded,) = tokenizer.encode_words([[word]])
    own = set(encoded.ids.tolist())
    left_out = {tokenizer.eos_id, -1 if tokenizer.unk_id is None else tokenizer.unk_id}
    if not word.strip() or own & left_out:
        raise UsageError(f"--word {word!r} is not in the vocabulary of {model.name}")
    embeddings = model.weights["encoder.embedding.weight"].astype(np.float32)
    cosines = _unit(embeddings) @ _unit(embeddings[encoded.ids].mean(axis=0))
    begins = np.ones(len(embeddings), np.bool_)
    if tokenizer.config.kind == "bpe":
        begins = np.array([piece.startswith(b" ") for piece in tokenizer.pieces])
    order = np.lexsort((-cosines, ~begins))
    shown = (
        NearToken(show_token(tokenizer, i), float(cosines[i]))
        for i in order.tolist()
        if i not in own | left_out
    )
    return list(islice((each for each in shown if "\ufffd" not in each.token), count))


def near_lines(
    model: InspectedModel, texts: Sequence[str], corpus: Iterable[str], count: int
) -> list[list[NearLine]]:
    """Return the lines of a corpus whose vectors are nearest to those of each text, the nearest
    first. Of equal lines the first counts; empty lines, and the text itself, are left out. Memory
    does not grow with the corpus."""
    if not texts:
        return []
    embedder = Embedder(model.model)
    wanted = _unit(embedder.embed(texts))  # (texts, D)
    best: list[dict[str, NearLine]] = [{} for _ in texts]
    numbered = ((number, line) for number, line in enumerate(corpus, 1) if line.strip())
    compared = False
    while some := list(islice(numbered, _LINES)):
        compared = True
        cosines = wanted @ _unit(embedder.embed([line for _, line in some])).T  # (texts, lines)
        for text, kept, row in zip(texts, best, cosines, strict=True):
            for index in np.argsort(-row, kind="stable").tolist():
                number, line = some[index]
                found = NearLine(number, line, float(row[index]))
                if len(kept) >= count and found.cosine <= min(
                    each.cosine for each in kept.values()
                ):
                    break
                if line != text and line not in kept:
                    kept[line] = found
                    if len(kept) > count:
                        del kept[min(kept, key=lambda each: kept[each].cosine)]
    if not compared:
        raise DataError("the corpus has no line to compare with: name a file that has")
    return [sorted(kept.values(), key=lambda each: (-each.cosine, each.line)) for kept in best]


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _unit(vectors: Array) -> Array:
    """Vectors (..., D) of length 1; zeros stay zeros."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1))
