"""From files to training data: the split, the tokenizer, the ids, the cache, and refusals."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnntext.errors import DataError
from rnntext.text import lines
from rnntext.text.tables import Row
from rnntext.text.tokenizer import Tokenizer, tokenizer_config_to_json
from rnntext.training.data import loading as data_module
from rnntext.training.data import prepare
from rnntext.training.data import sampling as sample
from rnntext.training.data.examples import LabelledIds, LabelledRows
from rnntext.training.data.loading import Data, tokenizer_of
from rnntext.training.options import TrainingOptions
from rnntext.training.tasks.base import get_task
from rnntext.training.tasks.classifier import LabelledExamples
from rnntext.training.tasks.language_model import TextExamples
from rnntext.training.tasks.tagger import TaggedExamples

SAMPLE = "naïve café 你好 🙂"


def load_data(options: TrainingOptions, *args: Any, **more: Any) -> Data[Any]:
    return data_module.load_data(get_task(options.task), options, *args, **more)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "rnntext"


def write(path: Path, *lines: str) -> str:
    path.write_text("".join(line + "\n" for line in lines), "utf-8")
    return str(path)


def language(*data: str, **options: Any) -> Data[TextExamples]:
    loaded = load_data(TrainingOptions("lm", data, **options))
    assert isinstance(loaded.examples, TextExamples)
    return loaded


def texts(loaded: LanguageData) -> tuple[str, list[str]]:
    """Decode the training text and the validation documents."""
    decode = loaded.tokenizer.decode
    return decode(loaded.examples.stream[:]), [
        decode(document) for document in loaded.examples.valid
    ]


# Language models


def test_training_and_validation_text_make_up_the_file(tmp_path: Path) -> None:
    lines = [f"{SAMPLE} line {number}" for number in range(200)]
    path = write(tmp_path / "text", *lines)
    loaded = language(path, tokenizer="byte")
    train, valid = texts(loaded)
    both = (train + "".join(valid)).splitlines()
    assert sorted(both) == sorted(lines)
    assert 10 <= len("".join(valid).splitlines()) <= 30
    summary = loaded.summary
    assert (summary.unit, summary.train + summary.valid) == ("lines", 200)
    assert summary.characters == len(train)
    assert summary.duplicates == 0
    assert not summary.cut_short
    assert loaded.examples.valid_bytes == len("".join(valid).encode())
    digest = b"".join(line.encode() + b"\0" for line in train.splitlines())
    assert summary.fingerprint == hashlib.sha256(digest).hexdigest()


def test_the_split_depends_on_the_seed(tmp_path: Path) -> None:
    path = write(tmp_path / "text", *(f"line {number}" for number in range(200)))
    one, two, other = (language(path, tokenizer="byte", seed=seed) for seed in (0, 0, 1))
    assert texts(one) == texts(two)
    assert texts(one) != texts(other)


def test_a_named_validation_file(tmp_path: Path) -> None:
    path = write(tmp_path / "train", *(f"line {number}" for number in range(30)))
    valid = write(tmp_path / "valid", "line 3", "", SAMPLE, "line 3", "line 4")
    loaded = language(path, valid=valid, tokenizer="byte")
    assert texts(loaded) == (Path(path).read_text(), [Path(valid).read_text()])
    # Lines of the validation file that are in the training text: "line 3" twice, "line 4" once.
    assert loaded.summary.duplicates == 3
    assert loaded.examples.valid_bytes == Path(valid).stat().st_size


def test_each_file_is_a_document(tmp_path: Path) -> None:
    (tmp_path / "valid").mkdir()
    for name, text in (("a", "one"), ("b", "two"), ("c", "three")):
        write(tmp_path / "valid" / name, text, "end")
    path = write(tmp_path / "train", *(f"line {number}" for number in range(30)))
    loaded = language(path, valid=str(tmp_path / "valid"), tokenizer="byte")
    assert texts(loaded)[1] == ["one\nend\n", "two\nend\n", "three\nend\n"]


def test_the_number_of_bytes_is_known_where_the_tokenizer_loses_none(tmp_path: Path) -> None:
    path = write(tmp_path / "text", *["the cat sat"] * 20)
    known = write(tmp_path / "known", "that cat")
    unknown = write(tmp_path / "unknown", "the dog")

    def valid_bytes(valid: str, tokenizer: str, **options: Any) -> int | None:
        return language(path, valid=valid, tokenizer=tokenizer, **options).examples.valid_bytes

    assert valid_bytes(known, "char") == 9
    assert valid_bytes(unknown, "char") is None
    assert valid_bytes(known, "word") is None
    assert valid_bytes(unknown, "byte") == 8
    assert valid_bytes(unknown, "byte", lowercase=True) is None


@pytest.mark.parametrize("lines", [["only one line of it"], [""], ["", " ", ""]])
def test_one_line_is_too_little(lines: list[str], tmp_path: Path) -> None:
    path = write(tmp_path / "text", *lines)
    with pytest.raises(DataError, match=r"text: one line of text is too little .* --valid"):
        language(path)


def test_few_tokens_are_too_few(tmp_path: Path) -> None:
    path = write(tmp_path / "text", "a", "b", "c")
    with pytest.raises(DataError, match=r"text: \d+ tokens are too few to train on"):
        language(path, tokenizer="byte")


def test_an_empty_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing is empty"):
        language(write(tmp_path / "nothing"))


def test_text_split_into_words_keeps_its_words(tmp_path: Path) -> None:
    """The Penn Treebank as prepared for language modelling: words are separated by spaces, numbers
    and rare words are replaced."""
    lines = [
        " the <unk> ca n't rise N % in mr. <unk> 's $ N billion u.s. fund ",
        " pierre <unk> N years old will join the board as a nonexecutive director nov. N ",
        " no-one expects <unk> & co. to <unk> ",
    ]
    path = write(tmp_path / "train", *lines * 3)
    valid = write(tmp_path / "valid", " the board will <unk> N years ", " a chairman 's fund ")
    loaded = language(path, valid=valid, tokenizer="word")
    tokenizer = loaded.tokenizer
    assert tokenizer.config.presplit
    words = {word for line in lines for word in line.split()}
    # The text has an unknown word already, so every other word is in the vocabulary.
    assert {tokenizer.token(i) for i in range(tokenizer.vocab_size)} == words | {"<eos>"}
    tokens = [[tokenizer.token(i) for i in document] for document in loaded.examples.valid]
    assert tokens == [
        ["the", "board", "will", "<unk>", "N", "years", "<eos>",
         "a", "<unk>", "'s", "fund", "<eos>"]
    ]  # fmt: skip
    spelled = [tokenizer.token(i) for i in loaded.examples.stream[:]]
    assert " ".join(spelled).replace(" <eos>", "\n").split() == " ".join(lines * 3).split()
    assert loaded.examples.valid_bytes is None


def test_another_models_tokenizer_is_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "text", *(f"line {number}" for number in range(50)))
    tokenizer = Tokenizer.train("char", ["lines 12"], vocab_size=20)
    loaded = load_data(TrainingOptions("lm", (path,)), tokenizer)
    assert loaded.tokenizer is tokenizer
    config = tokenizer_config_to_json(tokenizer.config)
    assert tokenizer_of(tokenizer.to_json(), config).encode(["lie"])[0].tolist() == (
        tokenizer.encode(["lie"])[0].tolist()
    )


def test_a_part_is_used_where_encoding_runs_out_of_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time ends when 20 of 180 lines are encoded. `spent` is called 18 times while the lines
    are read, once when encoding begins, and after each 10 lines."""
    monkeypatch.setattr(prepare, "CHUNK", 10)
    path = write(tmp_path / "train", *(f"line {number:03}" for number in range(180)))
    valid = write(tmp_path / "valid", "line 001", "line 170")
    answers = itertools.chain([0.0] * 20, itertools.repeat(0.9))
    options = TrainingOptions("lm", (path,), valid=valid, tokenizer="byte")
    loaded = load_data(options, spent=lambda: next(answers))
    assert isinstance(loaded.examples, TextExamples)
    lines = texts(loaded)[0].splitlines()
    assert lines == [f"line {number:03}" for number in range(20)]
    summary = loaded.summary
    assert (summary.train, summary.valid) == (20, 2)
    assert summary.cut_short
    assert summary.characters == 20 * len("line 000\n")
    assert summary.duplicates == 1  # lines that were not read do not count
    whole = language(path, valid=valid, tokenizer="byte").summary
    assert summary.fingerprint != whole.fingerprint
    assert not whole.cut_short


def test_a_part_is_used_where_reading_runs_out_of_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "CHUNK", 10)
    path = write(tmp_path / "train", *(f"line {number:03}" for number in range(180)))
    valid = write(tmp_path / "valid", "line 001", "line 170")
    options = TrainingOptions("lm", (path,), valid=valid, tokenizer="byte")
    # Encoding has some time even where reading took too long, so all that was read is encoded.
    answers = itertools.chain([0.0] * 3, itertools.repeat(0.2))
    summary = load_data(options, spent=lambda: next(answers)).summary
    assert summary.train == 30
    assert summary.cut_short


# Classifiers


def table(path: Path, rows: list[tuple[str, str]]) -> str:
    return write(path, *(json.dumps({"text": text, "label": label}) for text, label in rows))


def labelled(*data: str, **options: Any) -> Data[LabelledExamples]:
    loaded = load_data(TrainingOptions("classify", data, **{"tokenizer": "byte", **options}))
    assert isinstance(loaded.examples, LabelledExamples)
    return loaded


def everything(train: LabelledRows) -> LabelledIds:
    return train.read(range(len(train)))


def rows_of(loaded: Data[LabelledExamples]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    sides = []
    for side in (everything(loaded.examples.train), loaded.examples.valid):
        assert (side.labels.sum(1) == 1).all()
        sides.append(
            [
                (loaded.tokenizer.decode(ids), loaded.labels[label])
                for ids, label in zip(side.ids, side.labels.argmax(1), strict=True)
            ]
        )
    return sides[0], sides[1]


def test_examples_keep_their_labels(tmp_path: Path) -> None:
    rows = [(f"{SAMPLE} {number}", "pos" if number % 3 else "neg") for number in range(60)]
    loaded = labelled(table(tmp_path / "d.jsonl", rows))
    train, valid = rows_of(loaded)
    assert loaded.labels == ("neg", "pos")
    assert sorted(train + valid) == sorted(rows)
    assert len(valid) == 6
    assert {label for _, label in valid} == {"neg", "pos"}
    summary = loaded.summary
    assert (summary.unit, summary.train, summary.valid) == ("documents", 54, 6)
    assert summary.labels == {"neg": 18, "pos": 36}
    assert summary.characters == sum(len(text) for text, _ in train)
    assert rows_of(labelled(table(tmp_path / "d.jsonl", rows))) == (train, valid)


def test_equal_texts_are_never_split_and_duplicates_of_a_named_file_are_counted(
    tmp_path: Path,
) -> None:
    rows = [(f"text {number // 2}", "ab"[number % 4 // 2]) for number in range(40)]
    path = table(tmp_path / "d.jsonl", rows)
    loaded = labelled(path)
    assert loaded.summary.duplicates == 0
    assert loaded.summary.valid > 0
    valid = table(tmp_path / "v.jsonl", [("text 0", "a"), ("text 7", "b"), ("new", "a")])
    assert labelled(path, valid=valid).summary.duplicates == 2


def test_training_splits_a_long_sentence_into_pieces(tmp_path: Path) -> None:
    """No piece begins with an I- tag, though pieces end inside spans. Validation has the whole
    sentence."""
    tags = ["O", "B-x", "I-x", "I-x"] * 500
    rows = [{"words": ["ab"] * 2000, "tags": tags}, {"words": ["ab", "cd"], "tags": ["O", "O"]}]
    path = write(tmp_path / "d.jsonl", *map(json.dumps, rows))
    loaded = load_data(TrainingOptions("tag", (path,), valid=path, tokenizer="byte"))
    assert isinstance(loaded.examples, TaggedExamples)
    assert (loaded.summary.train, loaded.summary.valid) == (2, 2)
    pieces = loaded.examples.train.read(range(len(loaded.examples.train)))
    assert max(len(piece.ids) for piece in pieces) <= 512
    learned = [[loaded.labels[tag] for tag in piece.tags] for piece in pieces]
    assert learned[-1] == ["O", "O"]
    assert {words[0] for words in learned} == {"O", "B-x"}
    flat = [tag for words in learned[:-1] for tag in words]
    assert len(flat) == len(tags)
    assert {(one, two) for one, two in zip(flat, tags, strict=True) if one != two} == {
        ("B-x", "I-x")
    }
    assert [loaded.labels[tag] for tag in loaded.examples.valid[0].tags] == tags


@pytest.mark.parametrize("task", ["classify", "tag"])
def test_the_first_examples_are_used_where_time_runs_out(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """90 of 200 examples are read; 9 are for validation, and of the others 20 are encoded."""
    monkeypatch.setattr(prepare, "CHUNK", 10)
    rows = [
        {"text": f"text {n}", "label": "ab"[n % 2], "words": [f"w{n}"], "tags": ["xy"[n % 2]]}
        for n in range(200)
    ]
    path = write(tmp_path / "d.jsonl", *map(json.dumps, rows))
    options = TrainingOptions(task, (path,), tokenizer="byte")
    answers = itertools.chain([0.0] * 9, [0.2, 0.2, 0.2], itertools.repeat(0.9))
    cut = load_data(options, spent=lambda: next(answers))
    assert isinstance(cut.examples, LabelledExamples | TaggedExamples)
    summary = cut.summary
    assert (summary.read, summary.valid, summary.train) == (90, 9, 20)
    assert summary.cut_short
    assert cut.encoded.place is None
    assert len(cut.examples.train) == 20
    whole = load_data(options).summary
    assert (whole.read, whole.train, whole.cut_short) == (200, 180, False)
    again = load_data(replace(options, part=(summary.read, summary.train))).summary
    assert again == summary


@pytest.mark.parametrize("task", ["classify", "tag"])
def test_examples_from_a_pipe_without_end(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe is copied for a part of the time, to the end of a line, which may be inside a row."""
    monkeypatch.setattr("rnntext.text.source.CHUNK_BYTES", 100)
    if task == "classify":
        text = "text,label\n" + "".join(f'"two\nlines {n}",{"ab"[n % 2]}\n' for n in range(99))
    else:
        text = "".join(f"w{n} X\nv Y\n\n" for n in range(99))
    pipe = tmp_path / {"classify": "pipe.csv", "tag": "pipe.conll"}[task]
    os.mkfifo(pipe)
    # Open for reading and writing: nobody waits for the other end, and the text does not end.
    both_ends = os.open(pipe, os.O_RDWR)
    os.write(both_ends, text.encode())
    options = TrainingOptions(task, (str(pipe),), tokenizer="byte")
    answers = itertools.chain([0.0] * 5, itertools.repeat(0.12))
    loaded = load_data(options, spent=lambda: next(answers))
    os.close(both_ends)
    summary = loaded.summary
    assert summary.cut_short
    assert 10 < summary.read < 60
    assert summary.read == summary.train + summary.valid


def test_a_label_of_one_example_is_named_with_its_place(tmp_path: Path) -> None:
    rows = [("one", "a"), ("two", "b"), ("three", "a"), ("four", "lone"), ("five", "b")]
    path = table(tmp_path / "d.jsonl", rows)
    message = r"d\.jsonl, line 4: the label 'lone' is seen only here"
    with pytest.raises(DataError, match=message):
        labelled(path)


def test_a_single_label_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path / "d.jsonl", [(f"text {n}", "same") for n in range(9)])
    with pytest.raises(DataError, match=r"d\.jsonl has only the label 'same'"):
        labelled(path)


def test_too_few_examples_to_validate(tmp_path: Path) -> None:
    path = table(tmp_path / "d.jsonl", [("x", "a"), ("x", "a"), ("x", "b"), ("x", "b")])
    with pytest.raises(DataError, match=r"4 examples are too few, or .* --valid"):
        labelled(path)


def test_a_validation_label_that_training_does_not_have(tmp_path: Path) -> None:
    path = table(tmp_path / "d.jsonl", [(f"text {n}", "ab"[n % 2]) for n in range(8)])
    valid = table(tmp_path / "v.jsonl", [("x", "a"), ("y", "new")])
    with pytest.raises(
        DataError, match=r"v\.jsonl, line 2: the label 'new' is not in .* a, b: take it"
    ):
        labelled(path, valid=valid)


def test_many_labels_are_not_all_listed(tmp_path: Path) -> None:
    path = table(tmp_path / "d.jsonl", [(f"text {n}", f"label{n // 2:02}") for n in range(40)])
    valid = table(tmp_path / "v.jsonl", [("x", "new")])
    with pytest.raises(DataError, match=r"label11 and 8 more: take it"):
        labelled(path, valid=valid)


def test_several_labels_and_none(tmp_path: Path) -> None:
    lines = [
        json.dumps({"text": f"text {n}", "label": ["x", "y", "z"][: n % 4]}) for n in range(40)
    ]
    path = write(tmp_path / "d.jsonl", *lines)
    loaded = labelled(path, multi_label=True)
    assert loaded.labels == ("x", "y", "z")
    for side in (everything(loaded.examples.train), loaded.examples.valid):
        for ids, row in zip(side.ids, side.labels, strict=True):
            number = int(loaded.tokenizer.decode(ids).split()[1])
            assert row.tolist() == [float(place < number % 4) for place in range(3)]
    assert len(loaded.examples.train.ids) + len(loaded.examples.valid.ids) == 40


def test_no_labels_at_all(tmp_path: Path) -> None:
    path = write(tmp_path / "d.jsonl", *[json.dumps({"text": "x", "label": []})] * 9)
    with pytest.raises(DataError, match=r"d\.jsonl has no labels: give examples that have some"):
        labelled(path, multi_label=True)


def test_an_empty_label_is_refused_with_its_line(tmp_path: Path) -> None:
    path = table(tmp_path / "d.jsonl", [("one", "a"), ("two", "b"), ("three", "")])
    with pytest.raises(DataError, match=r"d\.jsonl, line 3 has no label"):
        labelled(path)


@pytest.mark.parametrize("tokenizer", ["byte", "word"])
def test_an_empty_text_is_an_empty_line(tokenizer: str, tmp_path: Path) -> None:
    rows = [(f"text text {n}", "ab"[n % 2]) for n in range(8)]
    valid = table(tmp_path / "v.jsonl", [("", "a"), ("text", "b")])
    loaded = labelled(table(tmp_path / "d.jsonl", rows), valid=valid, tokenizer=tokenizer)
    assert loaded.examples.valid.ids[0].tolist() == [loaded.tokenizer.eos_id]
    assert loaded.examples.valid.ids[1].tolist() != [loaded.tokenizer.eos_id]


# Taggers


def columns(path: Path, *sentences: str) -> str:
    """Write sentences given as `the/O cat/B-x`, a word and its tag on each line."""
    lines = []
    for sentence in sentences:
        lines += [" ".join(word.split("/")) for word in sentence.split()]
        lines.append("")
    return write(path, *lines)


def tagged(*data: str, **options: Any) -> Data[TaggedExamples]:
    loaded = load_data(TrainingOptions("tag", data, **{"tokenizer": "byte", **options}))
    assert isinstance(loaded.examples, TaggedExamples)
    return loaded


def test_words_keep_their_tags(tmp_path: Path) -> None:
    given = [f"naïve/ADJ café{n}/NOUN 你好/X 🙂/SYM" if n % 2 else f"go{n}/VERB" for n in range(30)]
    loaded = tagged(columns(tmp_path / "d.conll", *given))
    assert loaded.labels == ("ADJ", "NOUN", "SYM", "VERB", "X")
    found = []
    train = loaded.examples.train.read(range(27))
    for sentence in (*train, *loaded.examples.valid):
        words = [
            loaded.tokenizer.decode(sentence.ids[a : b + 1])
            for a, b in zip(sentence.first, sentence.last, strict=True)
        ]
        tags = [loaded.labels[tag] for tag in sentence.tags]
        found.append(" ".join(f"{word}/{tag}" for word, tag in zip(words, tags, strict=True)))
    assert sorted(found) == sorted(given)
    assert len(loaded.examples.valid) == 3
    summary = loaded.summary
    assert (summary.unit, summary.train, summary.valid) == ("sentences", 27, 3)
    assert sum(summary.labels.values()) == sum(len(s.tags) for s in train)


def test_every_span_type_has_both_tags(tmp_path: Path) -> None:
    """Types seen in spans of one word alone get an I- tag, and O is a label even where unused."""
    path = columns(tmp_path / "d.conll", *(f"word{n}/B-{'xy'[n % 2]}" for n in range(20)))
    assert tagged(path).labels == ("B-x", "B-y", "I-x", "I-y", "O")


def test_tags_that_only_look_like_spans_are_left_alone(tmp_path: Path) -> None:
    path = columns(tmp_path / "d.conll", *(f"a{n}/B-x b/NOUN c/I-y" for n in range(20)))
    assert tagged(path).labels == ("B-x", "I-y", "NOUN")


def test_a_single_tag_is_refused(tmp_path: Path) -> None:
    path = columns(tmp_path / "d.conll", *(f"word{n}/O" for n in range(20)))
    with pytest.raises(DataError, match=r"d\.conll has only the label 'O'"):
        tagged(path)


def test_too_few_sentences_to_validate(tmp_path: Path) -> None:
    path = columns(tmp_path / "d.conll", "a/X b/Y")
    with pytest.raises(DataError, match=r"1 sentences are too few, .* --valid"):
        tagged(path)


def test_a_validation_tag_that_training_does_not_have(tmp_path: Path) -> None:
    path = columns(tmp_path / "d.conll", *(f"a{n}/X b/Y" for n in range(9)))
    valid = columns(tmp_path / "v.conll", "a/X b/Y", "c/Y d/NEW")
    message = r"v\.conll, line 4: the tag 'NEW' is not in the training data, which has X, Y:"
    with pytest.raises(DataError, match=message):
        tagged(path, valid=valid)


def test_sentences_in_both_parts_are_counted(tmp_path: Path) -> None:
    path = columns(tmp_path / "d.conll", *(f"a{n}/X b/Y" for n in range(9)))
    valid = columns(tmp_path / "v.conll", "a1/Y b/X", "a1/X c/Y", "a8/X b/Y")
    assert tagged(path, valid=valid).summary.duplicates == 2


def test_the_words_of_a_tagger_are_those_of_the_file(tmp_path: Path) -> None:
    path = columns(tmp_path / "d.conll", *(f"well,/X o'clock's/Y {n}/Z" for n in range(9)))
    loaded = tagged(path, tokenizer="word")
    assert loaded.tokenizer.config.presplit
    every = (*loaded.examples.train.read(range(len(loaded.examples.train))), *loaded.examples.valid)
    assert all(np.array_equal(s.first, s.last) and len(s.ids) == 3 for s in every)
    assert "o'clock's" in {loaded.tokenizer.token(i) for i in range(loaded.tokenizer.vocab_size)}


# The cache


def story(tmp_path: Path, lines: int = 60) -> str:
    return write(tmp_path / "text", *(f"{SAMPLE} line {number}" for number in range(lines)))


def reviews(tmp_path: Path) -> str:
    rows = [(f"{SAMPLE} {number}", "ab"[number % 2]) for number in range(40)]
    return table(tmp_path / "reviews.jsonl", rows)


def treebank(tmp_path: Path) -> str:
    return columns(tmp_path / "bank.conll", *(f"naïve{n}/X 你好/Y 🙂/Z" for n in range(30)))


DATA: dict[str, Callable[[Path], str]] = {"lm": story, "classify": reviews, "tag": treebank}


def content(data: Data) -> list[Any]:
    """Return all training and validation data as plain values, which can be compared."""
    if isinstance(data, LanguageData):
        parts: list[Any] = [data.stream[:], data.counts, *data.valid, data.valid_bytes]
    elif isinstance(data, LabelledData):
        sides = (everything(data.train), data.valid)
        parts = [data.labels, *(part for side in sides for part in (*side.ids, side.labels))]
    else:
        every = (*data.examples.train.read(range(len(data.examples.train))), *data.examples.valid)
        parts = [data.labels, *(x for s in every for x in (s.ids, s.first, s.last, s.tags))]
    plain = [part.tolist() if isinstance(part, np.ndarray) else part for part in parts]
    return [*plain, data.summary, data.tokenizer.to_json(), data.tokenizer.config]


def no_text(*_: object, **__: object) -> None:
    raise AssertionError("text was read or a tokenizer was trained")


@pytest.mark.parametrize("tokenizer", ["bpe", "word", "char", "byte"])
@pytest.mark.parametrize("task", DATA)
def test_the_second_run_reads_no_text(
    task: str, tokenizer: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = TrainingOptions(task, (DATA[task](tmp_path),), tokenizer=tokenizer)
    fresh = load_data(options, keep=False)
    assert fresh.encoded.place is None
    assert not cache.exists()
    first = load_data(options)
    (entry,) = cache.iterdir()
    assert (first.encoded.place, first.encoded.reused) == (str(entry), False)
    monkeypatch.setattr(type(get_task(task)), "plan", no_text)
    second = load_data(options)
    assert (second.encoded.place, second.encoded.reused) == (str(entry), True)
    files = [path for path in entry.iterdir() if path.name != "entry.json"]
    assert second.encoded.size == sum(path.stat().st_size for path in files)
    assert content(fresh) == content(first) == content(second)


def kept(cache: Path) -> int:
    return len(list(cache.iterdir()))


@pytest.mark.parametrize(
    "changed",
    [
        {"tokenizer": "char"},
        {"vocab_size": 300},
        {"lowercase": True},
        {"min_frequency": 5},
        {"seed": 1},
        {"encoding": "latin-1"},
        {"encoding_errors": "replace"},
        {"format": "text"},
        {"part": (50, 20)},
        {"valid": "itself"},
    ],
)
def test_options_that_change_the_data_miss_the_cache(
    changed: dict[str, Any], tmp_path: Path, cache: Path
) -> None:
    path = story(tmp_path)
    options = TrainingOptions("lm", (path,), tokenizer="bpe")
    if "valid" in changed:
        changed = {"valid": path}
    load_data(options)
    again = load_data(options.merged(changed))
    assert not again.encoded.reused
    assert kept(cache) == 2
    assert content(again) == content(load_data(options.merged(changed), keep=False))


@pytest.mark.parametrize(
    "changed", [{"epochs": 3}, {"hidden": 9}, {"threads": 1}, {"device": "cpu"}, {"minutes": 5.0}]
)
def test_other_options_hit_the_cache(changed: dict[str, Any], tmp_path: Path, cache: Path) -> None:
    options = TrainingOptions("lm", (story(tmp_path),))
    load_data(options)
    assert load_data(options.merged(changed)).encoded.reused


def test_with_a_validation_file_another_seed_hits_the_cache(tmp_path: Path) -> None:
    options = TrainingOptions("lm", (story(tmp_path),), valid=write(tmp_path / "v", SAMPLE))
    load_data(options)
    assert load_data(options.merged({"seed": 4})).encoded.reused


def test_the_same_file_in_another_directory_hits_the_cache(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    load_data(TrainingOptions("lm", (story(tmp_path),)))
    assert load_data(TrainingOptions("lm", (story(tmp_path / "other"),))).encoded.reused


def test_a_files_bytes_and_not_its_time_decide_whether_it_changed(tmp_path: Path) -> None:
    path = Path(story(tmp_path))
    before = path.stat()
    options = TrainingOptions("lm", (str(path),), tokenizer="byte")
    load_data(options)
    path.write_text(path.read_text("utf-8").replace("line 7\n", "line 8\n"), "utf-8")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert not load_data(options).encoded.reused
    os.utime(path, (1, 1))
    assert load_data(options).encoded.reused


def test_a_directory_changes_with_the_names_and_contents_of_its_data_files(tmp_path: Path) -> None:
    for label in "ab":
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(5):
            write(tmp_path / "data" / label / f"{number}.txt", f"{SAMPLE} {label} {number}")
    options = TrainingOptions("classify", (str(tmp_path / "data"),), tokenizer="byte")
    load_data(options)
    write(tmp_path / "data" / "a" / "notes.md", "no example")
    assert load_data(options).encoded.reused
    (tmp_path / "data" / "a").rename(tmp_path / "data" / "c")
    renamed = load_data(options)
    assert isinstance(renamed.examples, LabelledExamples)
    assert not renamed.encoded.reused
    assert renamed.labels == ("b", "c")
    write(tmp_path / "data" / "c" / "9.txt", "new")
    assert not load_data(options).encoded.reused
    # Symbolic links to folders are followed.
    (tmp_path / "elsewhere").mkdir()
    write(tmp_path / "elsewhere" / "1.txt", "one")
    write(tmp_path / "elsewhere" / "2.txt", "two")
    (tmp_path / "data" / "d").symlink_to(tmp_path / "elsewhere")
    assert not load_data(options).encoded.reused
    write(tmp_path / "elsewhere" / "1.txt", "won")
    assert not load_data(options).encoded.reused


def test_data_cut_short_by_the_clock_are_not_kept(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "CHUNK", 10)
    options = TrainingOptions("lm", (story(tmp_path),), tokenizer="byte")
    late = itertools.count(0.9, 0.1)
    cut = load_data(options, spent=lambda: next(late))
    assert cut.summary.cut_short
    assert (cut.encoded.place, cut.encoded.trouble) == (None, None)
    assert kept(cache) == 0
    whole = load_data(options)
    assert not whole.encoded.reused
    # A run without time for encoding uses what the cache has.
    assert content(load_data(options, spent=lambda: next(late))) == content(whole)


def test_a_file_that_grows_while_it_is_read_is_not_kept(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run uses the bytes that were there at first."""
    path = story(tmp_path)
    options = TrainingOptions("lm", (path,), tokenizer="byte")
    wanted = load_data(options, keep=False)
    real = Tokenizer.train

    def train(*args: Any, **named: Any) -> Tokenizer:
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"{SAMPLE}\n" * 10)
        return real(*args, **named)

    monkeypatch.setattr(Tokenizer, "train", train)
    loaded = load_data(options)
    assert content(loaded) == content(wanted)
    assert kept(cache) == 0


@pytest.mark.parametrize("task", DATA)
def test_a_resumed_run_hits_the_cache(task: str, tmp_path: Path, cache: Path) -> None:
    """It is given its own tokenizer; another tokenizer is another entry."""
    options = TrainingOptions(task, (DATA[task](tmp_path),), tokenizer="bpe")
    first = load_data(options)
    tokenizer = Tokenizer.load(first.tokenizer.to_json(), first.tokenizer.config)
    again = load_data(options, tokenizer)
    assert again.encoded.reused
    assert again.tokenizer is tokenizer
    assert content(again) == content(first)
    other = Tokenizer.train("char", [SAMPLE, "line 0123456789"], vocab_size=50)
    changed = [load_data(options, other) for _ in range(2)]
    assert [loaded.encoded.reused for loaded in changed] == [False, True]
    assert content(changed[0]) == content(changed[1]) != content(first)
    assert kept(cache) == 2


def test_the_same_text_from_another_pipe_hits_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = Path(story(tmp_path)).read_bytes()
    loaded = []
    for _ in range(2):
        reader, writer = os.pipe()
        os.write(writer, text)
        os.close(writer)
        path = f"/dev/fd/{reader}"
        loaded.append(load_data(TrainingOptions("lm", (path,), tokenizer="byte")))
        os.close(reader)
    assert [data.encoded.reused for data in loaded] == [False, True]
    assert content(loaded[0]) == content(loaded[1])
    assert texts(loaded[0])[0] == texts(language(str(tmp_path / "text"), tokenizer="byte"))[0]


def test_remote_data_are_not_kept(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [Row(n, {"text": f"{SAMPLE} {n}"}) for n in range(60)]
    monkeypatch.setattr(lines, "read_remote", lambda *_: iter(rows))
    loaded = language("hf:some/thing", tokenizer="byte")
    assert loaded.encoded.place is None
    assert loaded.summary.train + loaded.summary.valid == 60
    assert not cache.exists()


# Memory


def test_a_tokenizer_is_trained_on_a_sample_of_a_long_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "TOKENIZER_CHARACTERS", 2000)
    monkeypatch.setattr(sample, "_STRETCH", 100)
    given: list[str] = []
    real = Tokenizer.train

    def train(kind: str, lines: Iterable[str], **named: Any) -> Tokenizer:
        given.extend(lines)
        return real(kind, given, **named)

    monkeypatch.setattr(Tokenizer, "train", train)
    path = write(tmp_path / "long", *(f"{SAMPLE} line {number:04}" for number in range(1000)))
    loaded = language(path, tokenizer="char")
    assert loaded.summary.sampled == 2000
    assert 1500 < sum(map(len, given)) < 2100
    assert set(given) <= set(texts(loaded)[0].splitlines())
    assert {line[-4] for line in given} == {"0"}
    assert {line[-3] for line in given} >= set("0369")
    short = language(story(tmp_path, 50), tokenizer="char")
    assert short.summary.sampled == 0
    assert load_data(TrainingOptions("lm", (path,)), short.tokenizer).summary.sampled == 0
    assert language(path, tokenizer="byte").summary.sampled == 0  # it knows all bytes


def test_long_lines_are_encoded_a_few_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "CHUNK_CHARACTERS", 1000)
    sizes = []
    real = Tokenizer.encode_lines

    def encode_lines(self: Tokenizer, lines: list[str]) -> Any:
        sizes.append(sum(map(len, lines)))
        return real(self, lines)

    monkeypatch.setattr(Tokenizer, "encode_lines", encode_lines)
    path = write(tmp_path / "text", *(f"{n} " + "你好 " * 100 for n in range(60)))
    text = texts(language(path, tokenizer="byte"))
    assert Counter("".join([text[0], *text[1]])) == Counter(Path(path).read_text("utf-8"))
    assert max(sizes) < 1400


MEMORY = """
    import json, os, resource, sys
    from pathlib import Path
    import torch
    from rnntext.training.data import example_split, prepare, text_split
    from rnntext.training.options import TrainingOptions
    from rnntext.training.data.loading import load_data
    from rnntext.training.engine.device import choose_machine
    from rnntext.training.engine.distributed import SINGLE_PROCESS
    from rnntext.training.tasks.base import get_task

    task, folder = sys.argv[1], Path(sys.argv[2])
    # Bounds that little data reaches: beyond them nothing may grow.
    prepare.CHUNK, prepare.VALID_EXAMPLES, prepare.VALID_CHARACTERS = 1000, 500, 40_000
    example_split.MOST_HELD, text_split.MOST_UNITS = 1 << 12, 1 << 11
    machine = choose_machine("cpu", 1)

    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6

    def measure(megabytes):
        label = {"classify": "__label__%d ", "lm": ""}[task]
        path = folder / str(megabytes)
        with open(path, "w", encoding="utf-8") as file:
            for number in range(megabytes * 10_000):
                start = label % (number % 2) if label else ""
                file.write(f"{start}{number:09} naïve café 你好 🙂 " + "and so on" * 7 + "\\n")
        options = TrainingOptions(task, (str(path),), tokenizer="byte", batch_size=32)
        before = peak()
        data = load_data(options)
        recipe = choose_recipe(options, 1000, 1000)
        objective = _objective(options, data, recipe, machine, SINGLE_PROCESS)
        for number, _ in enumerate(objective.batches(0)):
            if number == 400:
                break
        return data.encoded.size, peak() - before

    # A process for each size, because the peak of a process never falls.
    for megabytes in (2, 8):
        child = os.fork()
        if child == 0:
            print(json.dumps(measure(megabytes)), flush=True)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.parametrize("task", ["lm", "classify"])
def test_memory_does_not_grow_with_the_data(task: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(MEMORY), task, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    (little, before), (much, after) = map(json.loads, ran.stdout.splitlines())
    assert little > 2 * 1.8e6
    assert much > 8 * 1.8e6
    # 67 bytes a line; the text of one and its ids are longer. Measured: 0.1 to 1.7 MB.
    assert after - before < 4
