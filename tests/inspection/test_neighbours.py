"""The view `neighbours`: the nearest of all, found by comparing with each."""

from __future__ import annotations

import numpy as np
import pytest

from rnntext.errors import DataError, UsageError
from rnntext.inspection import neighbours as module
from rnntext.inspection.neighbours import near_lines, near_tokens, neighbours
from rnntext.inspection.reading import InspectedModel
from rnntext.plotting.page import Table
from rnntext.runtime.embed import Embedder
from tests.runtime.test_embed import LINES, Array, model

SAMPLE = "naïve café\t你好 🙂"


def inspected(kind: str, cell: str = "gru", both: bool = True) -> InspectedModel:
    return InspectedModel(model("classify", cell, 1, both, kind=kind)[1], "m")


def cosine(a: Array, b: Array) -> float:
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def embeddings(of: InspectedModel) -> Array:
    return of.weights["encoder.embedding.weight"].astype(np.float64)


def test_nearest_words() -> None:
    of = inspected("word")
    vectors, tokenizer = embeddings(of), of.tokenizer
    own = int(tokenizer.encode_words([["heron"]])[0].ids[0])
    others = set(range(len(vectors))) - {own, tokenizer.eos_id, tokenizer.unk_id}
    wanted = sorted(others, key=lambda i: -cosine(vectors[own], vectors[i]))[:7]
    found = near_tokens(of, "heron", 7)
    assert [each.token for each in found] == [tokenizer.token(i) for i in wanted]
    assert [each.cosine for each in found] == pytest.approx(
        [cosine(vectors[own], vectors[i]) for i in wanted], abs=1e-5
    )
    assert len(near_tokens(of, "heron", 10**9)) == len(others)


def test_a_word_of_several_subwords_is_their_mean() -> None:
    of = inspected("bpe")
    vectors, pieces = embeddings(of), of.tokenizer.pieces
    ids = of.tokenizer.encode_words([["herons"]])[0].ids
    assert len(ids) > 1
    found = near_tokens(of, "herons", 10**9)
    query = vectors[ids].mean(axis=0)
    begins = [each for each in found if not each.token.startswith("·")]
    assert found[: len(begins)] == begins  # those that begin a word come first
    assert 0 < len(begins) < len(found)
    for part in (begins, found[len(begins) :]):
        cosines = [each.cosine for each in part]
        assert cosines == sorted(cosines, reverse=True)
    known = set(range(len(pieces))) - {*ids.tolist(), of.tokenizer.eos_id}
    words = [i for i in known if pieces[i].startswith(b" ")]
    nearest = max(words, key=lambda i: cosine(query, vectors[i]))
    assert found[0].cosine == pytest.approx(cosine(query, vectors[nearest]), abs=1e-5)
    assert found[0].token == (pieces[nearest].decode().strip(" ") or "␣")
    assert not any("�" in each.token for each in found)
    assert "<eos>" not in [each.token for each in found]


def test_characters() -> None:
    of = inspected("char")
    shown = [each.token for each in near_tokens(of, "heron", 10**9)]
    assert "␣" in shown
    assert not set(shown) & {"<eos>", *"heron"}


@pytest.mark.parametrize(("kind", "word"), [("word", "zyzzyva"), ("char", "好"), ("bpe", " ")])
def test_a_word_that_the_model_does_not_know(kind: str, word: str) -> None:
    with pytest.raises(UsageError, match="is not in the vocabulary of m"):
        near_tokens(inspected(kind), word, 3)


@pytest.mark.parametrize("together", [3, 1000])
def test_nearest_lines(together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LINES", together)
    of = inspected("bpe")
    lines = [*LINES[:30], "", "  ", SAMPLE, *LINES[10:50], SAMPLE]
    texts = [LINES[3], "a new line", SAMPLE, ""]
    found = near_lines(of, texts, iter(lines), 5)
    embedder = Embedder(of.model, 1)
    vector = dict(zip(lines, embedder.embed(lines).astype(np.float64), strict=True))
    for text, query, near in zip(texts, embedder.embed(texts), found, strict=True):
        others = {line for line in lines if line.strip()} - {text}
        wanted = sorted(others, key=lambda line: -cosine(query.astype(np.float64), vector[line]))
        assert [each.text for each in near] == wanted[:5]
        for each in near:
            assert each.line == lines.index(each.text) + 1
            near_by = cosine(query.astype(np.float64), vector[each.text])
            assert each.cosine == pytest.approx(near_by, abs=1e-5)
    (few,) = near_lines(of, ["x"], ["a", "b", "a"], 5)
    assert sorted(each.text for each in few) == ["a", "b"]


def test_a_corpus_without_lines() -> None:
    with pytest.raises(DataError, match="no line to compare with"):
        near_lines(inspected("bpe"), ["x"], ["", " "], 5)


def test_the_view() -> None:
    of = inspected("word")
    text = "heron " * 100
    view = neighbours(of, ["heron", "the"], [text, "x"], [SAMPLE, "the heron"], 3)
    tables = [panel for panel in view.page.panels if isinstance(panel, Table)]
    assert [table.title for table in tables[:2]] == [
        "nearest to the word heron",
        "nearest to the word the",
    ]
    assert len(tables[2].title) < len(text)
    assert [next(iter(each)) for each in view.objects] == ["word", "word", "text", "text"]
    names = [each.get("word", each.get("text")) for each in view.objects]
    rows = iter(view.rows)
    for name, each, table in zip(names, view.objects, tables, strict=True):
        assert len(each["neighbours"]) == len(table.rows) == (3 if "word" in each else 2)
        for rank, near in enumerate(each["neighbours"], 1):
            shown = near["token"] if "word" in each else near["text"]
            assert next(rows) == (name, rank, shown, near["cosine"])
    assert next(rows, None) is None
