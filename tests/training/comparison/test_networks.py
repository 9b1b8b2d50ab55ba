"""What each of the simpler networks sees, and what it does not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rnntext.training.comparison.networks import (
    CAUSAL_CONTEXT,
    CONTEXT,
    BagOfEmbeddings,
    Builder,
    DocumentConvolution,
    FixedContext,
    SentenceConvolution,
    WordAlone,
    causal_convolution,
    fixed_window,
    mean_of_words,
)
from tests.training.comparison.networks import CONFIG, LABELS, RECIPE, TAGS, TEXT

WIDTH = 7


def made(build: Builder, config: object) -> nn.Module:
    torch.manual_seed(3)
    network = build(config, RECIPE, WIDTH).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.normal_(0, 0.5)
    return network


def logits_of(network: nn.Module, *rows: list[int]) -> Tensor:
    lengths = torch.tensor([len(row) for row in rows])
    ids = torch.zeros(len(rows), int(lengths.max()), dtype=torch.int64)
    for row, found in zip(rows, ids, strict=True):
        found[: len(row)] = torch.tensor(row)
    logits: Tensor = network(ids, lengths)
    assert logits.shape == (len(rows), len(LABELS))
    return logits.detach()


def test_a_bag_does_not_see_the_order_of_the_tokens() -> None:
    bag = made(BagOfEmbeddings, CONFIG)
    one, other, less = logits_of(bag, [1, 2, 3, 4, 4], [4, 3, 1, 4, 2], [1, 2, 3, 4])
    torch.testing.assert_close(one, other)
    assert not torch.allclose(one, less, atol=1e-3)  # but how often each occurs


def test_a_convolution_sees_the_order_of_the_tokens() -> None:
    one, other = logits_of(made(DocumentConvolution, CONFIG), [1, 2, 3, 4, 5], [5, 4, 3, 2, 1])
    assert not torch.allclose(one, other, atol=1e-3)


@pytest.mark.parametrize("build", [BagOfEmbeddings, DocumentConvolution])
def test_an_answer_does_not_depend_on_the_other_rows(build: Builder) -> None:
    network = made(build, CONFIG)
    rows = [[7, 2], [1, 2, 3, 4, 5, 6, 8], [9]]
    together = logits_of(network, *rows)
    alone = torch.cat([logits_of(network, row) for row in rows])
    torch.testing.assert_close(together, alone)


def emissions_of(network: nn.Module, *words: list[int]) -> Tensor:
    """Emissions (W, labels) of one sentence, each word a list of tokens."""
    ids = torch.tensor([[token for word in words for token in word]])
    ends = torch.tensor([[len(word) for word in words]]).cumsum(1)
    first = torch.cat([torch.zeros(1, 1, dtype=torch.int64), ends[:, :-1]], dim=1)
    found: Tensor = network(ids, torch.tensor([ids.shape[1]]), first, ends - 1)
    assert found.shape == (1, len(words), len(LABELS))
    return found[0].detach()


def test_a_word_alone_has_the_same_tag_wherever_it_stands() -> None:
    network = made(WordAlone, TAGS)
    one, two, three = emissions_of(network, [1, 2], [3], [4, 5, 6])
    moved = emissions_of(network, [4, 5, 6], [1, 2], [7], [3])
    torch.testing.assert_close(moved[[1, 3, 0]], torch.stack([one, two, three]))
    emissions, lengths = moved[None], torch.tensor([4])
    # Nor does the chain know its neighbours, even after a step of training.
    crf = network.head.crf
    loss = -crf.log_likelihood(emissions.requires_grad_(), torch.zeros(1, 4, dtype=int), lengths)
    loss.sum().backward()
    assert all(each.grad is None for each in crf.parameters())
    torch.testing.assert_close(crf.decode(emissions, lengths)[0], moved.argmax(1))


def test_a_convolution_over_a_sentence_sees_neighbours_in_reach() -> None:
    network = made(SentenceConvolution, TAGS)
    sentence = [[token % 11] for token in range(12)]
    before = emissions_of(network, *sentence)
    after = emissions_of(network, *sentence[:6], [9], *sentence[7:])
    # Two layers of five places: four words on either side.
    changed = (before - after).abs().amax(1) > 1e-6
    assert changed.tolist() == [2 <= place <= 10 for place in range(12)]


@pytest.mark.parametrize("build", [WordAlone, SentenceConvolution])
def test_tags_do_not_depend_on_padding(build: Builder) -> None:
    network = made(build, TAGS)
    alone = emissions_of(network, [1], [2, 3])
    first, last = torch.tensor([[0, 1, 0], [0, 1, 2]]), torch.tensor([[0, 2, 0], [0, 1, 3]])
    ids = torch.tensor([[1, 2, 3, 0, 0], [4, 5, 6, 7, 8]])
    together = network(ids, torch.tensor([3, 5]), first, last)[0, :2].detach()
    torch.testing.assert_close(together, alone)


def test_the_mean_of_a_words_tokens() -> None:
    x = torch.tensor([[1.0], [3.0], [5.0], [10.0]])[:, None]  # (T, B, H)
    found = mean_of_words(x, torch.tensor([[0, 1, 3]]), torch.tensor([[0, 2, 3]]))
    assert found.flatten().tolist() == [1.0, 4.0, 10.0]


TEXTS = [(fixed_window, CONTEXT), (causal_convolution, CAUSAL_CONTEXT)]


@pytest.mark.parametrize(("build", "context"), TEXTS)
def test_a_fixed_context_reaches_so_far_and_never_ahead(build: Builder, context: int) -> None:
    network = made(build, TEXT)
    assert isinstance(network, FixedContext)
    ids = torch.arange(1, 25)[None] % 11
    changed = ids.clone()
    changed[0, 3] = 10
    found = [network.hidden(each)[0] for each in (ids, changed)]
    assert found[0].shape == (24, 1, TEXT.encoder.embed_size)
    differs = (found[0] - found[1]).abs().amax((1, 2)) > 1e-6
    assert differs.tolist() == [3 <= place < 3 + context for place in range(24)]


@pytest.mark.parametrize(("build", "context"), TEXTS)
def test_its_state_continues_a_text(build: Builder, context: int) -> None:
    network = made(build, TEXT)
    assert isinstance(network, FixedContext)
    ids = torch.tensor([[1, 2, 3, 4, 5, 6, 7, 8, 9], [9, 8, 7, 6, 5, 4, 3, 2, 1]])
    whole, _ = network.hidden(ids)
    state, parts = None, []
    for part in (ids[:, :1], ids[:, 1:3], ids[:, 3:]):
        found, state = network.hidden(part, state)
        assert state[0].shape == (context - 1, 2, TEXT.encoder.embed_size)
        parts.append(found)
    torch.testing.assert_close(torch.cat(parts), whole)


def test_the_warm_up_of_dropout_scales_all_of_it() -> None:
    network = made(causal_convolution, TEXT)
    assert isinstance(network, FixedContext)
    network.scale_dropout(0.25)
    assert (network.encoder.input_dropout.scale, network.dropout.scale) == (0.25, 0.25)
