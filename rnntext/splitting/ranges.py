"""Words that are written as one token: `du` for `de` and `le`, `parktaki` for `parkta` and `ki`.

Knows: the rules by which a token becomes words, which rule is tried for a token, and how the tokens
around it decide whether it applies (`des` is one word or two). Does not know: how rules and weights
are learned (`training/linear/ranges.py`), or how tokens are found.

Treebanks call such a token a range, because CoNLL-U numbers its line `4-5`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from rnntext.ngrams import hash_pairs, hash_words
from rnntext.splitting.features import SLOTS
from rnntext.splitting.weights import SlotWeights, tensor

Array = npt.NDArray[Any]

LONGEST_EDIT = 8  # characters that a rule takes from either end of a token
# Tokens whose rules are in memory. Then they are looked for anew.
_MAX_TOKENS = 1 << 16
RANGES_PREFIX = "range_"  # of the names of arrays
_LONGEST_KEPT = 8  # characters, from which on the length of what is kept says no more
_FIRST_OF_CONTEXT = 16  # a feature is hashed with its number


class Rule(NamedTuple):
    """How a token in small letters becomes words.

    A rule for a whole token has it as `left`, and its words as `before`. Another takes `left` and
    `right` from the ends of any token that has them; what is kept, with `prefix` and `suffix`, is
    one of the words.
    """

    left: str
    right: str = ""
    before: tuple[str, ...] = ()
    prefix: str = ""
    suffix: str = ""
    after: tuple[str, ...] = ()
    is_whole: bool = False

    def words(self, token: str) -> tuple[str, ...]:
        """Return the words of a token that the rule fits. The first begins with a capital letter
        if the token does."""
        if self.is_whole:
            words = self.before
        else:
            kept = token[len(self.left) : len(token) - len(self.right)]
            words = (*self.before, self.prefix + kept + self.suffix, *self.after)
        first, *others = words
        if token[:1].isupper() and first[:1].islower():
            first = first[0].upper() + first[1:]
        return (first, *others)


class Candidate(NamedTuple):
    """The rule that may apply to a token."""

    name: str  # that distinguishes the rule from others
    words: tuple[str, ...]
    kept: str  # what is kept of the token, in small letters; empty for a rule of a whole token


_NONE = Candidate("", (), "")


class Rules:
    """Finds the rules for a token."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = rules
        self._whole = {rule.left: rule for rule in rules if rule.is_whole}
        self._edits = {(rule.left, rule.right): rule for rule in rules if not rule.is_whole}
        self._taken = sorted({(len(left), len(right)) for left, right in self._edits})

    def find(self, token: str, *, whole: bool = True) -> list[Candidate]:
        """Return the rules that may apply: that of the whole token, without others, if there is
        one. Without `whole` those of whole tokens are left out."""
        lower = token.lower()
        if len(lower) != len(token):  # what is kept would be cut at another place
            return []
        rule = self._whole.get(lower) if whole else None
        if rule is not None:
            return [Candidate(lower, rule.words(token), "")]
        found = []
        for left, right in self._taken:
            end = len(lower) - right
            rule = self._edits.get((lower[:left], lower[end:])) if end - left > 1 else None
            if rule is not None:
                name = f"{rule.left}\t{rule.right}"
                found.append(Candidate(name, rule.words(token), lower[left:end]))
        return found


class RangeWeights(NamedTuple):
    """What ranges are made with."""

    rules: tuple[Rule, ...]
    features: SlotWeights

    def tensors(self) -> dict[str, Array]:
        """Return arrays with their names, of which `parse` makes the same."""
        spelled = json.dumps(self.rules, ensure_ascii=False).encode("utf-32-le", "surrogatepass")
        rules = np.frombuffer(spelled, "<u4")
        return {**self.features.tensors(RANGES_PREFIX), f"{RANGES_PREFIX}rules": rules}

    @classmethod
    def parse(cls, tensors: Mapping[str, Array]) -> Self:
        """The inverse of `tensors`. Raises ValueError for rules or weights that cannot be used."""
        points = tensor(tensors, f"{RANGES_PREFIX}rules", np.uint32, (None,))
        try:
            spelled = points.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
            rules = tuple(map(_parse_rule, json.loads(spelled)))
        except (TypeError, RecursionError) as error:
            raise ValueError(f"{RANGES_PREFIX}rules: {error}") from None
        return cls(rules, SlotWeights.parse(tensors, RANGES_PREFIX))


def _parse_rule(fields: Any) -> Rule:
    left, right, before, prefix, suffix, after, is_whole = fields
    rule = Rule(left, right, tuple(before), prefix, suffix, tuple(after), is_whole)
    texts = (left, right, *rule.before, prefix, suffix, *rule.after)
    if not all(isinstance(text, str) for text in texts) or not isinstance(is_whole, bool):
        raise TypeError("a rule consists of texts")
    if not all(rule.before) or not all(rule.after) or (is_whole and not rule.before):
        raise TypeError("a rule gives an empty word")
    return rule


def own_slots(tokens: Sequence[str], candidates: Sequence[Candidate]) -> Array:
    """Return the slots of the features of tokens, each with a rule that may apply to it:
    (features, N) int32."""
    columns: list[list[str]] = [
        ["" for _ in tokens],
        [token.lower() for token in tokens],
        [f"{token[:1].isupper()}" for token in tokens],
        [f"{min(len(found.kept), _LONGEST_KEPT)}" for found in candidates],
        [found.kept for found in candidates],
        *([found.kept[-size:] for found in candidates] for size in range(1, 5)),
    ]
    names = name_hashes(candidates)
    return np.stack([
        _slots(names, hash_words(values), number) for number, values in enumerate(columns)
    ])  # fmt: skip


def name_hashes(candidates: Sequence[Candidate]) -> Array:
    """Return the hash of each candidate's rule: (N) uint32."""
    return hash_words([found.name for found in candidates])


def looks(tokens: Sequence[str]) -> Array:
    """Return what the tokens beside these take into account: hashes, (3, N) uint32."""
    lower = [token.lower() for token in tokens]
    return np.stack([
        hash_words(lower), *(hash_words([each[-size:] for each in lower]) for size in (2, 3))
    ])  # fmt: skip


def context_slots(names: Array, before: Array, after: Array) -> Array:
    """Return the slots of the features of what stands around tokens: (features, N) int32. `names`:
    of the rules that may apply; `before`, `after`: the looks of the tokens beside, (3, N) each."""
    pairs = hash_pairs(before[0], after[0])
    return np.stack([
        _slots(names, values, number)
        for number, values in enumerate((*before, *after, pairs), _FIRST_OF_CONTEXT)
    ])  # fmt: skip


def _slots(names: Array, values: Array, number: int) -> Array:
    hashes = hash_pairs(names + np.uint32(number), values)
    return (hashes // np.uint32((1 << 32) // SLOTS)).astype(np.int32)


class _Tokens:
    """Distinct tokens, with the rule that may apply to each. Number 0 is nothing, which stands
    before and after a sentence."""

    def __init__(self) -> None:
        self.numbers = {"": 0}
        self.looks = looks([""])  # (3, tokens)
        self.candidates: list[Candidate | None] = [None]
        self.names = np.zeros(1, np.uint32)  # of their rules
        self.scores = np.full(1, -np.inf)  # without what stands around them


class RangeModel:
    """Finds the words of tokens. It is safe to share between threads."""

    def __init__(self, weights: RangeWeights) -> None:
        self._rules, self._table = Rules(weights.rules), weights.features.table()
        self._bias = weights.features.bias
        self._tokens = _Tokens()
        self._lock = threading.Lock()

    def words(self, sentences: Sequence[Sequence[str]]) -> list[dict[int, tuple[str, ...]]]:
        """Return, of each sentence of tokens, the words of those that are written for several."""
        with self._lock:
            numbers, known = self._read(sentences)
        places = np.flatnonzero(known.scores[numbers] > -np.inf)
        own = numbers[places]
        before, after = known.looks[:, numbers[places - 1]], known.looks[:, numbers[places + 1]]
        slots = context_slots(known.names[own], before, after)
        scores = known.scores[own] + self._table[slots].sum(0)
        starts = np.cumsum([1, *(len(tokens) + 1 for tokens in sentences)])
        found: list[dict[int, tuple[str, ...]]] = [{} for _ in sentences]
        for place, number in zip(places[scores > 0], own[scores > 0], strict=True):
            sentence = int(np.searchsorted(starts, place, "right")) - 1
            candidate = known.candidates[number]
            assert candidate is not None  # noqa: S101
            found[sentence][int(place - starts[sentence])] = candidate.words
        return found

    def _read(self, sentences: Sequence[Sequence[str]]) -> tuple[Array, _Tokens]:
        """Return the numbers of the tokens of sentences, with 0 before each and after the last."""
        known = self._tokens
        if len(known.numbers) > _MAX_TOKENS:
            known = _Tokens()
        numbers = known.numbers
        row = chain.from_iterable(chain(("",), tokens) for tokens in sentences)
        found = np.fromiter(
            (numbers.setdefault(token, len(numbers)) for token in chain(row, ("",))), np.int64
        )
        if len(numbers) > len(known.candidates):
            known = self._with_new(known)
        self._tokens = known
        return found, known

    def _with_new(self, known: _Tokens) -> _Tokens:
        """Return the tokens with those that have a number but nothing else. What others are
        reading is not changed."""
        new = list(islice(reversed(known.numbers), len(known.numbers) - len(known.candidates)))[
            ::-1
        ]
        best: list[Candidate | None] = [None] * len(new)
        scores = np.full(len(new), -np.inf)
        owners, tried = [], []
        for owner, token in enumerate(new):
            for candidate in self._rules.find(token):
                owners.append(owner)
                tried.append(candidate)
        if tried:
            slots = own_slots([new[owner] for owner in owners], tried)
            judged = self._table[slots].sum(0) + self._bias
            for owner, candidate, score in zip(owners, tried, judged.tolist(), strict=True):
                if score > scores[owner]:
                    scores[owner], best[owner] = score, candidate
        names = name_hashes([candidate or _NONE for candidate in best])
        grown = _Tokens()
        grown.numbers = known.numbers
        grown.looks = np.concatenate([known.looks, looks(new)], axis=1)
        grown.candidates = known.candidates + best
        grown.names = np.concatenate([known.names, names])
        grown.scores = np.concatenate([known.scores, scores])
        return grown
