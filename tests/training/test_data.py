"""From files to what is learned from: the split, the tokenizer, the ids, and what is refused."""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnntext.config import TrainingOptions
from rnntext.errors import DataError
from rnntext.text.tokenizer import Tokenizer, tokenizer_config_to_json
from rnntext.training import prepare
from rnntext.training.data import (
    LabelledData,
    LanguageData,
    TaggedData,
    load_data,
    tokenizer_of,
)
from rnntext.training.examples import LabelledIds, LabelledRows

SAMPLE = "naïve café 你好 🙂"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "rnntext"


def write(path: Path, *lines: str) -> str:
    path.write_text("".join(line + "\n" for line in lines), "utf-8")
    return str(path)


def language(*data: str, **options: Any) -> LanguageData:
    loaded = load_data(TrainingOptions("lm", data, **options))
    assert isinstance(loaded, LanguageData)
    return loaded


def texts(loaded: LanguageData) -> tuple[str, list[str]]:
    """Training text and validation documents, read back from the ids."""
    decode = loaded.tokenizer.decode
    return decode(loaded.stream[:]), [decode(document) for document in loaded.valid]


# Language models


def test_training_and_validation_text_are_all_of_it(tmp_path: Path) -> None:
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
    assert loaded.valid_bytes == len("".join(valid).encode())
    digest = b"".join(line.encode() + b"\0" for line in train.splitlines())
    assert summary.fingerprint == hashlib.sha256(digest).hexdigest()


def test_the_split_is_the_seeds(tmp_path: Path) -> None:
    path = write(tmp_path / "text", *(f"line {number}" for number in range(200)))
    one, two, other = (language(path, tokenizer="byte", seed=seed) for seed in (0, 0, 1))
    assert texts(one) == texts(two)
    assert texts(one) != texts(other)


def test_a_named_validation_file(tmp_path: Path) -> None:
    path = write(tmp_path / "train", *(f"line {number}" for number in range(30)))
    valid = write(tmp_path / "valid", "line 3", "", SAMPLE, "line 3", "line 4")
    loaded = language(path, valid=valid, tokenizer="byte")
    assert texts(loaded) == (Path(path).read_text(), [Path(valid).read_text()])
    # Lines of training that stand in validation, each as often as it stands there.
    assert loaded.summary.duplicates == 3
    assert loaded.valid_bytes == Path(valid).stat().st_size


def test_each_file_is_a_document(tmp_path: Path) -> None:
    (tmp_path / "valid").mkdir()
    for name, text in (("a", "one"), ("b", "two"), ("c", "three")):
        write(tmp_path / "valid" / name, text, "end")
    path = write(tmp_path / "train", *(f"line {number}" for number in range(30)))
    loaded = language(path, valid=str(tmp_path / "valid"), tokenizer="byte")
    assert texts(loaded)[1] == ["one\nend\n", "two\nend\n", "three\nend\n"]


def test_bytes_are_told_only_where_the_tokenizer_keeps_them_all(tmp_path: Path) -> None:
    path = write(tmp_path / "text", *["the cat sat"] * 20)
    known = write(tmp_path / "known", "that cat")
    unknown = write(tmp_path / "unknown", "the dog")

    def valid_bytes(valid: str, tokenizer: str, **options: Any) -> int | None:
        return language(path, valid=valid, tokenizer=tokenizer, **options).valid_bytes

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


def test_a_treebanks_words_stay_apart(tmp_path: Path) -> None:
    """Text as the Penn Treebank's language modelling corpus has it: split at spaces, numbers
    and rare words replaced."""
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
    # It has its own unknown word, so no other is left out, however rare.
    assert {tokenizer.token(i) for i in range(tokenizer.vocab_size)} == words | {"<eos>"}
    tokens = [[tokenizer.token(i) for i in document] for document in loaded.valid]
    assert tokens == [
        ["the", "board", "will", "<unk>", "N", "years", "<eos>",
         "a", "<unk>", "'s", "fund", "<eos>"]
    ]  # fmt: skip
    spelled = [tokenizer.token(i) for i in loaded.stream[:]]
    assert " ".join(spelled).replace(" <eos>", "\n").split() == " ".join(lines * 3).split()
    assert loaded.valid_bytes is None


def test_another_models_tokenizer_is_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "text", *(f"line {number}" for number in range(50)))
    tokenizer = Tokenizer.train("char", ["lines 12"], vocab_size=20)
    loaded = load_data(TrainingOptions("lm", (path,)), tokenizer)
    assert loaded.tokenizer is tokenizer
    config = tokenizer_config_to_json(tokenizer.config)
    assert tokenizer_of(tokenizer.to_json(), config).encode(["lie"])[0].tolist() == (
        tokenizer.encode(["lie"])[0].tolist()
    )


def test_running_out_of_time_uses_a_part_and_states_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time ends after the second ten of 180 lines are encoded."""
    monkeypatch.setattr(prepare, "CHUNK", 10)
    path = write(tmp_path / "train", *(f"line {number:03}" for number in range(180)))
    valid = write(tmp_path / "valid", "line 001", "line 170")
    answers = itertools.chain([False] * 18, itertools.repeat(True))
    options = TrainingOptions("lm", (path,), valid=valid, tokenizer="byte")
    loaded = load_data(options, out_of_time=lambda: next(answers))
    assert isinstance(loaded, LanguageData)
    lines = texts(loaded)[0].splitlines()
    assert lines == [f"line {number:03}" for number in range(20)]
    summary = loaded.summary
    assert (summary.train, summary.valid) == (20, 2)
    assert summary.cut_short
    assert summary.characters == 20 * len("line 000\n")
    assert summary.duplicates == 1  # what was not read is no duplicate
    whole = language(path, valid=valid, tokenizer="byte").summary
    assert summary.fingerprint != whole.fingerprint
    assert not whole.cut_short


def test_running_out_of_time_while_reading_states_the_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "CHUNK", 10)
    path = write(tmp_path / "train", *(f"line {number:03}" for number in range(180)))
    valid = write(tmp_path / "valid", "line 001", "line 170")
    options = TrainingOptions("lm", (path,), valid=valid, tokenizer="byte")
    summary = load_data(options, out_of_time=lambda: True).summary
    assert summary.train == 10
    assert summary.cut_short


# Classifiers


def table(path: Path, rows: list[tuple[str, str]]) -> str:
    return write(path, *(json.dumps({"text": text, "label": label}) for text, label in rows))


def labelled(*data: str, **options: Any) -> LabelledData:
    loaded = load_data(TrainingOptions("classify", data, **{"tokenizer": "byte", **options}))
    assert isinstance(loaded, LabelledData)
    return loaded


def everything(train: LabelledRows) -> LabelledIds:
    return train.read(range(len(train)))


def rows_of(loaded: LabelledData) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    sides = []
    for side in (everything(loaded.train), loaded.valid):
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


def test_equal_texts_stand_on_one_side_and_are_counted_with_a_named_file(tmp_path: Path) -> None:
    rows = [(f"text {number // 2}", "ab"[number % 4 // 2]) for number in range(40)]
    path = table(tmp_path / "d.jsonl", rows)
    loaded = labelled(path)
    assert loaded.summary.duplicates == 0
    assert loaded.summary.valid > 0
    valid = table(tmp_path / "v.jsonl", [("text 0", "a"), ("text 7", "b"), ("new", "a")])
    assert labelled(path, valid=valid).summary.duplicates == 2


def test_a_label_of_one_example_is_named_with_its_place(tmp_path: Path) -> None:
    rows = [("one", "a"), ("two", "b"), ("three", "a"), ("four", "lone"), ("five", "b")]
    path = table(tmp_path / "d.jsonl", rows)
    message = r"d\.jsonl, line 4: the label 'lone' is seen only here"
    with pytest.raises(DataError, match=message):
        labelled(path)


def test_one_label_is_nothing_to_learn(tmp_path: Path) -> None:
    path = table(tmp_path / "d.jsonl", [(f"text {n}", "same") for n in range(9)])
    with pytest.raises(DataError, match=r"d\.jsonl has only the label 'same'"):
        labelled(path)


def test_too_few_to_validate(tmp_path: Path) -> None:
    path = table(tmp_path / "d.jsonl", [("x", "a"), ("x", "a"), ("x", "b"), ("x", "b")])
    with pytest.raises(DataError, match=r"4 examples are too few .* --valid"):
        labelled(path)


def test_a_validation_label_that_training_does_not_have(tmp_path: Path) -> None:
    path = table(tmp_path / "d.jsonl", [(f"text {n}", "ab"[n % 2]) for n in range(8)])
    valid = table(tmp_path / "v.jsonl", [("x", "a"), ("y", "new")])
    with pytest.raises(DataError, match=r"v\.jsonl, line 2: the label 'new' is not in .* a, b$"):
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
    for side in (everything(loaded.train), loaded.valid):
        for ids, row in zip(side.ids, side.labels, strict=True):
            number = int(loaded.tokenizer.decode(ids).split()[1])
            assert row.tolist() == [float(place < number % 4) for place in range(3)]
    assert len(loaded.train.ids) + len(loaded.valid.ids) == 40


def test_no_labels_at_all(tmp_path: Path) -> None:
    path = write(tmp_path / "d.jsonl", *[json.dumps({"text": "x", "label": []})] * 9)
    with pytest.raises(DataError, match=r"d\.jsonl has no labels: there is nothing to learn"):
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
    assert loaded.valid.ids[0].tolist() == [loaded.tokenizer.eos_id]
    assert loaded.valid.ids[1].tolist() != [loaded.tokenizer.eos_id]


# Taggers


def columns(path: Path, *sentences: str) -> str:
    """Sentences such as `the/O cat/B-x`."""
    lines = []
    for sentence in sentences:
        lines += [" ".join(word.split("/")) for word in sentence.split()]
        lines.append("")
    return write(path, *lines)


def tagged(*data: str, **options: Any) -> TaggedData:
    loaded = load_data(TrainingOptions("tag", data, **{"tokenizer": "byte", **options}))
    assert isinstance(loaded, TaggedData)
    return loaded


def test_words_keep_their_tags(tmp_path: Path) -> None:
    given = [f"naïve/ADJ café{n}/NOUN 你好/X 🙂/SYM" if n % 2 else f"go{n}/VERB" for n in range(30)]
    loaded = tagged(columns(tmp_path / "d.conll", *given))
    assert loaded.labels == ("ADJ", "NOUN", "SYM", "VERB", "X")
    found = []
    train = loaded.train.read(range(27))
    for sentence in (*train, *loaded.valid):
        words = [
            loaded.tokenizer.decode(sentence.ids[a : b + 1])
            for a, b in zip(sentence.first, sentence.last, strict=True)
        ]
        tags = [loaded.labels[tag] for tag in sentence.tags]
        found.append(" ".join(f"{word}/{tag}" for word, tag in zip(words, tags, strict=True)))
    assert sorted(found) == sorted(given)
    assert len(loaded.valid) == 3
    summary = loaded.summary
    assert (summary.unit, summary.train, summary.valid) == ("sentences", 27, 3)
    assert sum(summary.labels.values()) == sum(len(s.tags) for s in train)


def test_spans_have_all_their_tags(tmp_path: Path) -> None:
    """A type seen only in spans of one word may still go on, and nothing need be outside."""
    path = columns(tmp_path / "d.conll", *(f"word{n}/B-{'xy'[n % 2]}" for n in range(20)))
    assert tagged(path).labels == ("B-x", "B-y", "I-x", "I-y", "O")


def test_tags_that_only_look_like_spans_are_left_alone(tmp_path: Path) -> None:
    path = columns(tmp_path / "d.conll", *(f"a{n}/B-x b/NOUN c/I-y" for n in range(20)))
    assert tagged(path).labels == ("B-x", "I-y", "NOUN")


def test_one_tag_is_nothing_to_learn(tmp_path: Path) -> None:
    path = columns(tmp_path / "d.conll", *(f"word{n}/O" for n in range(20)))
    with pytest.raises(DataError, match=r"d\.conll has only the label 'O'"):
        tagged(path)


def test_too_few_sentences_to_validate(tmp_path: Path) -> None:
    path = columns(tmp_path / "d.conll", "a/X b/Y")
    with pytest.raises(DataError, match=r"1 sentences are too few .* --valid"):
        tagged(path)


def test_a_validation_tag_that_training_does_not_have(tmp_path: Path) -> None:
    path = columns(tmp_path / "d.conll", *(f"a{n}/X b/Y" for n in range(9)))
    valid = columns(tmp_path / "v.conll", "a/X b/Y", "c/Y d/NEW")
    message = r"v\.conll, line 4: the tag 'NEW' is not in the training data, which has X, Y$"
    with pytest.raises(DataError, match=message):
        tagged(path, valid=valid)


def test_sentences_in_both_parts_are_counted(tmp_path: Path) -> None:
    path = columns(tmp_path / "d.conll", *(f"a{n}/X b/Y" for n in range(9)))
    valid = columns(tmp_path / "v.conll", "a1/Y b/X", "a1/X c/Y", "a8/X b/Y")
    assert tagged(path, valid=valid).summary.duplicates == 2


def test_a_taggers_words_are_the_treebanks(tmp_path: Path) -> None:
    path = columns(tmp_path / "d.conll", *(f"well,/X o'clock's/Y {n}/Z" for n in range(9)))
    loaded = tagged(path, tokenizer="word")
    assert loaded.tokenizer.config.presplit
    every = (*loaded.train.read(range(len(loaded.train))), *loaded.valid)
    assert all(np.array_equal(s.first, s.last) and len(s.ids) == 3 for s in every)
    assert "o'clock's" in {loaded.tokenizer.token(i) for i in range(loaded.tokenizer.vocab_size)}
