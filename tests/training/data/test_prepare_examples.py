"""Examples of classifiers and taggers: the split, labels, ids, and refusals."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rnntext.errors import DataError
from rnntext.training.data import prepare, text_sample
from rnntext.training.data.loading import Data
from rnntext.training.options import TrainingOptions
from rnntext.training.tasks.classifier import TASK, LabelledExamples
from rnntext.training.tasks.tagger import TaggedExamples
from tests.training.data.small_files import (
    SAMPLE,
    all_rows,
    columns,
    labelled,
    load_data,
    table,
    tagged,
    write,
)

# Classifiers


def rows_of(loaded: Data[LabelledExamples]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    sides = []
    for side in (all_rows(loaded.examples.train), loaded.examples.valid):
        sides.append(
            [
                (loaded.tokenizer.decode(ids), loaded.labels[label])
                for ids, (label,) in zip(side.ids, side.labels, strict=True)
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


@pytest.mark.parametrize("task", ["classify", "tag"])
def test_near_duplicates_of_a_named_file_are_counted_and_stay(task: str, tmp_path: Path) -> None:
    def texts(name: str, *given: str) -> str:
        rows = [
            {"text": text, "label": "ab"[n % 2], "words": text.split(), "tags": ["X", "Y"]}
            for n, text in enumerate(given)
        ]
        return write(tmp_path / name, *map(json.dumps, rows))

    data = texts("d.jsonl", "Naïve café!", "naïve café", "two words", "Last words")
    valid = texts("v.jsonl", "naïve CAFÉ", "Two words.", "two words", "new words", "last, words")
    load = labelled if task == "classify" else tagged
    summary = load(data, valid=valid).summary
    assert (summary.duplicates, summary.near_duplicates, summary.valid) == (1, 3, 5)


@pytest.mark.parametrize("task", ["classify", "tag"])
def test_validation_holds_no_near_duplicates_of_training(task: str, tmp_path: Path) -> None:
    rows = []
    for n in range(120):
        text = ["Text {}.", "text {}", "TEXT, {}!"][n % 3].format(n // 3)
        words = text.split()
        rows.append({"text": text, "label": "ab"[n // 3 % 2], "words": words, "tags": ["X", "Y"]})
    path = write(tmp_path / "d.jsonl", *map(json.dumps, rows))
    summary = (labelled if task == "classify" else tagged)(path).summary
    assert (summary.train, summary.valid) == (108, 12)
    assert (summary.duplicates, summary.near_duplicates) == (0, 0)


def grouped(path: Path, *rows: tuple[str | None, str]) -> str:
    """Write rows with a group, and a label that is one of the two tags too."""
    return write(
        path,
        *(
            json.dumps(
                {"film": film, "text": f"{film} {n} {path.stem}", "label": label}
                | {"words": [f"{film}", f"{n} {path.stem}"], "tags": ["X", label]}
            )
            for n, (film, label) in enumerate(rows)
        ),
    )


@pytest.mark.parametrize("task", ["classify", "tag"])
def test_validation_has_other_groups_than_training(task: str, tmp_path: Path) -> None:
    path = grouped(
        tmp_path / "d.jsonl", *((f"film{n % 20:02}", "ab"[n % 3 % 2]) for n in range(200))
    )
    load = labelled if task == "classify" else tagged
    loaded = load(path, group_column="film")
    assert isinstance(loaded.examples, LabelledExamples | TaggedExamples)
    summary = loaded.summary
    assert (summary.train, summary.valid, summary.read) == (180, 20, 200)
    assert (summary.shared_groups, summary.duplicates, summary.near_duplicates) == (0, 0, 0)
    if isinstance(loaded.examples, LabelledExamples):
        rows = loaded.examples.valid.ids
    else:
        rows = [sentence.ids for sentence in loaded.examples.valid]
    decoded = [loaded.tokenizer.decode(ids)[:6] for ids in rows]
    assert set(Counter(decoded).values()) == {10}
    without = load(path).summary
    assert (without.shared_groups, without.fingerprint == summary.fingerprint) == (None, False)
    assert load(path, group_column="film", seed=1).summary.fingerprint != summary.fingerprint


@pytest.mark.parametrize("task", ["classify", "tag"])
def test_groups_of_a_named_file_that_training_has_are_counted(task: str, tmp_path: Path) -> None:
    films = ("f", "g", None, "h", "f", "g")
    path = grouped(tmp_path / "d.jsonl", *((film, "ab"[n % 2]) for n, film in enumerate(films)))
    others = ("f", "f", None, "new", "h", "other")
    valid = grouped(tmp_path / "v.jsonl", *((film, "a") for film in others))
    load = labelled if task == "classify" else tagged
    assert load(path, valid=valid, group_column="film").summary.shared_groups == 2
    assert load(path, valid=valid).summary.shared_groups is None
    lacking = table(tmp_path / "without.jsonl", [("x", "a")])
    with pytest.raises(DataError, match=r"without\.jsonl, line 1 has no column 'film'"):
        labelled(path, valid=lacking, group_column="film")


def test_one_group_cannot_be_split(tmp_path: Path) -> None:
    path = grouped(tmp_path / "d.jsonl", *(("f", "ab"[n % 2]) for n in range(40)))
    message = (
        r"d\.jsonl: nothing can be held out for validation without splitting a group of "
        r"--group-column film \(all 40 examples are of one\): name a validation file with --valid$"
    )
    with pytest.raises(DataError, match=message):
        labelled(path, group_column="film")


def test_groups_that_cannot_be_held_out(tmp_path: Path) -> None:
    path = grouped(tmp_path / "d.jsonl", *(("fgh"[n % 3], "abc"[n % 3]) for n in range(30)))
    with pytest.raises(
        DataError, match=r"\(each of 3 has all that there is of a label, .*--valid$"
    ):
        labelled(path, group_column="film")


def test_columns_of_groups_without_any(tmp_path: Path) -> None:
    """Each row is a group of its own."""
    path = grouped(tmp_path / "d.jsonl", *((None, "ab"[n % 2]) for n in range(40)))
    summary = labelled(path, group_column="film").summary
    assert (summary.train, summary.valid, summary.shared_groups) == (36, 4, 0)
    same = table(tmp_path / "s.csv", [])
    Path(same).write_text("film,text,label\n,x,a\n,x,a\n,x,b\n,X,b\n")
    with pytest.raises(DataError, match=r"4 examples are too few, or .* --valid"):
        labelled(same, group_column="film")


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
    again = load_data(replace(options, part=summary.part)).summary
    assert again == summary


def numbered(tmp_path: Path, count: int) -> str:
    """Texts of six characters, half of them with each label."""
    return table(tmp_path / "d.jsonl", [(f"text{n:02}", "ab"[n % 2]) for n in range(count)])


@pytest.mark.parametrize(("spent", "read"), [(0.06, 25), (0.061, 20)])
def test_reading_ends_once_its_share_of_the_time_is_exceeded(
    spent: float, read: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read is encoded, but not kept for other runs unless it is all."""
    monkeypatch.setattr(prepare, "CHUNK", 10)
    path, valid = numbered(tmp_path, 25), table(tmp_path / "v.jsonl", [("x", "a")])
    # `spent` is called as reading begins, after each 10 examples, and as encoding begins.
    answers = itertools.chain([0.0] * 2, itertools.repeat(spent))
    options = TrainingOptions("classify", (path,), valid=valid, tokenizer="byte")
    loaded = load_data(options, spent=lambda: next(answers))
    summary = loaded.summary
    assert (summary.read, summary.train, summary.cut_short) == (read, read, read < 25)
    assert (loaded.encoded.place is None) == (read < 25)


@pytest.mark.parametrize(("spent", "train"), [(0.25, 25), (0.26, 10)])
def test_encoding_ends_once_its_share_of_the_time_is_exceeded(
    spent: float, train: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "CHUNK", 10)
    path, valid = numbered(tmp_path, 25), table(tmp_path / "v.jsonl", [("x", "a")])
    answers = itertools.chain([0.0] * 4, itertools.repeat(spent))
    options = TrainingOptions("classify", (path,), valid=valid, tokenizer="byte")
    loaded = load_data(options, spent=lambda: next(answers))
    summary = loaded.summary
    assert (summary.read, summary.train, summary.cut_short) == (25, train, train < 25)
    assert len(loaded.examples.train) == train
    assert (loaded.encoded.place is None) == (train < 25)


@pytest.mark.parametrize("valid", [True, False])
def test_data_whose_time_ends_with_the_last_example_are_whole(valid: bool, tmp_path: Path) -> None:
    path = numbered(tmp_path, 40)
    answers = itertools.chain([0.0] * 2, itertools.repeat(0.9))
    options = TrainingOptions("classify", (path,), tokenizer="byte", valid=path if valid else None)
    loaded = load_data(options, spent=lambda: next(answers))
    assert not loaded.summary.cut_short
    assert loaded.encoded.place is not None


@pytest.mark.parametrize("named", [True, False])
def test_a_tokenizer_is_trained_on_a_sample_of_the_training_texts(
    named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_sample, "_STRETCH", 20)
    path = numbered(tmp_path, 40)
    valid = table(tmp_path / "v.jsonl", [("text00", "a")]) if named else None
    options = TrainingOptions("classify", (path,), valid=valid, tokenizer="char")
    # Six characters a text; without a file four of the 40 are for validation.
    characters = 240 if named else 216
    for limit, sampled in ((characters, 0), (characters - 1, characters - 1)):
        monkeypatch.setattr(prepare, "TOKENIZER_CHARACTERS", limit)
        summary = load_data(options, keep=False).summary
        assert (summary.characters, summary.sampled) == (characters, sampled)


def test_a_fingerprint_is_of_training_texts_and_labels(tmp_path: Path) -> None:
    rows = [("a text", "a"), ("text", "b"), ("three", "b"), ("four", "a")]
    path = table(tmp_path / "d.jsonl", rows)
    content = b"a text\0a\0text\0b\0three\0b\0four\0a\0"
    assert labelled(path, valid=path).summary.fingerprint == hashlib.sha256(content).hexdigest()


def test_the_rest_of_a_part_may_have_a_second_example(tmp_path: Path) -> None:
    rows = [(f"text {n}", "ab"[n % 2]) for n in range(20)]
    path = table(tmp_path / "d.jsonl", [*rows, ("lone", "c"), ("not read", "c")])
    loaded = labelled(path, part=(21, 15, 0))
    assert loaded.labels == ("a", "b", "c")
    assert (loaded.summary.read, loaded.summary.train) == (21, 15)


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
    for _ in range(2):  # the second time from the cache
        loaded = labelled(path, valid=valid)
        assert (loaded.labels, loaded.unseen) == (("a", "b"), ("new",))
        assert [row.tolist() for row in loaded.examples.valid.labels] == [[0], [2]]
        summary = loaded.summary
        assert (summary.unseen_labels, summary.unseen_label, summary.unseen_count) == (1, "new", 1)
    assert TASK.validation_digest(loaded.examples) != TASK.validation_digest(
        labelled(path, valid=table(tmp_path / "w.jsonl", [("x", "a"), ("y", "b")])).examples
    )


def test_several_validation_labels_that_training_does_not_have(tmp_path: Path) -> None:
    """Their ids follow those of the others in the order in which they come."""
    train = [json.dumps({"text": f"text {n}", "label": ["xy"[n % 2]]}) for n in range(8)]
    given = [["z", "x", "w"], [], ["w"], ["y", "z"], ["z"]]
    valid = [json.dumps({"text": f"more {n}", "label": row}) for n, row in enumerate(given)]
    loaded = labelled(
        write(tmp_path / "d.jsonl", *train),
        valid=write(tmp_path / "v.jsonl", *valid),
        multi_label=True,
    )
    assert (loaded.labels, loaded.unseen) == (("x", "y"), ("z", "w"))
    found = [sorted(row.tolist()) for row in loaded.examples.valid.labels]
    assert found == [[0, 2, 3], [], [3], [1, 2], [2]]
    summary = loaded.summary
    assert (summary.unseen_labels, summary.unseen_label, summary.unseen_count) == (2, "z", 5)
    assert summary.labels == {"x": 4, "y": 4}


def test_validation_data_with_no_label_of_training_are_refused(tmp_path: Path) -> None:
    path = table(tmp_path / "d.jsonl", [(f"text {n}", "ab"[n % 2]) for n in range(8)])
    valid = table(tmp_path / "v.jsonl", [(f"x {n}", "pqrs"[n % 4]) for n in range(8)])
    message = (
        r"v\.jsonl: the training data have none of its labels \(p, q, r and 1 more\): .* a, b$"
    )
    with pytest.raises(DataError, match=message):
        labelled(path, valid=valid)


def test_many_labels_are_not_all_listed(tmp_path: Path) -> None:
    path = table(tmp_path / "d.jsonl", [(f"text {n}", f"label{n // 2:02}") for n in range(40)])
    valid = table(tmp_path / "v.jsonl", [("x", "new")])
    with pytest.raises(DataError, match=r"label11 and 8 more$"):
        labelled(path, valid=valid)


def test_several_labels_and_none(tmp_path: Path) -> None:
    lines = [
        json.dumps({"text": f"text {n}", "label": ["x", "y", "z"][: n % 4]}) for n in range(40)
    ]
    path = write(tmp_path / "d.jsonl", *lines)
    loaded = labelled(path, multi_label=True)
    assert loaded.labels == ("x", "y", "z")
    for side in (all_rows(loaded.examples.train), loaded.examples.valid):
        for ids, row in zip(side.ids, side.labels, strict=True):
            number = int(loaded.tokenizer.decode(ids).split()[1])
            assert row.tolist() == list(range(number % 4))
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
    loaded = tagged(path, valid=valid)
    assert (loaded.labels, loaded.unseen) == (("X", "Y"), ("NEW",))
    assert [sentence.tags.tolist() for sentence in loaded.examples.valid] == [[0, 1], [1, 2]]
    summary = loaded.summary
    assert (summary.unseen_labels, summary.unseen_label, summary.unseen_count) == (1, "NEW", 1)
    with pytest.raises(DataError, match=r"w\.conll: the training data have none of its tags"):
        tagged(path, valid=columns(tmp_path / "w.conll", "a/P b/Q"))


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
