"""Surprisal of lines and words, compared with an LSTM written in NumPy; the carried state."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_torch_file
from torch.nn import functional

from rnntext.checkpoint import load
from rnntext.config import ModelConfig
from rnntext.errors import CheckpointError
from rnntext.runtime import score
from rnntext.runtime.language_model import LanguageModel
from rnntext.runtime.score import LINE_END, LineScore, Scorer
from rnntext.text import tokenizer
from rnntext.text.tokenizer import Tokenizer
from rnntext.text.word_splitting import split_words
from rnntext.training.networks.build import build_network
from tests.conftest import CORPORA, TINY, Shell
from tests.runtime.test_language_model import Reference, random_language_model

torch.set_num_threads(1)

Array = NDArray[Any]

SAMPLE = "naïve café 你好 🙂"
STORIES = (CORPORA / "stories.txt").read_text("utf-8").splitlines()
LINES = ["A heron stood in the shallows.", "", SAMPLE, "  said  the heron, twice ", *STORIES[3:9]]


@pytest.fixture(scope="module")
def word_lm(run: Shell, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A word model with two layers and a projection from its states to its embeddings."""
    directory = tmp_path_factory.mktemp("words") / "lm"
    sizes = ("--tokenizer", "word", "--layers", 2, "--hidden", 28, "--embed", 20)
    args = ("train", "lm", CORPORA / "stories.txt", "-o", directory, *sizes, *TINY, 60)
    run(*args, "--seed", 3, "-q").done()
    return directory


@pytest.fixture(scope="module")
def words(word_lm: Path) -> LanguageModel:
    return LanguageModel.load(word_lm, threads=1)


@pytest.fixture(scope="module")
def pieces(lm: Path) -> LanguageModel:
    """A subword model."""
    return LanguageModel.load(lm, threads=1)


def bits(lines: Sequence[LineScore]) -> list[float]:
    return [line.bits for line in lines]


def total_bits(reference: Reference, tokens: Sequence[int], end: int) -> float:
    scores, _ = reference.score(tokens, end)
    return float(-scores.sum() / math.log(2))


# Against the reference


@pytest.mark.parametrize("kind", ["words", "pieces"])
def test_lines_against_the_reference(
    kind: str, word_lm: Path, lm: Path, words: LanguageModel, pieces: LanguageModel
) -> None:
    directory, model = {"words": (word_lm, words), "pieces": (lm, pieces)}[kind]
    tensors = load_file(directory / "model.safetensors")
    assert ("head.projection.weight" in tensors) == (kind == "words")
    reference = Reference(tensors)
    encoded = model.tokenizer.encode_lines(LINES)
    end = model.tokenizer.eos_id
    found = Scorer(model).score(LINES)
    for text, line, ids in zip(LINES, found, encoded, strict=True):
        assert line.text == text
        assert line.tokens == len(ids)
        assert line.words is None
        nats = total_bits(reference, ids.tolist(), end) * math.log(2)
        assert line.bits * math.log(2) == pytest.approx(nats, rel=1e-5)
        assert line.perplexity == pytest.approx(math.exp(nats / len(ids)), rel=1e-5)
    # With a carried state the lines are one text.
    carried = Scorer(model, carry=True).score(LINES)
    scores, _ = reference.score(np.concatenate(encoded).tolist(), end)
    ends = np.cumsum([len(ids) for ids in encoded])[:-1]
    wanted = [float(-part.sum() / math.log(2)) for part in np.split(scores, ends)]
    assert bits(carried) == pytest.approx(wanted, rel=1e-5)
    assert carried[0].bits == pytest.approx(found[0].bits, rel=1e-6)
    assert carried[3].bits != pytest.approx(found[3].bits, rel=1e-4)


def test_a_very_long_line_is_one_text(words: LanguageModel, word_lm: Path) -> None:
    """Compared with the network in PyTorch, which reads it in one call."""
    random = np.random.default_rng(2)
    text = " ".join(random.choice(split_words(" ".join(STORIES)), size=20_000))
    (line,) = Scorer(words).score([text])
    assert 19_000 < line.tokens < 21_000
    assert Scorer(words, carry=True).score([text]) == [line]
    config = ModelConfig.from_json(load(word_lm).config["model"])
    network = build_network(config).eval()
    network.load_state_dict(load_torch_file(word_lm / "model.safetensors"))
    ids = torch.from_numpy(words.tokenizer.encode_lines([text])[0]).long()
    before = torch.cat([torch.tensor([words.tokenizer.eos_id]), ids[:-1]])
    total = 0.0
    with torch.no_grad():
        hidden = network.hidden(before[None])[0][:, 0]  # (T, E)
        for part, targets in zip(hidden.split(1000), ids.split(1000), strict=True):
            logits = part @ network.encoder.embedding.weight.t() + network.head.bias
            total += functional.cross_entropy(logits, targets, reduction="sum").item()
    assert line.bits == pytest.approx(total / math.log(2), rel=1e-6)


# Independence of the batch, and words


@pytest.mark.parametrize("by_word", [False, True])
def test_a_score_does_not_depend_on_the_other_lines(by_word: bool, words: LanguageModel) -> None:
    scorer = Scorer(words)
    lines = [*STORIES[:150], "", " ".join(STORIES[:40])]
    found = scorer.score(lines, words=by_word)
    for line, among in zip(lines, found, strict=True):
        assert scorer.score([line], words=by_word) == [among]
    order = np.random.default_rng(3).permutation(len(lines)).tolist()
    assert scorer.score([lines[i] for i in order], words=by_word) == [found[i] for i in order]
    assert bits(scorer.score(lines)) == bits(found)


@pytest.mark.parametrize("carry", [False, True])
def test_the_words_of_a_line_sum_to_the_line(
    carry: bool, words: LanguageModel, pieces: LanguageModel
) -> None:
    for model, split in ((words, split_words), (pieces, with_units)):
        plain = Scorer(model, carry=carry).score(LINES)
        found = Scorer(model, carry=carry).score(LINES, words=True)
        assert bits(found) == bits(plain)
        for text, line in zip(LINES, found, strict=True):
            assert line.words is not None
            assert [word.word for word in line.words] == [*split(text), LINE_END]
            assert sum(word.bits for word in line.words) == pytest.approx(line.bits, rel=1e-9)
            assert all(word.bits > 0 for word in line.words)


def with_units(text: str) -> list[str]:
    """Words between white space; 你 and 好 are tokens, and written without space."""
    return text.replace("你好", "你 好").split()


def test_a_word_has_the_bits_of_its_tokens(pieces: LanguageModel) -> None:
    """A word has all tokens up to its end: `naïve café` has more tokens than words."""
    (ids,) = pieces.tokenizer.encode_lines([SAMPLE])
    (scores,) = pieces.score([ids])
    (line,) = Scorer(pieces).score([SAMPLE], words=True)
    assert line.words is not None
    place = 0
    for word, said in zip(with_units(SAMPLE), line.words[:-1], strict=True):
        count = 1
        while pieces.tokenizer.decode(ids[place : place + count]).strip() != word:
            count += 1
        of_word = scores[place : place + count].astype(float)
        assert said.bits == pytest.approx(float(-of_word.sum()) / math.log(2), rel=1e-6)
        place += count
    assert place == len(ids) - 1
    assert line.words[-1].bits == pytest.approx(float(-scores[-1]) / math.log(2), rel=1e-6)


# Long lines

LONG = [
    "the heron",
    " ".join(STORIES[3:9]),
    "",
    "said zyzzyva, " * 9,
    "\n".join(STORIES[3:7]) + "\n",  # a record of several lines
    SAMPLE,
    "heron" * 30,
    *STORIES[3:5],
]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", ["words", "pieces"])
def test_long_lines_in_parts_have_the_same_scores(
    kind: str, threads: int, word_lm: Path, lm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = {"words": word_lm, "pieces": lm}[kind]
    for carry in (False, True):
        expected = Scorer.load(directory, threads, carry=carry).score(LONG)
        monkeypatch.setattr(score, "_LONG_LINE", 40)
        monkeypatch.setattr(tokenizer, "_PIECE_CHARACTERS", 16)
        monkeypatch.setattr(tokenizer, "_PART_CHARACTERS", 50)
        scorer = Scorer.load(directory, threads, carry=carry)
        parts: list[int] = []
        monkeypatch.setattr(scorer, "_sums", noting(parts, scorer._sums))
        found = [*scorer.score(LONG[:5]), *scorer.score(LONG[5:])]
        monkeypatch.undo()
        assert len(parts) > 2 * len(LONG)
        for line, whole in zip(found, expected, strict=True):
            for name in ("text", "tokens", "unknown", "n_bytes"):
                assert getattr(line, name) == getattr(whole, name)
            assert line.bits == pytest.approx(whole.bits, rel=1e-9)
            assert line.known_bits == pytest.approx(whole.known_bits, rel=1e-9)


def noting(sizes: list[int], function: Callable[..., Any]) -> Callable[..., Any]:
    def noted(ids: Array, bits: Array) -> Any:
        sizes.append(len(ids))
        return function(ids, bits)

    return noted


def test_memory_does_not_grow_with_a_long_line(lm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score, "_LONG_LINE", 1 << 11)
    monkeypatch.setattr(tokenizer, "_PIECE_CHARACTERS", 1 << 10)
    monkeypatch.setattr(tokenizer, "_PART_CHARACTERS", 1 << 11)
    scorer = Scorer.load(lm, threads=1)
    line = " ".join(" ".join(STORIES).split()[:3000]) + " "
    peaks = []
    for text in (line * 4, line, line * 4):  # the first fills the caches
        tracemalloc.start()
        try:
            scorer.score([text])
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    # Whole lines took 23 bytes a character.
    assert peaks[2] - peaks[1] < 4 * len(3 * line)


# Bytes and unknown words


def test_bits_per_byte_count_the_line_and_its_end(pieces: LanguageModel) -> None:
    for text, line in zip(LINES, Scorer(pieces).score(LINES), strict=True):
        assert line.unknown == 0
        assert line.n_bytes == len(text.encode()) + 1
        assert line.bits_per_byte == pytest.approx(line.bits / (len(text.encode()) + 1))
        assert line.perplexity_known == line.perplexity


def test_words_and_unknown_words_have_no_bits_per_byte(words: LanguageModel) -> None:
    known, unknown = Scorer(words).score(["the heron said", "the zyzzyva said Zyzzyva"])
    assert known.bits_per_byte is unknown.bits_per_byte is None
    assert (known.unknown, unknown.unknown) == (0, 2)
    assert known.perplexity_known == known.perplexity
    (by_word,) = Scorer(words).score([unknown.text], words=True)
    assert by_word.words is not None
    assert [word.word for word in by_word.words[1:4:2]] == ["zyzzyva", "Zyzzyva"]
    of_known = sum(word.bits for word in by_word.words[::2])  # the, said, <eos>
    assert unknown.known_bits == pytest.approx(of_known, rel=1e-9)
    assert unknown.perplexity_known == pytest.approx(2 ** (of_known / 3), rel=1e-9)


def test_an_unknown_character_is_charged_its_bytes() -> None:
    characters = Tokenizer.train("char", ["naïve café"], vocab_size=99)
    model, _ = random_language_model(tokenizer=characters)
    known, unknown = Scorer(model).score(["café", "cafe 你"])
    assert known.bits_per_byte == pytest.approx(known.bits / 6)
    assert (unknown.unknown, unknown.unknown_bytes, unknown.n_bytes) == (1, 3, 9)
    assert unknown.bits_per_byte == pytest.approx((unknown.bits + 3 * 8) / 9)
    # However the line is read.
    (by_word,) = Scorer(model).score([unknown.text], words=True)
    assert by_word.bits_per_byte == pytest.approx(unknown.bits_per_byte)
    (both,) = Scorer(model).score(["café\ncafe 你"])
    assert (both.unknown_bytes, both.n_bytes) == (3, 6 + 9)
    lowered = Tokenizer.train("byte", [], vocab_size=0, lowercase=True)
    model, _ = random_language_model(tokenizer=lowered)
    assert Scorer(model).score(["abc"])[0].bits_per_byte is None


def test_an_empty_line_is_its_end(words: LanguageModel) -> None:
    (line,) = Scorer(words).score([""], words=True)
    assert (line.text, line.tokens, line.unknown) == ("", 1, 0)
    assert line.words is not None
    assert [(word.word, word.bits) for word in line.words] == [(LINE_END, line.bits)]
    assert line.perplexity == pytest.approx(2**line.bits)


# The carried state


def test_the_state_is_carried_from_call_to_call(words: LanguageModel) -> None:
    together = Scorer(words, carry=True).score(LINES)
    scorer = Scorer(words, carry=True)
    apart = [*scorer.score(LINES[:1]), *scorer.score([]), *scorer.score(LINES[1:4])]
    apart += scorer.score(LINES[4:], words=True)
    assert bits(apart) == bits(together)
    assert bits(scorer.score(LINES)) != bits(together)
    scorer.restart()
    assert scorer.score(LINES) == together
    plain = Scorer(words)
    plain.restart()
    assert plain.score(LINES) == Scorer(words).score(LINES)
    assert plain.score([]) == []


def test_loading_what_is_not_a_language_model(classifier: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="classifier, and this needs a language model"):
        Scorer.load(classifier)
    with pytest.raises(CheckpointError, match="does not exist"):
        Scorer.load(tmp_path / "none")


# Against `evaluate`


def test_carried_scores_sum_to_the_result_of_evaluate(
    run: Shell, word_lm: Path, tmp_path: Path
) -> None:
    one, two = tmp_path / "a.txt", tmp_path / "b.txt"
    # More lines than one batch holds.
    one.write_text("\n".join([*STORIES, *STORIES]) + "\n", "utf-8")
    two.write_text("\n".join(STORIES[20:60]) + "\n", "utf-8")
    model = ("-m", word_lm, "--threads", "1", "--json")

    def totals(state: str, *files: Path) -> tuple[float, int]:
        lines = run("score", *model, "--state", state, *files).done().objects
        return sum(line["bits"] for line in lines), sum(line["tokens"] for line in lines)

    sums = {}
    for files in ((one,), (two,), (one, two)):
        (found,) = run("evaluate", *model, *files).done().objects
        nats = math.log(found["perplexity"]) * found["tokens"]
        total, tokens = totals("carry", *files)
        assert tokens == found["tokens"]
        assert total * math.log(2) == pytest.approx(nats, rel=1e-5)
        sums[files] = total
    # Every file starts from a zero state: scored together they have the same surprisal.
    assert sums[one, two] == pytest.approx(sums[one,] + sums[two,], rel=1e-7)
    assert totals("reset", two)[0] != pytest.approx(sums[two,], rel=1e-5)
