"""The view `surprise`: bits are those of `score`, expectations those of `predict`."""

from __future__ import annotations

import pytest

from rnntext.errors import UsageError
from rnntext.inspection.surprise import MOST_WORDS, SURPRISING, surprise, surprised_words
from rnntext.plotting.page import ColouredText, Table
from rnntext.runtime.predict import Predictor
from rnntext.runtime.score import Scorer
from tests.runtime.models import fixed_language_model

TEXTS = [
    "The heron counted the boats.",
    "  naïve café\t你好吗the  🙂, and  ",
    "one line\n\n and <eos> more\n",
    "<eos> <eos>",
    "\n",
    "",
    " ",
]
MODEL = fixed_language_model(with_sampler=False)


@pytest.mark.parametrize("text", TEXTS)
def test_words_have_their_score_their_place_and_their_prediction(text: str) -> None:
    found = surprised_words(MODEL, text, 3)
    (line,) = Scorer(MODEL).score([text], words=True)
    assert [(each.word, each.bits) for each in found] == [
        (word.word, word.bits) for word in line.words or []
    ]
    for each in found[:-1]:
        assert text[each.start :].startswith(each.word) or text[each.start] == "\n"
    assert found[-1].start == len(text)
    starts = [each.start for each in found]
    assert starts == sorted(starts)
    for each, wanted in zip(
        found, Predictor(MODEL).predict([text[:start] for start in starts], top_k=3), strict=True
    ):
        assert [e.word for e in each.expected] == [w.word for w in wanted.words]
        assert [e.probability for e in each.expected] == pytest.approx(
            [w.probability for w in wanted.words], rel=1e-4
        )


def test_many_words_are_predicted_in_batches() -> None:
    text = "The heron counted the boats. " * 30
    found = surprised_words(MODEL, text, 1)
    assert len(found) == 151
    wanted = Predictor(MODEL).predict([text[: found[140].start]], top_k=1)[0].words
    assert [e.word for e in found[140].expected] == [w.word for w in wanted]


def test_places_in_any_order() -> None:
    text = "The heron counted the boats."
    places = [17, 3, 3, 28, 0, 18]
    found = Predictor(MODEL).predict_along(text, places, top_k=2)
    wanted = Predictor(MODEL).predict([text[:place] for place in places], top_k=2)
    for words, each in zip(found, wanted, strict=True):
        assert [word.word for word in words] == [word.word for word in each.words]
    assert Predictor(MODEL).predict_along(text, []) == []


@pytest.mark.parametrize("text", TEXTS)
def test_the_pieces_are_the_text(text: str) -> None:
    view = surprise(MODEL, "m", [text])
    (coloured,) = (panel for panel in view.page.panels if isinstance(panel, ColouredText))
    shown = "".join(piece.text for piece in coloured.pieces)
    assert shown.endswith(" <eos>")
    assert "".join(shown.replace("<eos>", "").split()) == "".join(text.replace("<eos>", "").split())
    for piece, each in zip(coloured.pieces, view.objects, strict=True):
        assert piece.value == each["bits"]
        assert piece.note.startswith("expected ")
        assert each["expected"][0]["word"] in piece.note


def test_objects_rows_and_the_table_agree() -> None:
    view = surprise(MODEL, "m", TEXTS[:2], 2)
    assert [each["text"] for each in view.objects] == [1] * 6 + [2] * 9
    for row, each in zip(view.rows, view.objects, strict=True):
        assert list(row[:4]) == [each[name] for name in ("text", "position", "word", "bits")]
        pairs = [v for e in each["expected"] for v in (e["word"], e["probability"])]
        assert list(row[4:]) == pairs
        assert len(pairs) == 4
    (table,) = (panel for panel in view.page.panels if isinstance(panel, Table))
    wanted = sorted(view.objects, key=lambda each: -each["bits"])[:SURPRISING]
    assert [row[1] for row in table.rows] == [each["word"] for each in wanted]
    assert [row[2] for row in table.rows] == [round(each["bits"], 1) for each in wanted]
    assert len(table.rows) == SURPRISING < len(view.objects)


def test_a_long_text_is_refused() -> None:
    with pytest.raises(UsageError, match="a view shows at most 1,000"):
        surprise(MODEL, "m", ["a " * MOST_WORDS])
    with pytest.raises(UsageError, match="--top-k"):
        surprise(MODEL, "m", ["a"], 0)
