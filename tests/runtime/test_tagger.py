"""Tags of sentences of any length, compared with the network in PyTorch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from rnntext.checkpoint_config import CheckpointConfig
from rnntext.config import EncoderConfig, ModelConfig
from rnntext.errors import CheckpointError, DataError
from rnntext.runtime import tagger as tagger_module
from rnntext.runtime.answers import Answer, Mistake
from rnntext.runtime.crf import marginals, viterbi
from rnntext.runtime.model import TrainedModel
from rnntext.runtime.session import Session
from rnntext.runtime.tagger import TaggedSentence, Tagger
from rnntext.text.formats import DataOptions
from rnntext.text.records import Record, prefetch, text_of
from rnntext.text.tokenizer import EncodedWords, Tokenizer
from rnntext.text.word_splitting import split_words
from rnntext.training.networks.build import build_network
from rnntext.training.networks.encoder import Network
from rnntext.training.onnx.from_network import export
from rnntext.word_features import Weights

torch.set_num_threads(1)

Array = NDArray[Any]
CELLS = ("rnn", "gru", "lstm")
LABELS = ("NOUN", "VERB", "naïve", "X")
LAYERS, H, E = 2, 9, 6
WINDOW = 20
# Every byte is a token, and so is the space between two words.
TOKENIZER = Tokenizer.train("byte", [], vocab_size=0)
SAMPLE = "Mara can't row, [naïve] 你好 🙂."


def random_tagger(
    cell: str = "lstm", *, both: bool = False, crf: bool = True, threads: int = 1
) -> tuple[Tagger, Network]:
    """Without `crf`, tags do not depend on each other."""
    encoder = EncoderConfig(cell, TOKENIZER.vocab_size, E, H, LAYERS, both)
    config = ModelConfig("tag", encoder, LABELS, False, WINDOW)
    network = build_network(config).eval()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.5, generator=generator)
        # Larger weights, so that not all words have the same tag.
        network.encoder.embedding.weight.mul_(5)
        network.head.output.weight.mul_(4)
        network.head.output.bias.zero_()
        for parameter in network.head.crf.parameters():
            parameter.mul_(2 if crf else 0)
    model = TrainedModel.from_session(config, TOKENIZER, Session(export(network), threads))
    return Tagger(model), network


def sentences_of(*lengths: int) -> list[list[str]]:
    """Sentences with these numbers of words, each of one to six letters."""
    random = np.random.default_rng(6)
    letters = np.array(list("abcdefgh"))
    return [
        ["".join(random.choice(letters, size=random.integers(1, 7))) for _ in range(length)]
        for length in lengths
    ]


def emissions_of(network: Network, sentence: EncodedWords) -> Array:
    """Emissions (words, labels) of a whole sentence, read in one call."""
    arrays = (sentence.ids, [len(sentence.ids)], sentence.first, sentence.last)
    ids, length, first, last = (torch.from_numpy(np.array(a, np.int64)) for a in arrays)
    with torch.no_grad():
        return np.asarray(network(ids[None], length, first[None], last[None])[0])


def pieces_of(sentence: EncodedWords) -> Iterator[slice]:
    """The words of each piece: as many as fit into a window, at least one."""
    start = 0
    while start < len(sentence.first):
        offset = 0 if start == 0 else sentence.last[start - 1] + 1
        stop = start + 1
        while stop < len(sentence.last) and sentence.last[stop] < offset + WINDOW:
            stop += 1
        yield slice(start, stop)
        start = stop


def decoded(network: Network, emissions: Array) -> tuple[Array, Array]:
    """The best path of tags, and the probability of each tag on it."""
    crf = [getattr(network.head.crf, n).detach().numpy() for n in ("start", "transitions", "end")]
    words = np.array([len(emissions)])
    (path,) = viterbi(emissions[None], words, *crf)
    return path, marginals(emissions[None], words, *crf)[0][np.arange(len(path)), path]


BUNDLES = ("A=1|B=1", "A=1|B=2", "A=2|B=1", "A=2|B=2", "_", "A=1")


@pytest.mark.parametrize("labels", [LABELS, BUNDLES])
@pytest.mark.parametrize("both", [False, True])
def test_without_a_random_field_each_tag_is_chosen_by_itself(
    labels: tuple[str, ...], both: bool
) -> None:
    encoder = EncoderConfig("gru", TOKENIZER.vocab_size, E, H, 1, both)
    config = ModelConfig("tag", encoder, labels, False, WINDOW, crf=False)
    network = build_network(config).eval()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 1, generator=generator)
        network.encoder.embedding.weight.mul_(3)
    session = Session(export(network), 1)
    tagger = Tagger(TrainedModel.from_session(config, TOKENIZER, session))
    sentences = sentences_of(2, 1, 3, 2, 1, 3, 2, 2)
    encoded = TOKENIZER.encode_words(sentences)
    seen = set()
    for words, (tags, likely) in zip(encoded, tagger.tag_ids(encoded, sentences), strict=True):
        assert len(words.ids) <= WINDOW
        odds = np.exp(emissions_of(network, words))
        np.testing.assert_array_equal(tags, odds.argmax(1))
        np.testing.assert_allclose(likely, odds.max(1) / odds.sum(1), atol=1e-5)
        seen |= set(tags.tolist())
    assert len(seen) > 2
    assert tagger.tag_words([[], ["a"]])[0].tags == []


def assert_same(
    found: Sequence[TaggedSentence], wanted: Sequence[TaggedSentence], tolerance: float = 1e-6
) -> None:
    for one, two in zip(found, wanted, strict=True):
        assert (one.text, one.words, one.tags) == (two.text, two.words, two.tags)
        assert one.probabilities == pytest.approx(two.probabilities, abs=tolerance)


# Numbers of words: sentences shorter than a window of 20 tokens, and up to thirty windows long.
LENGTHS = (2, 41, 0, 5, 1, 160, 4)


@pytest.mark.parametrize("cell", CELLS)
def test_one_direction_reads_a_long_sentence_as_a_whole(cell: str) -> None:
    tagger, network = random_tagger(cell, crf=False)
    sentences = sentences_of(*LENGTHS)
    encoded = TOKENIZER.encode_words(sentences)
    assert max(len(words.ids) for words in encoded) > 20 * WINDOW
    for words, (tags, likely) in zip(encoded, tagger.tag_ids(encoded, sentences), strict=True):
        assert len(tags) == len(likely) == len(words.first)
        if not len(tags):
            continue
        emissions = emissions_of(network, words)
        np.testing.assert_array_equal(tags, emissions.argmax(1))
        odds = np.exp(emissions)
        wanted = odds.max(1) / odds.sum(1)
        np.testing.assert_allclose(likely, wanted, atol=1e-4 if cell == "rnn" else 1e-5)
        assert len(set(tags.tolist())) > 2 or len(tags) < 6


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_a_long_sentence_is_decoded_in_pieces(cell: str, both: bool) -> None:
    tagger, network = random_tagger(cell, both=both)
    # One word has more tokens than a window.
    sentences = [*sentences_of(*LENGTHS), ["abc", "defg" * 7, "h", "gfe"]]
    encoded = TOKENIZER.encode_words(sentences)
    assert len(list(pieces_of(encoded[-1]))) == 3
    for words, (tags, likely) in zip(encoded, tagger.tag_ids(encoded, sentences), strict=True):
        place = 0
        whole = emissions_of(network, words) if len(words.first) else None
        for piece in pieces_of(words):
            emissions = None if whole is None else whole[piece]
            if both:
                # No state is carried. The space before a word belongs to its piece.
                offset = 0 if piece.start == 0 else words.last[piece.start - 1] + 1
                end = words.last[piece.stop - 1] + 1
                part = EncodedWords(
                    words.ids[offset:end],
                    words.first[piece] - offset,
                    words.last[piece] - offset,
                )
                emissions = emissions_of(network, part)
            assert emissions is not None
            path, probabilities = decoded(network, emissions)
            np.testing.assert_array_equal(tags[piece], path)
            tolerance = 1e-4 if cell == "rnn" else 1e-5
            np.testing.assert_allclose(likely[piece], probabilities, atol=tolerance)
            place = piece.stop
        assert place == len(tags) == len(words.first)


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_a_result_does_not_depend_on_the_other_sentences(cell: str, both: bool) -> None:
    tagger, _ = random_tagger(cell, both=both)
    # More sentences than one batch holds.
    sentences = sentences_of(*LENGTHS, *range(70))
    # With random weights the vanilla RNN amplifies rounding errors.
    tolerance = 1e-4 if cell == "rnn" else 1e-6
    together = tagger.tag_words(sentences)
    for words, answer in zip(sentences, together, strict=True):
        assert answer.words == words
        assert_same(tagger.tag_words([words]), [answer], tolerance)
    order = np.random.default_rng(7).permutation(len(sentences)).tolist()
    shuffled = tagger.tag_words([sentences[i] for i in order])
    assert_same(shuffled, [together[i] for i in order], tolerance)
    # Threads do not change the results.
    threaded, _ = random_tagger(cell, both=both, threads=2)
    assert threaded.tag_words(sentences) == together
    assert tagger.tag_words(sentences) == together


def test_texts_are_split_into_words() -> None:
    tagger, _ = random_tagger()
    (found,) = tagger.tag([SAMPLE])
    assert (found.text, found.words) == (SAMPLE, split_words(SAMPLE))
    assert "n't" in found.words
    assert set(found.tags) <= set(LABELS)
    assert len(found.tags) == len(found.probabilities) == len(found.words)
    assert all(type(p) is float and 0 < p <= 1 for p in found.probabilities)
    (pretokenized,) = tagger.tag([SAMPLE], pretokenized=True)
    assert pretokenized.words == SAMPLE.split(" ")
    (spaced,) = tagger.tag(["  a \u00a0b\t c  "], pretokenized=True)
    assert spaced.words == ["a", "\u00a0b\t", "c"]
    assert_same(tagger.tag_words([found.words]), [replace(found, text=" ".join(found.words))])
    assert tagger.tag_words([["a", "b"]])[0].text == "a b"


@pytest.mark.parametrize("both", [False, True])
def test_texts_without_a_word(both: bool) -> None:
    tagger, _ = random_tagger(both=both)
    (alone,) = tagger.tag([""])
    assert alone == TaggedSentence("", [], [], [])
    spaces, full, empty = tagger.tag(["  ", SAMPLE, ""])
    assert spaces == TaggedSentence("  ", [], [], [])
    assert empty == alone
    assert_same([full], tagger.tag([SAMPLE]))
    assert tagger.tag([]) == []


@pytest.mark.parametrize(("pairs", "most"), [(1, 1), (16, 1), (31, 1), (32, 2), (1000, 5)])
def test_sentences_are_decoded_in_groups(
    pairs: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One call of Viterbi compares 16 pairs of four labels for each sentence."""
    tagger, _ = random_tagger()
    sentences = sentences_of(2, 2, 1, 2, 1)
    wanted = tagger.tag_words(sentences)
    sizes = []

    def recorded(emissions: Array, *others: Array) -> list[Array]:
        sizes.append(len(emissions))
        return viterbi(emissions, *others)

    monkeypatch.setattr(tagger_module, "_MAX_LABEL_PAIRS", pairs)
    monkeypatch.setattr(tagger_module, "viterbi", recorded)
    assert_same(tagger.tag_words(sentences), wanted)
    assert max(sizes) == most
    assert sum(sizes) == 5


# Evaluation


def test_evaluation_compares_tags_with_those_of_a_file(tmp_path: Path) -> None:
    tagger, _ = random_tagger()
    model = tagger._model
    (answer,) = tagger.tag_words([["Mara", "rows", "far"]])
    wrong = "NOUN" if answer.tags[1] == "VERB" else "VERB"
    tags = [answer.tags[0], wrong, answer.tags[2]]
    file = tmp_path / "given.conll"
    file.write_text("".join(f"{w} {t}\n" for w, t in zip(answer.words, tags, strict=True)))
    found = tagger_module.RUNTIME.evaluate(model, [str(file)], DataOptions())
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert set(tagger_module.RUNTIME.metric_names(model.config)) <= set(found)


def test_an_evaluation_tells_of_each_sentence(tmp_path: Path) -> None:
    tagger, _ = random_tagger()
    one, two = tagger.tag_words([["Mara", "rows", "far"], ["你好", "!"]])
    other = "NOUN" if one.tags[1] == "VERB" else "VERB"
    lines = [("Mara", one.tags[0]), ("rows", other), ("far", one.tags[2]), None]
    lines += zip(two.words, two.tags, strict=True)
    file = tmp_path / "given.conll"
    file.write_text("".join("\n" if line is None else f"{line[0]} {line[1]}\n" for line in lines))
    seen: list[Answer] = []
    options = DataOptions()
    tagger_module.RUNTIME.evaluate(tagger._model, [str(file)], options, seen.extend)
    mistake = Mistake(
        one.probabilities[1], other, one.tags[1], str(file), 1, "Mara rows far", word="rows"
    )
    assert [each.mistakes for each in seen] == [(mistake,), ()]
    assert [(each.line, each.columns) for each in seen] == [
        (1, {"words": ["Mara", "rows", "far"]}),
        (5, {"words": ["你好", "!"]}),
    ]
    assert seen[0].gold == (one.tags[0], other, one.tags[2])
    assert seen[0].predicted == tuple(one.tags)
    assert seen[1].probability == tuple(two.probabilities)


def test_data_of_which_no_tag_is_known_are_refused(tmp_path: Path) -> None:
    """An accuracy of 0 would not say that the tags are those of another column."""
    tagger, _ = random_tagger()
    training = {"options": {"tag_column": "feats"}, "recipe": {}, "machine": "", "threads": 1}
    content = {"training": {**training, "torch_version": ""}}
    model = replace(tagger._model, saved=CheckpointConfig(tmp_path / "config.json", content))
    file = tmp_path / "other.conll"
    file.write_text("Mara Case=Nom\nrows _\n")
    with pytest.raises(
        DataError, match=r"knows no tag of .*other\.conll \(its first is 'Case=Nom'"
    ):
        tagger_module.RUNTIME.evaluate(tagger._model, [str(file)], DataOptions())
    with pytest.raises(DataError, match="right column, as feats was in training"):
        tagger_module.RUNTIME.evaluate(model, [str(file)], DataOptions())
    file.write_text("Mara Case=Nom\nrows VERB\n")  # one is enough
    assert tagger_module.RUNTIME.evaluate(model, [str(file)], DataOptions())["accuracy"] <= 0.5


@pytest.mark.parametrize("crf", [False, True])
def test_a_linear_model_that_does_not_fit_the_network_is_refused(crf: bool) -> None:
    """Transitions in one of the two would be left out of the sum."""
    encoder = EncoderConfig("gru", TOKENIZER.vocab_size, E, H, 1, True)
    config = ModelConfig("tag", encoder, BUNDLES, False, WINDOW, crf=crf)
    count = len(BUNDLES)
    paths = [np.zeros(size, np.float32) for size in (count, (count, count), count)]
    for columns in (count, len({"A=1", "A=2", "B=1", "B=2", "_"})):
        rows, bias = np.zeros((2, columns), np.float16), np.zeros(count, np.float32)
        for given in ((), tuple(paths)):
            weights = Weights(np.array([1, 2], np.uint32), rows, bias, given)
            content = weights.serialize()
            if crf == bool(given) and (columns == count) == crf:
                assert tagger_module.RUNTIME.parse_linear(content, config).tags == count
                continue
            with pytest.raises(ValueError, match=r"transitions|columns|shape"):
                tagger_module.RUNTIME.parse_linear(content, config)


def test_a_file_without_sentences_is_refused(tmp_path: Path) -> None:
    tagger, _ = random_tagger()
    file = tmp_path / "blank.conll"
    file.write_text("\n\n")
    with pytest.raises(DataError, match=r"blank\.conll has no sentences in it: name a file"):
        tagger_module.RUNTIME.evaluate(tagger._model, [str(file)], DataOptions())


# Trained models


def test_a_trained_tagger(tagger: Path) -> None:
    one, two = (Tagger.load(tagger, threads=threads) for threads in (1, 2))
    texts = [SAMPLE, "", "Mara lit the ovens before the gulls were awake.", "x " * 700, "row"]
    together = one.tag(texts)
    for text, answer in zip(texts, together, strict=True):
        assert_same(one.tag([text]), [answer])
    assert_same(one.tag(texts[::-1]), together[::-1])
    assert two.tag(texts * 40) == one.tag(texts * 40)
    assert [len(answer.tags) for answer in together[1:4]] == [0, 10, 700]


def test_loading_what_is_not_a_tagger(lm: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="language model, and this needs a tagger"):
        Tagger.load(lm)
    with pytest.raises(CheckpointError, match="does not exist"):
        Tagger.load(tmp_path / "none")


def test_batches_that_are_tagged_in_parallel() -> None:
    tagger, _ = random_tagger(both=True, threads=2)
    batches = [
        [Record(" ".join(words)) for words in sentences_of(*range(1, size))] for size in (60, 2, 40)
    ]
    found = prefetch([*batches, []], tagger.stream, text_of)
    for wanted, (batch, answers) in zip(batches, found, strict=True):
        assert batch == wanted
        assert list(answers) == tagger.tag([record.text for record in batch])
