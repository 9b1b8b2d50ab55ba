"""Answers to batches of Arrow, here and where a pickle was sent."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pytest

import rnntext
from rnntext.errors import CheckpointError, DataError, UsageError
from rnntext.runtime import api, arrow_batches
from tests.conftest import environment

SAMPLE = "naïve café 你好 🙂"
TEXTS = ["The soup was cold.", "", SAMPLE, "a\nb", "The soup was cold."]
TABLE = pyarrow.table({"id": [*range(5)], "label": ["gold"] * 5, "text": TEXTS})


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several parts of a batch."""
    monkeypatch.setattr(arrow_batches, "_ROWS", 2)
    monkeypatch.setattr(arrow_batches, "_models", {})


def as_rows(answered: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = answered.to_pylist()
    return rows


@pytest.mark.parametrize("kind", ["batch", "table", "chunks"])
def test_a_classifier(kind: str, classifier: Path) -> None:
    model = rnntext.load(classifier, threads=1)
    answers = model.batches()
    given = {
        "batch": TABLE.to_batches()[0],
        "table": TABLE,
        "chunks": pyarrow.concat_tables([TABLE.slice(0, 1), TABLE.slice(1)]),
    }[kind]
    answered = answers(given)
    assert type(answered) is type(given)
    assert answered.schema == answers.schema(given.schema)
    assert answered.schema.names == ["id", "label", "text", "rnntext_label", "probability"]
    assert answered.select(["id", "label", "text"]).to_pylist() == TABLE.to_pylist()
    wanted = model.classify(TEXTS)
    assert answered["rnntext_label"].to_pylist() == [answer.label for answer in wanted]
    assert answered["probability"].to_pylist() == [answer.probability for answer in wanted]


def test_options_of_a_classifier(classifier: Path) -> None:
    model = rnntext.load(classifier, threads=1)
    rows = as_rows(model.batches(top_k=2, threshold=0.5, text_column="label")(TABLE))
    assert [row["probability"] >= 0.5 for row in rows] == [True] * 5
    assert [row["probability_2"] for row in rows] == [None] * 5
    for options, message in (
        ({"words": True}, "words says nothing to a classifier: it takes top_k, threshold"),
        ({"top_k": 0}, "top_k must be"),
        ({"threshold": 2}, "threshold must be"),
        ({"on_error": "stop"}, "--on-error"),
    ):
        with pytest.raises(UsageError, match=message):
            model.batches(**options)  # type: ignore[arg-type]


def test_columns_of_one_name_and_texts_that_arrow_cannot_take(classifier: Path) -> None:
    answers = rnntext.load(classifier, threads=1).batches(on_error="skip")
    first = pyarrow.array(TEXTS)
    last = pyarrow.array([TEXTS[0], None, TEXTS[1]], pyarrow.string_view())
    batch = pyarrow.RecordBatch.from_arrays([first.slice(0, 3), last], ["text", "text"])
    answered = answers(batch)
    assert answered.columns[1].to_pylist() == [TEXTS[0], TEXTS[1]]
    wanted = rnntext.load(classifier, threads=1).classify([TEXTS[0], TEXTS[1]])
    assert answered["label"].to_pylist() == [answer.label for answer in wanted]


def test_a_language_model(lm: Path) -> None:
    model = rnntext.load(lm, threads=1)
    rows = as_rows(model.batches(words=True)(TABLE))
    for row, wanted in zip(rows, model.score(TEXTS, words=True), strict=True):
        assert (row["perplexity"], row["tokens"]) == (wanted.perplexity, wanted.tokens)
        assert [word["word"] for word in row["words"]] == [w.word for w in wanted.words or ()]


def test_a_tagger(tagger: Path) -> None:
    model = rnntext.load(tagger, threads=1)
    rows = as_rows(model.batches(pretokenized=True)(TABLE))
    wanted = model.tag(TEXTS, pretokenized=True)
    assert [(r["words"], r["tags"]) for r in rows] == [(w.words, w.tags) for w in wanted]
    words = [["The", "a b"], []]
    rows = as_rows(model.batches()(pyarrow.table({"text": ["x", "y"], "words": words})))
    assert [row["rnntext_words"] for row in rows] == words
    assert [len(row["tags"]) for row in rows] == [2, 0]


def test_a_row_without_a_text(classifier: Path) -> None:
    model = rnntext.load(classifier, threads=1)
    table = pyarrow.table({"text": ["a", None, "b"]})
    with pytest.raises(DataError, match="the batch, row 2: 'text' is not a string"):
        model.batches()(table)
    rows = as_rows(model.batches(on_error="null")(table))
    assert [bool(row["label"]) for row in rows] == [True, False, True]
    assert [bool(row["error"]) for row in rows] == [False, True, False]
    assert [row["text"] for row in as_rows(model.batches(on_error="skip")(table))] == ["a", "b"]
    with pytest.raises(DataError, match=r"the batch has no column 'x'; it has: text \(name one"):
        model.batches(text_column="x")(table)


@pytest.mark.parametrize("on_error", ["fail", "null", "skip"])
def test_batches_without_rows(on_error: str, classifier: Path) -> None:
    answers = rnntext.load(classifier, threads=1).batches(on_error=on_error)
    for empty in (TABLE.slice(0, 0), TABLE.slice(0, 0).combine_chunks(), TABLE.to_batches()[0][:0]):
        answered = answers(empty)
        assert type(answered) is type(empty)
        assert (len(answered), answered.schema) == (0, answers.schema(TABLE.schema))
    if on_error == "skip":
        answered = answers(pyarrow.record_batch({"text": pyarrow.nulls(3, pyarrow.string())}))
        assert len(answered) == 0


def test_a_process_opens_a_model_once(classifier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not before it is called; the one that loaded it has it already."""
    answers = rnntext.load(classifier, threads=1).batches(top_k=1)
    opened: list[Path] = []
    real = api.open_model

    def open_model(directory: Path, *args: Any, **options: Any) -> Any:
        opened.append(directory)
        return real(directory, *args, **options)

    monkeypatch.setattr(api, "open_model", open_model)
    wanted = answers(TABLE)
    content = pickle.dumps(answers)
    assert len(content) < 2000
    copies = [pickle.loads(content) for _ in range(2)]  # noqa: S301
    other = pickle.loads(pickle.dumps(rnntext.load(classifier, threads=1).batches(top_k=2)))  # noqa: S301
    opened.clear()
    assert [copy(TABLE) for copy in copies] == [wanted, wanted]
    assert other(TABLE).num_columns == wanted.num_columns + 2
    assert opened == [classifier]


def test_another_model_by_then(classifier: Path, tagger: Path, tmp_path: Path) -> None:
    link = tmp_path / "model"
    link.symlink_to(classifier)
    content = pickle.dumps(rnntext.load(link, threads=1).batches())
    link.unlink()
    link.symlink_to(tagger)
    with pytest.raises(CheckpointError, match="another model than the one that was pickled"):
        pickle.loads(content)(TABLE)  # noqa: S301


def test_neither_making_nor_pickling_needs_more_than_pyarrow(classifier: Path) -> None:
    program = (
        "import sys, pyarrow, rnntext\n"
        "answers = rnntext.load(sys.argv[1], threads=1).batches()\n"
        "print(answers(pyarrow.table({'text': ['a']})).num_rows)\n"
        "print([m for m in ('torch', 'datasets', 'pandas', 'dask') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(classifier)],
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )
    assert done.stdout.splitlines()[0] == "1"
    assert "'torch'" not in done.stdout
    assert "'datasets'" not in done.stdout
