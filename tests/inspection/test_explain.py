"""The view of which words decided an answer."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rnntext.errors import UsageError
from rnntext.inspection.explain import explain
from rnntext.inspection.reading import InspectedModel
from rnntext.plotting.page import ColouredText, Heatmap, Note, Table, View
from tests.inspection.explained import FOUR, SENTENCE, TWO, explained_model

SPACED = "  the boat,\nnaïve  café 🙂 "


def panels(view: View, kind: type[Any]) -> list[Any]:
    return [panel for panel in view.page.panels if isinstance(panel, kind)]


@pytest.mark.parametrize("linear", [False, True])
def test_the_texts_of_a_classifier(linear: bool) -> None:
    view = explain(explained_model("classify", linear=linear), [SENTENCE, SPACED])
    assert [each["text"] for each in view.objects] == [1, 2]
    coloured = panels(view, ColouredText)
    strongest, checks = panels(view, Table)[::2], panels(view, Table)[1::2]
    for text, found, picture in zip((SENTENCE, SPACED), view.objects, coloured, strict=True):
        assert "".join(piece.text for piece in picture.pieces) == text
        totals = [word["total"] for word in found["explanation"]]
        assert [piece.value for piece in picture.pieces][: len(totals)] == totals
        assert picture.high == -picture.low == max(map(abs, totals))
        assert f"{found['label']}, probability {found['probability']:.4f}" in picture.title
        assert ("linear" in picture.pieces[0].note) == linear
    for found, table, check in zip(view.objects, strongest, checks, strict=True):
        size = 4 if linear else 2
        assert len(table.header) == len(check.header) == size
        assert all(len(row) == size for row in (*table.rows, *check.rows))
        assert (
            check.title
            == f"check: are the shares complete? ({found['steps']} steps of the integral)"
        )
        words = {(word["word"], word["total"]) for word in found["explanation"]}
        assert {(row[0], row[-1]) for row in table.rows} <= words
        sizes = [abs(row[-1]) for row in table.rows]
        assert sizes == sorted(sizes, reverse=True)
        of = {row[0]: row[-1] for row in check.rows}
        parts = ("all words", "without words", "several other labels")
        assert sum(of[part] for part in parts) == pytest.approx(of["sum"], abs=1e-9)
        assert of["log-odds of the answer"] == found["log_odds"]
        assert of["sum"] - of["log-odds of the answer"] == pytest.approx(of["difference"])
        assert of["difference"] == found["difference"]
        without = found["without_words"]
        assert of["all words"] == pytest.approx(sum(word["total"] for word in found["explanation"]))
        assert of["without words"] == pytest.approx(without["network"] + (without["linear"] or 0))
        assert (without["linear"] is None) == (not linear)
        assert of["several other labels"] == without["others"]


def test_rows_of_a_classifier() -> None:
    view = explain(explained_model("classify", TWO), ["the boat", "café"], "pos")
    objects = [
        (each["text"], "pos", *word.values())
        for each in view.objects
        for word in each["explanation"]
    ]
    assert [tuple(row) for row in view.rows] == objects
    assert len(objects) == 3
    # Two labels share nothing with others.
    assert not any("several other labels" in row for t in panels(view, Table) for row in t.rows)
    plain = explain(explained_model("classify", TWO, linear=False), ["the boat"])
    assert [row[4] for row in plain.rows] == ["", ""]


def test_a_word_of_a_sentence() -> None:
    model = explained_model("tag")
    for word in ("4", "row", "ROW"):
        view = explain(model, [SENTENCE], word=word)
        (found,) = view.objects
        assert (found["step"], found["word"]) == (4, "row")
        assert found["label"] in FOUR
        (picture,) = panels(view, ColouredText)
        assert "".join(piece.text for piece in picture.pieces) == SENTENCE
        assert picture.title.startswith(f"row: {found['label']}, probability ")
        assert [tuple(row[:4]) for row in view.rows] == [(1, 4, "row", found["label"])] * 12
        assert view.rows[1][4:] == ("ca", *list(found["explanation"][1].values())[1:])
    other = explain(model, [SENTENCE], label="naïve", word="4").objects[0]
    assert other["label"] == "naïve"


@pytest.mark.parametrize(
    ("text", "word", "step"),
    [("A a", "a", 2), ("A b", "a", 1), ("7 2 2", "2", 2), ("7 9", "9", 2), ("9 ²", "²", 2)],
)
def test_which_word_is_meant(text: str, word: str, step: int) -> None:
    (found,) = explain(explained_model("tag"), [text], word=word).objects
    assert found["step"] == step


def test_all_words_of_a_sentence() -> None:
    view = explain(explained_model("tag"), [SENTENCE, "the boat"])
    assert [(each["text"], each["step"]) for each in view.objects] == [
        *((1, step) for step in range(1, 13)),
        *((2, step) for step in range(1, 3)),
    ]
    first, second = panels(view, Heatmap)
    assert first.values.shape == (12, 12)
    assert second.title == "the boat"
    for row, each in enumerate(view.objects[:12]):
        totals = [word["total"] for word in each["explanation"]]
        np.testing.assert_array_equal(first.values[row], totals)
        assert first.rows[row] == f"{each['word']} {each['label']}"
        table = panels(view, Table)[0].rows[row]
        strongest = int(np.argmax(np.abs(totals)))
        assert table[:4] == (each["word"], each["label"], each["probability"], each["log_odds"])
        assert table[4:] == (first.columns[strongest], totals[strongest], each["difference"])
    # A word far away gives the linear half nothing.
    assert view.objects[0]["explanation"][7]["linear"] == 0


def test_an_int8_model_says_so() -> None:
    model = explained_model("tag")
    saved: Any = SimpleNamespace(precision="int8", quantization=None, tag_column=None)
    int8 = InspectedModel(replace(model.model, saved=saved), "int8")
    notes = [note.text for note in panels(explain(int8, ["the boat"]), Note)]
    assert any("float32" in note for note in notes)
    assert len(panels(explain(model, ["the boat"]), Note)) == len(notes) - 1


@pytest.mark.parametrize(
    ("task", "text", "options", "message"),
    [
        ("classify", "x", {"word": "x"}, "--word is for a tagger, and fixed is a classifier"),
        ("classify", "x", {"label": "Y"}, "does not know the label 'Y'"),
        ("classify", "1 " * 3000, {}, "text 1 has more than 2,000 tokens"),
        ("tag", "the boat", {"word": "3"}, "--word 3: the sentence has no such word; it has 2"),
        ("tag", "the boat", {"word": "0"}, "--word 0: the sentence has no such word"),
        ("tag", "the boat", {"label": "Y"}, "does not know the label 'Y'"),
        ("tag", " ", {}, "the text has no word"),
        ("tag", "a " * 41, {}, "has 41 words, and the tags of at most 40 are explained together"),
    ],
)
def test_what_is_refused(task: str, text: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        explain(explained_model(task), [text], **options)


def test_a_language_model_has_no_answer_to_explain() -> None:
    model = explained_model("classify")
    encoder = replace(model.config.encoder, bidirectional=False)
    config = replace(model.config, task="lm", encoder=encoder, labels=(), max_length=0)
    lm = InspectedModel(replace(model.model, config=config), "prose")
    with pytest.raises(UsageError, match=r"prose is a language model.*`rnntext score --words`"):
        explain(lm, ["x"])
