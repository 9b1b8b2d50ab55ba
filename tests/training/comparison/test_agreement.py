"""Sentences of the agreement task: their grammar, and which noun tells the number of the verb."""

from __future__ import annotations

import re

import numpy as np
import pytest

from rnntext.training.comparison import agreement
from rnntext.training.comparison.agreement import Agreement
from rnntext.training.comparison.memory_tasks import training_batch

TASK = Agreement()


def any_of(words: tuple[str, ...]) -> str:
    return f"(?:{'|'.join(words)})"


NOUN = any_of((*agreement._NOUNS, *agreement._PLURALS))
NOUN_PHRASE = f"the (?:{any_of(agreement._ADJECTIVES)} )?{NOUN}"
CLAUSE = f"that {NOUN_PHRASE} {any_of(agreement._VERBS)}"
PHRASE = f"{any_of(agreement._PREPOSITIONS)} {NOUN_PHRASE}"
SENTENCE = re.compile(f"the ({NOUN})((?: {PHRASE}| {CLAUSE})*)")


def sentences(distance: int, count: int) -> list[tuple[str, str]]:
    """Beginnings of sentences, and the verb that each demands."""
    rng = np.random.default_rng(distance)
    found = []
    while len(found) < count:
        batch = training_batch(TASK, rng, distance, 4)
        for ids, answer in zip(batch.ids, batch.answers, strict=True):
            found.append((" ".join(TASK.vocabulary[i] for i in ids), TASK.answers[answer]))
    return found


def test_words_are_distinct_and_plurals_are_plurals() -> None:
    assert len(set(TASK.vocabulary)) == len(TASK.vocabulary)
    assert all(plural.endswith("s") for plural in agreement._PLURALS)
    assert not any(noun.endswith("s") for noun in agreement._NOUNS)


@pytest.mark.parametrize("distance", [3, 4, 5, 6, 7, 11, 30])
def test_sentences_are_of_the_grammar_and_the_subject_tells_the_verb(distance: int) -> None:
    for sentence, verb in sentences(distance, 100):
        parsed = SENTENCE.fullmatch(sentence)
        assert parsed, sentence
        assert len(parsed[2].split()) == distance
        assert verb == ("were" if parsed[1] in agreement._PLURALS else "was")


def test_nouns_between_are_of_either_number_whatever_the_subject() -> None:
    seen = set()
    kinds = set()
    for sentence, verb in sentences(8, 200):
        parsed = SENTENCE.fullmatch(sentence)
        assert parsed
        last = re.findall(rf"\b{NOUN}\b", parsed[2])[-1]
        seen.add((verb, last in agreement._PLURALS))
        kinds |= {"that"} & set(parsed[2].split()) or {"phrases"}
    assert seen == {("was", False), ("was", True), ("were", False), ("were", True)}
    assert kinds == {"that", "phrases"}
