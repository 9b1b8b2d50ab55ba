"""The objective of a tagger: batches, loss, and metrics computed independently."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from rnntext.config import EncoderConfig, ModelConfig
from rnntext.errors import DataError, UsageError
from rnntext.metrics import tagging_metrics
from rnntext.runtime.crf import viterbi
from rnntext.training.data.examples import TaggedIds, TaggedRows
from rnntext.training.networks.tagger import Tagger
from rnntext.training.recipes import Recipe
from rnntext.training.tasks import labelled, tagger
from rnntext.training.tasks import tagging as tagging_module
from rnntext.training.tasks.tagger import TASK
from rnntext.training.tasks.tagging import LOSS, Tagging
from tests.training.models import (
    CPU,
    Array,
    V,
    random_model,
    realistic,
    share_of_text,
)

# Tagging

TAGS = ("B-x", "I-x", "O", "B-y", "I-y")


def tagging(
    train: Sequence[TaggedIds],
    labels: Sequence[str] = TAGS,
    batch_size: int = 3,
    max_length: int = 512,
    select: str | None = None,
) -> Tagging:
    return Tagging(
        TaggedRows.of(train),
        train,
        labels=labels,
        max_length=max_length,
        batch_size=batch_size,
        seed=0,
        machine=CPU,
        select=select,
    )


def sentences(labels: int) -> list[TaggedIds]:
    """Return five sentences, whose words are one to three tokens long."""
    rng = np.random.default_rng(2)
    result = []
    for words in (4, 1, 6, 3, 2):
        sizes = rng.integers(1, 4, size=words)
        last = sizes.cumsum() - 1
        ids = rng.integers(V, size=int(sizes.sum()))
        result.append(TaggedIds(ids, last - sizes + 1, last, rng.integers(labels, size=words)))
    return result


def emissions_alone(model: Tagger, sentence: TaggedIds) -> Array:
    arrays = (sentence.ids, np.array(len(sentence.ids)), sentence.first, sentence.last)
    with torch.no_grad():
        return model(*(torch.from_numpy(a)[None] for a in arrays))[0].numpy()


def scores_of(model: Tagger) -> list[Array]:
    field = model.head.crf
    return [p.detach().numpy() for p in (field.start, field.transitions, field.end)]


@pytest.mark.parametrize("labels", [TAGS, ("ADJ", "NOUN", "VERB", "X", "DET")])
def test_evaluation_equals_that_of_sentences_one_by_one(labels: tuple[str, ...]) -> None:
    model, given = random_model("tag", labels), sentences(5)
    objective = tagging(given, labels)
    assert objective.metric == ("f1" if labels == TAGS else "accuracy")
    predicted = []
    for sentence in given:
        emissions = emissions_alone(model, sentence)
        (path,) = viterbi(emissions[None], np.array([len(emissions)]), *scores_of(model))
        predicted.append([labels[tag] for tag in path])
    gold = [[labels[tag] for tag in sentence.tags] for sentence in given]
    found = objective.evaluate(model)
    assert found == tagging_metrics(gold, predicted, labels == TAGS)
    assert objective.metric in found
    assert not model.training


def test_a_long_sentence_is_tagged_in_pieces_and_measured_as_one() -> None:
    model, given = random_model("tag", TAGS), sentences(5)
    predicted = []
    for sentence in given:
        path: list[int] = []
        for piece in sentence.pieces(4):
            assert len(piece.ids) <= 4
            emissions = emissions_alone(model, piece)
            (best,) = viterbi(emissions[None], np.array([len(emissions)]), *scores_of(model))
            path += best.tolist()
        predicted.append([TAGS[tag] for tag in path])
    gold = [[TAGS[tag] for tag in sentence.tags] for sentence in given]
    found = tagging(given, max_length=4).evaluate(model)
    assert found == tagging_metrics(gold, predicted, True)
    assert found != tagging(given).evaluate(model)


@pytest.mark.parametrize("labels", [TAGS, ("ADJ", "NOUN", "VERB", "X", "DET")])
def test_tags_that_training_lacks_are_errors(labels: tuple[str, ...]) -> None:
    """Sentences of seven tags, of which the model has five."""
    model, given = random_model("tag", labels), sentences(7)
    unseen = ("B-z", "I-z") if labels == TAGS else ("new", "newer")
    objective = Tagging(
        TaggedRows.of(sentences(5)),
        given,
        labels=labels,
        unseen=unseen,
        max_length=512,
        batch_size=3,
        seed=0,
        machine=CPU,
    )
    predicted = []
    for sentence in given:
        emissions = emissions_alone(model, sentence)
        (path,) = viterbi(emissions[None], np.array([len(emissions)]), *scores_of(model))
        predicted.append([labels[tag] for tag in path])
    gold = [[(*labels, *unseen)[tag] for tag in sentence.tags] for sentence in given]
    assert {tag for tags in gold for tag in tags} & set(unseen)
    assert objective.evaluate(model) == tagging_metrics(gold, predicted, labels == TAGS)


def ids_of_words(sentence: TaggedIds) -> list[list[int]]:
    ends = zip(sentence.first, sentence.last, strict=True)
    return [sentence.ids[first : last + 1].tolist() for first, last in ends]


def test_the_pieces_of_a_sentence_make_up_the_sentence() -> None:
    for sentence in sentences(5):
        (whole,) = sentence.pieces(99)
        pieces = list(sentence.pieces(4))
        for name in ("ids", "tags"):
            parts = [getattr(piece, name) for piece in pieces]
            assert np.concatenate(parts).tolist() == getattr(sentence, name).tolist()
            assert getattr(whole, name).tolist() == getattr(sentence, name).tolist()
        words = [token_ids for piece in pieces for token_ids in ids_of_words(piece)]
        assert words == ids_of_words(sentence)


def test_tagging_loss_is_a_mean_over_words() -> None:
    model, given = random_model("tag", TAGS), sentences(5)
    objective = tagging(given, batch_size=5)
    batches = list(objective.batches(0))
    total = words = tokens = 0.0
    for batch in batches:
        loss, count = objective.loss(model, batch)
        total += float(loss.detach()) * int(batch[5].sum())
        words += int(batch[5].sum())
        tokens += count
    assert (words, tokens) == (16, sum(len(sentence.ids) for sentence in given))
    want = 0.0
    for sentence in given:
        emissions = torch.from_numpy(emissions_alone(model, sentence))[None]
        tags = torch.from_numpy(sentence.tags)[None]
        want -= float(
            model.head.crf.log_likelihood(emissions, tags, torch.tensor([tags.shape[1]])).detach()
        )
    assert total == pytest.approx(want, rel=1e-5)


def test_a_metric_that_is_named_chooses_the_best_checkpoint() -> None:
    for select, higher in (("accuracy", True), ("f1", True), (LOSS, False)):
        objective = tagging(sentences(5), select=select)
        assert (objective.metric, objective.higher_is_better) == (select, higher)
        assert select in objective.evaluate(random_model("tag", TAGS))
    with pytest.raises(UsageError, match=r"^--select f1 is for tags of spans"):
        tagging(sentences(2), ("ADJ", "NOUN"), select="f1")


@pytest.mark.parametrize("max_scores", [tagging_module.MAX_SCORES, 30])
def test_the_loss_that_chooses_is_a_mean_over_words(
    max_scores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no metric of the finished model. A sentence with a tag that training lacks tells
    nothing."""
    monkeypatch.setattr(tagging_module, "MAX_SCORES", max_scores)
    model, given = random_model("tag", TAGS), sentences(5)
    want, words = 0.0, 0
    for sentence in given[1:]:
        emissions = torch.from_numpy(emissions_alone(model, sentence))[None]
        tags = torch.from_numpy(sentence.tags)[None]
        likelihood = model.head.crf.log_likelihood(emissions, tags, torch.tensor([tags.shape[1]]))
        want, words = want - float(likelihood.detach()), words + len(sentence.tags)
    given[0].tags[0] = len(TAGS)
    objective = Tagging(
        TaggedRows.of(sentences(5)),
        given,
        labels=TAGS,
        unseen=("B-z",),
        max_length=512,
        batch_size=3,
        seed=0,
        machine=CPU,
        select=LOSS,
    )
    assert objective.evaluate(model)[LOSS] == pytest.approx(want / words, rel=1e-5)
    assert LOSS not in objective.final_metrics(model, quick=False)


def test_an_epoch_of_sentences() -> None:
    given = sentences(5) * 8
    objective = tagging(given)
    sizes = Counter(len(sentence.ids) for sentence in given)
    for epoch in range(2):
        batches = list(objective.batches(epoch))
        assert len(batches) == objective.steps_per_epoch
        seen = Counter(int(length) for batch in batches for length in batch[1])
        assert sum((sizes - seen).values()) <= 4  # a few sentences may be left out of an epoch


def test_little_of_a_batch_is_padding() -> None:
    given = [
        TaggedIds(ids, np.arange(len(ids)), np.arange(len(ids)), ids) for ids in realistic(3.0, 0.6)
    ]
    assert share_of_text(tagging(given, batch_size=32).batches(0)) > 0.9


def test_batches_have_few_widths() -> None:
    steps = [np.arange(length) for length in range(1, 401)]
    objective = tagging([TaggedIds(s, s, s, np.zeros_like(s)) for s in steps], batch_size=2)
    batches = [batch for epoch in range(3) for batch in objective.batches(epoch)]
    for widths in ({b.ids.shape[1] for b in batches}, {b.tags.shape[1] for b in batches}):
        assert max(widths) == 400
        assert len(widths) < 80  # of 400


def test_a_quick_evaluation_and_a_sample_read_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labelled, "QUICK_TOKENS", 20)
    monkeypatch.setattr(labelled, "SAMPLE_TOKENS", 3)
    given = sentences(5)
    tokens = sum(len(sentence.ids) for sentence in given)
    objective, read = tagging(given), []

    def measure(found: object, chosen: Sequence[int]) -> dict[str, float]:
        read.append(list(chosen))
        return {}

    monkeypatch.setattr(objective, "metrics_of", measure)
    model = random_model("tag", TAGS)
    objective.evaluate(model, quick=True)
    share = objective.evaluate_sample(model)
    quick, sample = (sum(len(given[i].ids) for i in chosen) for chosen in read)
    assert 20 <= quick < tokens
    assert 3 <= sample < quick
    assert share == sample / tokens
    assert objective.quick_fraction == quick / tokens
    assert objective.steps_per_quick_evaluation == quick / (tokens / objective.steps_per_epoch)
    assert objective.answers("accuracy") == sum(len(given[i].tags) for i in read[0])


def test_answers_are_words_or_spans() -> None:
    ids = np.arange(4)
    given = [
        TaggedIds(ids, ids, ids, np.array([0, 1, 2, 3])),
        TaggedIds(ids, ids, ids, ids * 0 + 2),
    ]
    objective = tagging(given)  # two spans
    found = [objective.answers(target) for target in ("f1", "accuracy", "tag_log_loss")]
    assert found == [2, 8, 8]


def test_too_many_tags_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A matrix of the scores of all pairs of 200,000 tags would take 160 GB."""
    monkeypatch.setattr(tagger, "_MAX_TAGS", 2)
    recipe = Recipe("gru", 1, 6, 4, True, 8, 0.01, 0.1, 0.0, 0, 9)
    encoder = EncoderConfig("gru", 13, 4, 6, 1, True)
    TASK.build_network(ModelConfig("tag", encoder, ("A", "B"), False, 9), recipe)
    with pytest.raises(DataError, match="the data have 3 tags, and at most 2 can be learned"):
        TASK.build_network(ModelConfig("tag", encoder, ("A", "B", "C"), False, 9), recipe)
