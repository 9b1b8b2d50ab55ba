"""The linear model of a tagger: what it learns from, its file, and the sum with a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from rnntext.checkpoint import NGRAMS
from rnntext.config import FORBIDDEN_SCORE, EncoderConfig, ModelConfig
from rnntext.metrics import tagging_metrics
from rnntext.runtime.crf import viterbi
from rnntext.runtime.model import TrainedModel
from rnntext.runtime.session import Session
from rnntext.text.tokenizer import Tokenizer
from rnntext.training.data.examples import TaggedIds, TaggedRows, TextRows, join_words
from rnntext.training.linear.chains import Chains, PathScores
from rnntext.training.linear.tagging import TagSet
from rnntext.training.networks.build import build_network
from rnntext.training.networks.tagger import Tagger
from rnntext.training.onnx.from_network import export
from rnntext.training.tasks import tagging as tagging_module
from rnntext.training.tasks import word_half
from rnntext.training.tasks.ngram_half import WEIGHT
from rnntext.training.tasks.tagging import LOSS, Tagging
from rnntext.training.tasks.word_half import Scored, WordHalf, forbidden_paths, tag_set
from rnntext.word_features import Weights, WordModel
from tests.training.models import CPU, Array

PLAIN = ("NOUN", "VERB")
SPANS = ("B-x", "I-x", "O")
TOKENIZER = Tokenizer.train("byte", [], vocab_size=0)
SENTENCES = [
    ["dogs", "bark"],
    ["cats", "sleep"],
    ["dogs", "sleep", "dogs"],
    ["bark"],
    ["cats", "bark", "cats"],
    ["dogs", "bark"],
]
TAGS = [[0, 1], [0, 1], [0, 1, 0], [1], [0, 1, 0], [0, 1]]


def encoded(sentences: Sequence[Sequence[str]], tags: Sequence[Sequence[int]]) -> list[TaggedIds]:
    return [
        TaggedIds(words.ids, words.first, words.last, np.array(row, np.int32))
        for words, row in zip(TOKENIZER.encode_words(sentences), tags, strict=True)
    ]


def paths_of(labels: Sequence[str]) -> TagSet:
    return TagSet(len(labels), forbidden_paths(labels))


def half_of(
    sentences: Sequence[Sequence[str]] = SENTENCES,
    tags: Sequence[Sequence[int]] = TAGS,
    labels: Sequence[str] = PLAIN,
    tag_set: TagSet | None = None,
) -> WordHalf:
    """Trained and validated on the same sentences."""
    rows = TaggedRows.of(encoded(sentences, tags))
    texts = TextRows.of(list(map(join_words, sentences)))
    return WordHalf(rows, texts, sentences, tag_set or paths_of(labels))


def learned(**given: Any) -> WordHalf:
    half = half_of(**given)
    half.learn(None, seed=0)
    return half


def test_it_learns_from_the_words_of_the_training_sentences() -> None:
    half = learned()
    assert half.texts == len(SENTENCES)
    found = half.scores([["cats", "bark"], ["dogs"]])
    assert [each.argmax(1).tolist() for each in found.emissions] == [[0, 1], [0]]


def test_a_timed_run_learns_from_a_part_that_its_seed_chooses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def most(minutes: float | None, tags: TagSet) -> int:
        asked.append((minutes, tags.size))
        return 5

    monkeypatch.setattr(word_half, "most_words", most)
    found = set()
    for seed in range(8):
        half = half_of()
        half.learn(0.1, seed)
        assert 2 <= half.texts < len(SENTENCES)
        found.add(half.files({})[NGRAMS])
    assert len(found) > 1
    assert asked == [(0.1, 2)] * 8


def test_a_run_that_is_repeated_learns_from_the_same_sentences(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, again = half_of(), half_of()
    with monkeypatch.context() as patched:
        patched.setattr(word_half, "most_words", lambda minutes, labels: 5)
        first.learn(0.1, 7)
    again.learn(None, 7, first.texts)
    assert first.texts < len(SENTENCES)
    assert again.files({}) == first.files({})


def test_its_file_has_the_weight_of_the_evaluation() -> None:
    half = learned()
    assert half_of().files({}) == {}
    plain = WordModel(Weights.parse(half.files({})[NGRAMS]), 2)
    assert plain.weights.scale == 1
    weighted = half.files({WEIGHT: 0.25})[NGRAMS]
    assert Weights.parse(weighted).scale == 0.25
    expected = plain.emissions(SENTENCES)
    np.testing.assert_allclose(
        WordModel(Weights.parse(weighted), 2).emissions(SENTENCES), expected / 4, rtol=1e-6
    )
    again = half_of()
    again.restore(weighted)
    assert np.array_equal(np.concatenate(again.scores(SENTENCES).emissions), expected)


def test_forbidden_paths_are_forbidden_to_it() -> None:
    half = learned(sentences=[["a", "b"]] * 2, tags=[[0, 1]] * 2, labels=SPANS)
    start, transitions, end = half.scores([["a"]]).paths
    assert start[1] == FORBIDDEN_SCORE
    assert transitions[2, 1] == FORBIDDEN_SCORE
    assert start[0] > 0
    assert abs(transitions[0, 1]) < 10
    assert (np.abs(end) < 10).all()


def scored(tags: Sequence[Array], certainty: float, noise: float, labels: int = 2) -> Scored:
    random = np.random.default_rng(4)
    emissions = [
        (certainty * np.eye(labels)[row] + noise * random.normal(size=(len(row), labels))).astype(
            np.float32
        )
        for row in tags
    ]
    paths = np.zeros(labels), np.zeros((labels, labels)), np.zeros(labels)
    start, transitions, end = (path.astype(np.float32) for path in paths)
    return Scored(emissions, (start, transitions, end))


def gold_of(count: int, labels: int = 2) -> list[Array]:
    random = np.random.default_rng(5)
    return [random.integers(labels, size=random.integers(1, 9)) for _ in range(count)]


def test_the_model_that_knows_more_counts_more_and_the_sum_is_as_likely_as_either() -> None:
    tags = gold_of(80)
    good, poor = scored(tags, 2, 1), scored(tags, 1, 3)
    half = half_of()
    first, second, log_loss = half.fit_weights(good, poor, tags)
    assert first > 4 * second > 0
    swapped = half.fit_weights(poor, good, tags)
    assert (swapped.linear, swapped.network) == pytest.approx((first, second), rel=0.05)
    chains = Chains(list(map(len, tags)), np.concatenate(tags), 2)

    def loss(one: Scored) -> float:
        paths = PathScores(*map(torch.from_numpy, one.paths))
        nats = chains.loss(torch.from_numpy(np.concatenate(one.emissions)), paths)
        return nats.item() / chains.words

    total = loss(good.times(first).plus(poor.times(second)))
    assert log_loss == pytest.approx(total, rel=1e-5)
    assert total < min(loss(good), loss(poor))


def test_an_overconfident_model_is_calibrated() -> None:
    tags = gold_of(80)
    half = half_of()
    usual = half.fit_weights(scored(tags, 2, 1), scored(tags, 0, 1), tags)
    certain = half.fit_weights(scored(tags, 20, 10), scored(tags, 0, 1), tags)
    assert usual.network == pytest.approx(10 * certain.network, rel=0.2)


def test_sentences_with_a_tag_that_the_model_lacks_do_not_count() -> None:
    tags = gold_of(40)
    with_unseen = [*tags, np.array([0, 2, 1])]
    extra = np.full((3, 2), 9.0, np.float32)
    models = [scored(tags, 2, 1), scored(tags, 1, 1)]
    longer = [Scored([*each.emissions, extra], each.paths) for each in models]
    half = half_of()
    assert half.fit_weights(*longer, with_unseen) == half.fit_weights(*models, tags)


def test_without_a_sentence_to_learn_from_both_count_alike() -> None:
    tags = [np.array([0, 2]), np.array([2])]
    models = [scored([np.array([0, 1]), np.array([1])], size, 1) for size in (2, 1)]
    assert half_of().fit_weights(*models, tags) == pytest.approx((0.5, 0.5, 0))


def test_sentences_are_scored_in_blocks_that_fit_into_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    objective, network = objective_of(), random_tagger()
    list(objective.prepare({}))
    whole = objective.evaluate(network)
    fitted = objective._predict(network, objective._linear, range(6), tagging_module._Predicted())
    monkeypatch.setattr(tagging_module, "MAX_SCORES", 8)
    blocks = list(objective._blocks(range(6)))
    assert [list(block) for block in blocks] == [[0, 1], [2, 3], [4], [5]]
    # The weights are those of the first block, unless it is told otherwise.
    monkeypatch.setattr(WordHalf, "fit_weights", lambda *_: fitted)
    assert objective.evaluate(network) == whole
    alone = Tagging(
        objective.train,
        objective.valid,
        labels=PLAIN,
        max_length=512,
        batch_size=3,
        seed=0,
        machine=CPU,
    )
    assert alone.evaluate(network)["accuracy"] == whole["network_accuracy"]


def test_a_broken_span_in_the_data_does_not_silence_the_models() -> None:
    tags = gold_of(60, 3)
    broken = [np.array([2, 1]), *tags]  # I-x after O, as any other random tags
    models = [scored(broken, 3, 1, 3), scored(broken, 3, 1, 3)]
    weights = half_of(labels=SPANS, tags=[[0] * len(s) for s in SENTENCES]).fit_weights(
        *models, broken
    )
    assert weights.network > 0.2
    assert weights.linear > 0.2


def objective_of(
    labels: Sequence[str] = PLAIN, max_length: int = 512, tags: TagSet | None = None
) -> Tagging:
    rows = encoded(SENTENCES, TAGS)
    return Tagging(
        TaggedRows.of(rows),
        rows,
        labels=labels,
        max_length=max_length,
        batch_size=3,
        seed=0,
        machine=CPU,
        linear=half_of(tag_set=tags or paths_of(labels)),
    )


def random_tagger(
    labels: Sequence[str] = PLAIN, max_length: int = 512, *, crf: bool = True
) -> Tagger:
    encoder = EncoderConfig("gru", TOKENIZER.vocab_size, 6, 5, 1, True)
    config = ModelConfig("tag", encoder, tuple(labels), False, max_length, crf=crf)
    network = build_network(config)
    assert isinstance(network, Tagger)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.5, generator=generator)
    return network.eval()


@pytest.mark.parametrize("max_length", [512, 5])
def test_the_finished_model_says_what_its_evaluation_measured(max_length: int) -> None:
    """Of whole sentences, and of sentences in pieces of a word each."""
    objective, network = objective_of(max_length=max_length), random_tagger(max_length=max_length)
    (event,) = objective.prepare({})
    assert event.texts == len(SENTENCES)
    assert event.metrics["accuracy"] > 0.8
    on_the_way = objective.evaluate(network)
    measured = objective.final_metrics(network, quick=False)
    assert {**on_the_way, **measured} == on_the_way
    assert objective.metric == LOSS
    assert not objective.higher_is_better
    halves = objective.halves()
    assert halves["ngrams_accuracy"] == event.metrics["accuracy"]
    assert halves["network_accuracy"] == on_the_way["network_accuracy"]
    assert halves["network_accuracy"] != measured["accuracy"]
    # The network is weighted now, as the file is.
    (content,) = objective.files({**measured, **halves}).values()
    # The validation data were not held out, so nothing more is learned from them.
    assert objective.finished_files() == {NGRAMS: content}
    assert objective.seconds_to_finish() == 0
    model = WordModel(Weights.parse(content), 2)
    trained = TrainedModel.from_session(network.config, TOKENIZER, Session(export(network), 1))
    assert objective.evaluate_runtime(trained, quick=False) == measured

    from rnntext.runtime.tagger import Tagger as OnnxTagger

    whole = TrainedModel(trained.config, TOKENIZER, lambda: trained.session, ngrams=lambda: model)
    found = OnnxTagger(whole).tag_words(SENTENCES)
    gold = [[PLAIN[tag] for tag in row] for row in TAGS]
    assert tagging_metrics(gold, [each.tags for each in found], False) == measured


def test_the_runtime_adds_the_scores_of_both() -> None:
    from rnntext.runtime.tagger import Tagger as OnnxTagger

    network, half = random_tagger(), learned()
    session = Session(export(network), 1)
    model = half.model(0.5)
    trained = TrainedModel(network.config, TOKENIZER, lambda: session, ngrams=lambda: model)
    tagger = OnnxTagger(trained)
    own = model.path_scores()
    for words, found in zip(SENTENCES, tagger.tag_words(SENTENCES), strict=True):
        (tokens,) = TOKENIZER.encode_words([words])
        arrays = (tokens.ids, [len(tokens.ids)], tokens.first, tokens.last)
        ids, length, first, last = (torch.from_numpy(np.array(a, np.int64)) for a in arrays)
        with torch.no_grad():
            emissions = network(ids[None], length, first[None], last[None])[0].numpy()
            crf = network.head.crf
            paths = [p.numpy() for p in (crf.start, crf.transitions, crf.end)]
        (best,) = viterbi(
            (emissions + model.emissions([words]))[None],
            np.array([len(words)]),
            *(a + b for a, b in zip(paths, own, strict=True)),
        )
        assert found.tags == [PLAIN[tag] for tag in best]


def test_a_run_that_continues_has_the_model_that_it_learned() -> None:
    objective = objective_of()
    list(objective.prepare({}))
    files = objective.files({WEIGHT: 3.0})
    again = objective_of()
    assert list(again.prepare(files)) == []
    network = random_tagger()
    assert again.evaluate(network) == objective.evaluate(network)


def test_scaling_leaves_forbidden_paths_forbidden() -> None:
    tags = [[0, 1], [0, 1], [0, 1, 2], [2], [0, 1, 2], [0, 1]]
    rows = encoded(SENTENCES, tags)
    objective = Tagging(
        TaggedRows.of(rows),
        rows,
        labels=SPANS,
        max_length=512,
        batch_size=3,
        seed=0,
        machine=CPU,
        linear=half_of(tags=tags, labels=SPANS),
    )
    list(objective.prepare({}))
    network = random_tagger(SPANS)
    with torch.no_grad():
        for score, fixed in zip(
            (network.head.crf.start, network.head.crf.transitions),
            forbidden_paths(SPANS),
            strict=False,
        ):
            score[fixed != 0] = FORBIDDEN_SCORE
    before = network.head.crf.transitions.detach().clone()
    bias = network.head.output.bias.detach().clone()
    objective.final_metrics(network, quick=False)
    after = network.head.crf.transitions.detach()
    factor = (network.head.output.bias / bias).mean().item()
    assert 0 < factor != 1
    assert after[2, 1] == FORBIDDEN_SCORE
    assert network.head.crf.start[1] == FORBIDDEN_SCORE
    assert after[0, 1].item() == pytest.approx(factor * before[0, 1].item())
    assert objective.halves().keys() == {"network_f1", "ngrams_f1", "ngrams_texts", WEIGHT}
    assert objective.halves()["ngrams_texts"] == len(SENTENCES)


def test_what_was_held_out_is_learned_from_in_the_end() -> None:
    """The validation sentences have words of their own."""
    rows = encoded(SENTENCES, TAGS)
    words, tags = [["wolves", "howl"], ["wolves", "howl", "wolves"]], [[0, 1], [0, 1, 0]]

    def objective(*, held_out: bool) -> Tagging:
        texts = TextRows.of(list(map(join_words, SENTENCES)))
        return Tagging(
            TaggedRows.of(rows),
            encoded(words, tags),
            labels=PLAIN,
            max_length=512,
            batch_size=3,
            seed=0,
            machine=CPU,
            linear=WordHalf(TaggedRows.of(rows), texts, words, paths_of(PLAIN)),
            held_out=held_out,
        )

    found = []
    for held_out in (False, True):
        made, network = objective(held_out=held_out), random_tagger()
        assert made.seconds_to_finish() == 0
        list(made.prepare({}))
        assert (made.seconds_to_finish() > 0) == held_out
        on_the_way = made.files({})
        measured = made.final_metrics(network, quick=False)
        files = made.finished_files()
        assert made.files({}) == on_the_way
        # A run that continues from a state ends with the same file.
        again, copy = objective(held_out=held_out), random_tagger()
        list(again.prepare(on_the_way))
        assert again.final_metrics(copy, quick=False) == measured
        assert again.finished_files() == files
        weights = Weights.parse(files[NGRAMS])
        assert weights.scale == pytest.approx(made.halves()[WEIGHT])
        found.append(WordModel(weights._replace(scale=1.0), 2))
    known = [model.emissions([["howl"]])[0] for model in found]
    difference = [each[1] - each[0] for each in known]
    assert difference[1] > difference[0] + 0.2


def test_a_part_of_the_data_is_not_learned_from_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_half, "most_words", lambda minutes, labels: 5)
    half = half_of()
    half.learn(None, 0)
    assert not half.learns_from_all
    assert learned().learns_from_all is False  # the same limit
    monkeypatch.undo()
    assert learned().learns_from_all


# A=1|B=1 and A=2 are those of the data, the others are there for their parts.
BUNDLES = ("A=1|B=1", "A=2", "A=1|B=2", "A=2|B=1", "A=2|B=2", "A=1")


@pytest.mark.parametrize("labels", [PLAIN, BUNDLES])
def test_without_transitions_the_sum_of_both_is_finished_and_run_as_well(
    labels: tuple[str, ...],
) -> None:
    network = random_tagger(labels, crf=False)
    tags = tag_set(network.config)
    assert (tags.forbidden, tags.columns) == (None, 2 if labels == PLAIN else 4)
    objective = objective_of(labels, tags=tags)
    (event,) = objective.prepare({})
    assert event.metrics["accuracy"] > 0.8
    assert objective.evaluate(network)[LOSS] > 0
    measured = objective.final_metrics(network, quick=False)
    (content,) = objective.finished_files().values()
    weights = Weights.parse(content)
    assert weights.paths == ()
    assert weights.scale == pytest.approx(objective.halves()[WEIGHT])
    again = objective_of(labels, tags=tags)
    again.half.restore(content)
    assert again.half.files({WEIGHT: weights.scale}) == {NGRAMS: content}
    trained = TrainedModel.from_session(network.config, TOKENIZER, Session(export(network), 1))
    assert objective.evaluate_runtime(trained, quick=False) == measured


def test_the_loss_without_transitions_is_the_cross_entropy_of_words() -> None:
    network, rows = random_tagger(BUNDLES, crf=False), encoded(SENTENCES, TAGS)
    objective = Tagging(
        TaggedRows.of(rows),
        rows,
        labels=BUNDLES,
        max_length=512,
        batch_size=len(rows),
        seed=0,
        machine=CPU,
    )
    (batch,) = objective.batches(0)
    loss, tokens = objective.loss(network, batch)
    assert tokens == sum(len(row.ids) for row in rows)
    scored = objective._network_scores(network, {n: [row] for n, row in enumerate(rows)})
    flat = torch.from_numpy(np.concatenate(scored.emissions))
    gold = torch.from_numpy(np.concatenate(TAGS))
    wanted = torch.nn.functional.cross_entropy(flat, gold)
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    assert scored.paths == ()
