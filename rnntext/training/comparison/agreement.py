"""The agreement task: was or were, after a subject and a clause of growing length.

Knows: a small grammar of English and its words. Does not know: networks, or how they are trained.
"""

from __future__ import annotations

import numpy as np

from rnntext.training.comparison.memory_tasks import Ids

_NOUNS = (
    *("actor", "book", "boy", "cake", "car", "chair", "coat", "cup", "dog", "doctor"),
    *("friend", "garden", "girl", "house", "key", "lamp", "letter", "painter", "picture"),
    *("river", "shelf", "teacher", "tree", "window"),
)
_IRREGULAR = {"shelf": "shelves"}
_PLURALS = tuple(_IRREGULAR.get(noun, f"{noun}s") for noun in _NOUNS)
_PREPOSITIONS = ("near", "behind", "beside", "above", "below", "by")
_ADJECTIVES = ("old", "new", "small", "large", "red", "green", "quiet", "famous")
# Verbs in the past tense have one form: those of a clause do not tell the number of a noun.
_VERBS = ("saw", "liked", "found", "painted", "knew", "sold")

_THE, _THAT = 0, 1
_SINGULAR = 2
_PLURAL = _SINGULAR + len(_NOUNS)
_PREPOSITION = _PLURAL + len(_PLURALS)
_ADJECTIVE = _PREPOSITION + len(_PREPOSITIONS)
_VERB = _ADJECTIVE + len(_ADJECTIVES)
_SUBJECT = 1  # its column

# What may follow a noun, by number of words, as kinds of words.
_PHRASES = {
    3: (("preposition", "the", "noun"),),
    4: (("preposition", "the", "adjective", "noun"), ("that", "the", "noun", "verb")),
    5: (("that", "the", "adjective", "noun", "verb"),),
}
# The first id of each kind of word and the one after the last; `the` and `that` are words.
_KINDS = {
    "the": (_THE, _THE + 1),
    "that": (_THAT, _THAT + 1),
    "noun": (_SINGULAR, _PREPOSITION),  # of either number
    "preposition": (_PREPOSITION, _ADJECTIVE),
    "adjective": (_ADJECTIVE, _VERB),
    "verb": (_VERB, _VERB + len(_VERBS)),
}


class Agreement:
    """Choose between was and were as the subject demands (after Linzen, Dupoux and Goldberg 2016).

    `The NOUN`, then exactly `distance` words: phrases such as `near the old windows` and clauses
    such as `that the boys saw`. Each of their nouns is singular or plural by chance, so that none
    of them tells the number of the subject.
    """

    answers: tuple[str, ...] = ("was", "were")
    vocabulary: tuple[str, ...] = (
        "the",
        "that",
        *_NOUNS,
        *_PLURALS,
        *_PREPOSITIONS,
        *_ADJECTIVES,
        *_VERBS,
    )
    least_distance = min(_PHRASES)

    def contexts(self, rng: np.random.Generator, distance: int, count: int) -> Ids:
        kinds: list[str] = []
        while len(kinds) < distance:
            left = distance - len(kinds)
            # What then remains is nothing, or enough for another phrase.
            lengths = [n for n in _PHRASES if n == left or left - n >= self.least_distance]
            phrases = _PHRASES[int(rng.choice(lengths))]
            kinds += phrases[int(rng.integers(len(phrases)))]
        subject = rng.integers(_SINGULAR, _PLURAL, count)
        columns = [rng.integers(*_KINDS[kind], count) for kind in kinds]
        return np.stack([np.full(count, _THE), subject, *columns], axis=1)  # (B, 2 + distance)

    def place(self, contexts: Ids, distance: int, answers: Ids) -> Ids:
        ids = contexts.copy()
        ids[:, _SUBJECT] += len(_NOUNS) * answers
        return ids
