"""The number of parameters that a configuration tells, against networks that are built."""

from __future__ import annotations

import pytest

from rnntext.config import CELLS, EncoderConfig, ModelConfig
from rnntext.tasks import TASKS
from rnntext.training.networks.build import build_network
from rnntext.training.networks.size import network_size

VOCABULARY, EMBED, HIDDEN, LABELS = 13, 5, 4, ("a", "b", "c")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    ("layers", "both", "embed"), [(1, False, EMBED), (3, True, EMBED), (2, False, HIDDEN)]
)
def test_sizes_are_those_of_the_network(
    task: str, cell: str, layers: int, both: bool, embed: int
) -> None:
    labels = LABELS if TASKS[task].has_labels else ()
    both = both and TASKS[task].has_labels  # a language model reads in one direction
    encoder = EncoderConfig(cell, VOCABULARY, embed, HIDDEN, layers, both)
    config = ModelConfig(task, encoder, labels, max_length=99)
    found, network = network_size(config), build_network(config)
    counts = {name: parameter.numel() for name, parameter in network.named_parameters()}
    assert found.embedding == counts["encoder.embedding.weight"]
    assert found.layers == sum(n for name, n in counts.items() if ".layers." in name)
    assert found.head == sum(n for name, n in counts.items() if name.startswith("head."))
    assert found.parameters == sum(counts.values())


@pytest.mark.parametrize("embed", [EMBED, HIDDEN])
def test_a_second_encoder_counts(embed: int) -> None:
    encoder = EncoderConfig("gru", VOCABULARY, embed, HIDDEN, 2, False)
    one, two = ModelConfig("lm", encoder), ModelConfig("lm", encoder, backward_encoder=True)
    size = network_size(two)
    assert size.parameters == sum(p.numel() for p in build_network(two).parameters())
    assert size.activations == 2 * network_size(one).activations


@pytest.mark.parametrize("labels", [LABELS, ("A|B", "A|C", "D|B", "D|C", "D")])
def test_a_tagger_without_a_random_field_has_no_pairs_of_tags(labels: tuple[str, ...]) -> None:
    encoder = EncoderConfig("gru", VOCABULARY, EMBED, HIDDEN, 2, True)
    config = ModelConfig("tag", encoder, labels, max_length=99, crf=False)
    counts = {name: p.numel() for name, p in build_network(config).named_parameters()}
    scored = 3 if labels == LABELS else len("ABCD")
    assert network_size(config).head == 2 * HIDDEN * scored + len(labels)
    assert network_size(config).parameters == sum(counts.values())
