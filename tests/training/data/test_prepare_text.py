"""Text of language models: the split, the tokenizer, the ids, and refusals."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from rnntext.errors import DataError
from rnntext.text.tokenizer import Tokenizer, tokenizer_config_to_json
from rnntext.training.data import prepare, text_split
from rnntext.training.data import text_sample as sample
from rnntext.training.data.loading import tokenizer_of
from rnntext.training.options import TrainingOptions
from rnntext.training.tasks.language_model import TextExamples
from tests.training.data.small_files import SAMPLE, language, load_data, story, texts, write


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


@pytest.mark.parametrize("missing", [0, 1])
def test_documents_are_not_split_where_there_are_enough(missing: int, tmp_path: Path) -> None:
    """Of one document less than enough, lines are drawn from all of them."""
    count = text_split.MIN_UNITS - missing
    (tmp_path / "texts").mkdir()
    for document in range(count):
        lines = [f"{document} {line}" for line in range(6)]
        write(tmp_path / "texts" / f"{document:02}", *lines)
    train, valid = texts(language(str(tmp_path / "texts"), tokenizer="byte"))
    documents = [
        {line.split()[0] for line in part.splitlines()} for part in (train, "".join(valid))
    ]
    assert len(documents[0] | documents[1]) == count
    assert documents[0].isdisjoint(documents[1]) == (missing == 0)


def test_the_number_of_bytes_is_known_where_the_tokenizer_loses_none(tmp_path: Path) -> None:
    path = write(tmp_path / "text", *["the cat sat"] * 20)
    known = write(tmp_path / "known", "that cat")
    unknown = write(tmp_path / "unknown", "the dog")

    def valid_bytes(valid: str, tokenizer: str, **options: Any) -> int | None:
        return language(path, valid=valid, tokenizer=tokenizer, **options).examples.valid_bytes

    assert valid_bytes(known, "char") == 9
    assert valid_bytes(unknown, "char") == 8
    spelled = language(path, valid=unknown, tokenizer="char").examples
    assert spelled.valid_unknown_bytes == 3  # d, o, g
    assert language(path, valid=known, tokenizer="char").examples.valid_unknown_bytes == 0
    assert language(path, valid=unknown, tokenizer="byte").examples.valid_unknown_bytes == 0
    assert valid_bytes(known, "word") is None
    assert valid_bytes(unknown, "byte") == 8
    assert valid_bytes(unknown, "byte", lowercase=True) is None


@pytest.mark.parametrize("lines", [["only one line of it"], [""], ["", " ", ""]])
def test_one_line_is_too_little(lines: list[str], tmp_path: Path) -> None:
    path = write(tmp_path / "text", *lines)
    with pytest.raises(DataError, match=r"text: one line of text is too little .* --valid"):
        language(path)


def test_few_tokens_are_too_few(tmp_path: Path) -> None:
    valid = write(tmp_path / "valid", "a")
    path = write(tmp_path / "text", "eighteen letters, ")
    with pytest.raises(DataError, match=r"text: 19 tokens are too few to train on: give more text"):
        language(path, valid=valid, tokenizer="byte")
    path = write(tmp_path / "text", "nineteen characters")
    assert len(language(path, valid=valid, tokenizer="byte").examples.stream) == 20


def test_blank_lines_are_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "text", *["a line of text", "", "   "] * 20)
    loaded = language(path, tokenizer="byte")
    train, valid = texts(loaded)
    assert (train + "".join(valid)).splitlines().count("") == 20
    assert loaded.summary.train + loaded.summary.valid == 60
    # They are no duplicates.
    assert loaded.summary.duplicates in (0, valid[0].count("text"))


def test_every_id_of_the_training_text_is_counted(tmp_path: Path) -> None:
    examples = language(story(tmp_path, 30), tokenizer="byte").examples
    counts = Counter(examples.stream[:].tolist())
    assert dict(enumerate(examples.counts.tolist())) == {i: counts[i] for i in range(257)}


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


@pytest.mark.parametrize(("spent", "train"), [(0.25, 25), (0.26, 10)])
def test_encoding_ends_once_its_share_of_the_time_is_exceeded(
    spent: float, train: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "CHUNK", 10)
    path = write(tmp_path / "train", *(f"line {number:03}" for number in range(25)))
    valid = write(tmp_path / "valid", "line 001")
    # `spent` is called as reading begins, after 10 and 20 lines, and as encoding begins.
    answers = itertools.chain([0.0] * 4, itertools.repeat(spent))
    options = TrainingOptions("lm", (path,), valid=valid, tokenizer="byte")
    summary = load_data(options, spent=lambda: next(answers)).summary
    assert (summary.train, summary.read, summary.cut_short) == (train, 25, train < 25)


@pytest.mark.parametrize("valid", [True, False])
def test_a_text_whose_time_ends_with_its_last_line_is_whole(valid: bool, tmp_path: Path) -> None:
    path = story(tmp_path, 60)
    answers = itertools.chain([0.0] * 2, itertools.repeat(0.9))
    options = TrainingOptions("lm", (path,), tokenizer="byte", valid=path if valid else None)
    loaded = load_data(options, spent=lambda: next(answers))
    assert not loaded.summary.cut_short
    assert loaded.encoded.place is not None


@pytest.mark.parametrize(("spent", "read"), [(0.06, 25), (0.061, 20)])
def test_reading_ends_once_its_share_of_the_time_is_exceeded(
    spent: float, read: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "CHUNK", 10)
    path = write(tmp_path / "train", *(f"line {number:03}" for number in range(25)))
    valid = write(tmp_path / "valid", "line 001")
    answers = itertools.chain([0.0] * 2, itertools.repeat(spent))
    options = TrainingOptions("lm", (path,), valid=valid, tokenizer="byte")
    summary = load_data(options, spent=lambda: next(answers)).summary
    assert (summary.read, summary.train, summary.cut_short) == (read, read, read < 25)


def test_a_part_of_a_text_can_be_asked_for(tmp_path: Path) -> None:
    """As a repeated run does: the lines that were read, and those that were encoded."""
    path = write(tmp_path / "text", *(f"line {number:03}" for number in range(180)))
    valid = write(tmp_path / "valid", "line 001")
    options = TrainingOptions("lm", (path,), valid=valid, tokenizer="byte")
    for part, train in ((50, 20, 0), 20), ((50, 60, 0), 50):
        cut = load_data(options.merged({"part": part}))
        assert (cut.summary.read, cut.summary.train) == (50, train)
        assert cut.summary.cut_short
        assert cut.encoded.place is not None
    split = load_data(TrainingOptions("lm", (path,), tokenizer="byte", part=(50, 20, 0))).summary
    assert (split.read, split.train, split.valid) == (50, 20, 5)


def test_a_pipe_that_was_copied_in_part_is_cut_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rnntext.text.source.CHUNK_BYTES", 100)
    reader, writer = os.pipe()
    os.write(writer, Path(story(tmp_path, 60)).read_bytes())
    try:
        # It has no end while `writer` is open.
        options = TrainingOptions("lm", (f"/dev/fd/{reader}",), tokenizer="byte")
        answers = itertools.chain([0.0] * 9, itertools.repeat(0.11))
        loaded = load_data(options, spent=lambda: next(answers))
    finally:
        os.close(writer)
        os.close(reader)
    assert loaded.summary.cut_short
    assert loaded.summary.read == loaded.summary.train + loaded.summary.valid < 60
    assert loaded.encoded.place is None


@pytest.mark.parametrize("named", [True, False])
def test_the_sample_is_of_the_training_text(
    named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "_STRETCH", 100)
    path = write(tmp_path / "text", *(f"line {number:03}" for number in range(100)))
    valid = write(tmp_path / "valid", "line 001") if named else None
    options = TrainingOptions("lm", (path,), valid=valid, tokenizer="char")
    # Nine characters a line, its end included; without a file a tenth is for validation.
    characters = 900 if named else 810
    for limit, sampled in ((characters, 0), (characters - 1, characters - 1)):
        monkeypatch.setattr(prepare, "TOKENIZER_CHARACTERS", limit)
        loaded = load_data(options, keep=False)
        assert loaded.summary.characters == characters
        assert loaded.summary.sampled == sampled


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
