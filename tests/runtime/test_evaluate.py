"""What an evaluation takes from a model: its labels, and how its training data were read."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rnntext.checkpoint_config import CheckpointConfig
from rnntext.config import EncoderConfig, ModelConfig
from rnntext.errors import CheckpointError, UsageError
from rnntext.runtime import evaluate
from rnntext.runtime.evaluate import (
    label_names,
    other_tag_column,
    reading_options,
    trained_tables,
    unknown_labels,
)
from rnntext.text.formats import DataOptions

ENCODER = EncoderConfig("lstm", 300, 4, 5, 1, False)


@pytest.mark.parametrize(
    ("task", "labels", "names"),
    [
        ("lm", (), ()),
        ("classify", ("pos", "B-x"), ("pos", "B-x")),
        ("tag", ("NOUN", "O"), ("NOUN", "O")),
        ("tag", ("B", "I", "O"), ("span",)),
        ("tag", ("O", "B-place-name", "I-place-name", "B-naïve"), ("naïve", "place-name")),
    ],
)
def test_names_of_labels(task: str, labels: tuple[str, ...], names: tuple[str, ...]) -> None:
    assert label_names(ModelConfig(task, ENCODER, labels, max_length=9)) == names


def test_unknown_labels_are_counted() -> None:
    supports = {"a": 3, "new": 2, "only predicted": 0, "newer": 1}
    table = {label: {"f1": 0.0, "support": support} for label, support in supports.items()}
    assert unknown_labels({"per_label": table}, ("a", "b")) == {"new": 2, "newer": 1}
    assert unknown_labels({"perplexity": 2.0}, ()) == {}


# How data are read


def model_trained_with(**options: Any) -> Any:
    multi_label = options.get("multi_label", False)
    training = {"options": options, "recipe": {}, "machine": "", "threads": 1, "torch_version": ""}
    saved = CheckpointConfig(Path("m/config.json"), {"training": training})
    return SimpleNamespace(config=SimpleNamespace(multi_label=multi_label), saved=saved)


TABLE = {"text_column": "review", "label_column": "stars"}


@pytest.mark.parametrize(
    ("options", "paths", "given", "wanted"),
    [
        # The same extension, or none: everything as in training.
        ({"data": ["a.csv"], **TABLE}, ["b.csv.gz", "-"], {}, TABLE),
        (
            {"data": ["a.txt"], "format": "fasttext", "encoding": "latin-1", "max_line": 99},
            ["b.txt"],
            {},
            {"format": "fasttext", "encoding": "latin-1", "max_line": 99},
        ),
        ({"data": ["a.txt"], "format": "csv", **TABLE}, ["b"], {}, {"format": "csv", **TABLE}),
        # Another extension: the format is detected; tables have the same columns.
        ({"data": ["a.txt"], "format": "csv", **TABLE}, ["b.tsv"], {}, TABLE),
        # A delimiter is that of one extension.
        (
            {"data": ["a.csv"], "delimiter": ";", "header": False, "text_column": "2"},
            ["b.csv"],
            {},
            {"delimiter": ";", "header": False, "text_column": "2"},
        ),
        ({"data": ["a.csv"], "delimiter": ";"}, ["b.tsv"], {}, {}),
        ({"data": ["hf:imdb"], **TABLE}, ["b.parquet"], {}, TABLE),
        ({"data": ["a.jsonl"], "tag_column": "ner"}, ["b.parquet"], {}, {"tag_column": "ner"}),
        ({"data": ["a.conllu"], "tag_column": "xpos"}, ["b.conllu"], {}, {"tag_column": "xpos"}),
        ({"data": ["a.conllu"], "tag_column": "xpos"}, ["-"], {}, {"tag_column": "xpos"}),
        # Another kind of file: xpos is no column of it, and a plain text has none.
        ({"data": ["a.conllu"], "tag_column": "xpos"}, ["b.conll"], {}, {}),
        (
            {"data": ["a.conllu"], "tag_column": "xpos"},
            ["b"],
            {"format": "conll"},
            {"format": "conll"},
        ),
        ({"data": ["a.csv"], **TABLE, "encoding": "cp1252"}, ["b.txt"], {}, {"encoding": "cp1252"}),
        ({"data": ["a.csv"], **TABLE}, ["b.csv", "c.txt"], {}, {}),
        # What is given goes first; other options of the run say nothing of reading.
        (
            {"data": ["a.csv"], **TABLE, "lr": 0.1, "split": "train", "valid": "v.csv"},
            ["b.csv"],
            {"label_column": "label", "split": "train"},
            {"text_column": "review", "split": "train"},
        ),
        ({"data": ["a.txt"], "format": "csv"}, ["b.txt"], {"format": "tsv"}, {"format": "tsv"}),
        ({"data": ["a.csv"], "label_column": "", "text_column": ""}, ["b.csv"], {}, {}),
    ],
)
def test_data_are_read_like_the_training_data(
    options: dict[str, Any], paths: list[str], given: dict[str, Any], wanted: dict[str, Any]
) -> None:
    found = reading_options(model_trained_with(**options), paths, given)
    assert found == DataOptions(**{"split": "test", **wanted})


@pytest.mark.parametrize(
    ("task", "options", "wanted"),
    [
        ("classify", {"data": ["a.csv"]}, {"text_column": "text"}),
        ("lm", {"data": ["a.jsonl"], "text_column": "body"}, {"text_column": "body"}),
        ("lm", {"data": ["a.json"], "text_column": "body"}, {"text_column": "body"}),
        ("classify", {"data": ["hf:imdb"]}, {"text_column": "text"}),
        ("classify", {"data": ["a.parquet"]}, {"text_column": "text"}),
        ("classify", {"data": ["a.txt"], "format": "tsv"}, {"text_column": "text"}),
        (
            "classify",
            {"data": ["a.csv"], "delimiter": ";", "header": False, "text_column": "2"},
            {"delimiter": ";", "header": False, "text_column": "2"},
        ),
        # Their texts came from no column.
        ("lm", {"data": ["a.txt"]}, None),
        ("classify", {"data": ["a.csv"], "format": "fasttext"}, None),
        ("tag", {"data": ["a.jsonl"]}, None),
    ],
)
def test_how_the_tables_were_read_that_a_model_was_trained_with(
    task: str,
    options: dict[str, Any],
    wanted: dict[str, Any] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = model_trained_with(**options).saved.content
    labels = () if task == "lm" else ("a", "O")
    model = ModelConfig(task, ENCODER, labels, max_length=0 if task == "lm" else 9)
    monkeypatch.setattr(evaluate, "load_config", lambda _: {**content, "model": model.to_json()})
    found = trained_tables(Path("m"), ["b.csv"])
    assert found == (None if wanted is None else DataOptions(**wanted))


def test_a_directory_is_no_table(tmp_path: Path) -> None:
    model = model_trained_with(data=["a.csv"], **TABLE)
    assert reading_options(model, [str(tmp_path)], {}) == DataOptions(split="test")
    model = model_trained_with(data=[str(tmp_path)], **TABLE)
    assert reading_options(model, [str(tmp_path)], {}) == DataOptions(split="test", **TABLE)


def test_several_labels_are_separated_as_in_training() -> None:
    model = model_trained_with(data=["a.csv"], multi_label=True, label_separator=";")
    wanted = DataOptions(multi_label=True, label_separator=";", split="test")
    assert reading_options(model, ["b.csv"], {}) == wanted


def test_models_without_a_sound_record_of_their_training() -> None:
    model = model_trained_with(data=["a.csv"])
    with pytest.raises(UsageError, match="--label-separator needs --multi-label"):
        reading_options(model, ["b.csv"], {"label_separator": ";"})
    with pytest.raises(CheckpointError, match=r"^m/config\.json is damaged .*text_column"):
        reading_options(model_trained_with(data=["a.csv"], text_column=7), ["b.csv"], {})
    for saved in (None, CheckpointConfig(Path("m/config.json"), {})):
        model.saved = saved
        assert reading_options(model, ["b.csv"], {}) == DataOptions(split="test")


@pytest.mark.parametrize(
    ("trained", "read", "found"),
    [
        (None, "xpos", None),  # the user says so, and the model does not
        ("feats", "feats", None),
        ("feats", "FEATS", None),
        ("feats", "6", None),
        ("feats", "upos", ("feats", "upos")),
        ("feats", None, ("feats", "")),
        ("labels", "tags", ("labels", "tags")),
    ],
)
def test_tags_of_another_column_are_noticed(
    trained: str | None, read: str | None, found: tuple[str, str] | None
) -> None:
    options = {} if trained is None else {"tag_column": trained}
    model = model_trained_with(data=["a.conllu"], **options)
    assert other_tag_column(model, DataOptions(tag_column=read)) == found
