"""Learns which tokens are written for several words, and for which.

Knows: which rules it makes of the tokens that it sees. Does not know: how a rule applies, or how it
is judged (`rnntext/splitting/ranges.py`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import islice
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rnntext.splitting.ranges import (
    LONGEST_EDIT,
    RangeWeights,
    Rule,
    Rules,
    context_slots,
    looks,
    name_hashes,
    own_slots,
)
from rnntext.splitting.weights import SlotWeights
from rnntext.text.raw_text import RawText
from rnntext.training.data.store import Array
from rnntext.training.linear.logistic import fit
from rnntext.training.linear.splitting import keep_frequent

_ITERATIONS = 100
_SCALE = 2.0  # see `splitting.py`
# A rule that takes something from the ends of tokens is made of so many tokens at least, and keeps
# so many characters of them.
_LEAST_TOKENS, _LEAST_KEPT = 3, 2
_LEAST_RIGHT = 0.05  # of the distinct tokens that a rule fits
# Whole tokens that have a rule, the most frequent ones.
_MOST_WHOLE = 1 << 14

Words = tuple[str, ...]
Key = TypeVar("Key", Words, Rule)


def words_of_tokens(sentence: RawText, words: Sequence[str]) -> Iterator[tuple[str, Words]]:
    """Yield each token of a sentence with the words that it is written for."""
    rest = iter(words)
    for token, count in zip(sentence.tokens(), sentence.counts, strict=True):
        yield token, tuple(islice(rest, count))


def learn_ranges(
    sentences: Sequence[RawText], words: Sequence[Sequence[str]]
) -> RangeWeights | None:
    """Learn from sentences and their words; None where no token is written for several."""
    divided = [list(words_of_tokens(*pair)) for pair in zip(sentences, words, strict=True)]
    rules = Rules(_make_rules([pair for sentence in divided for pair in sentence]))
    if not rules.rules:
        return None
    seen = Counter(token.lower() for sentence in divided for token, _ in sentence)
    tokens, candidates, answers, places = [], [], [], []
    place = 1  # as in `RangeModel`: nothing stands before each sentence and after the last
    spelled = [""]
    for sentence in divided:
        for number, (token, own) in enumerate(sentence, place):
            # A token that is seen once is learned from as if it were new.
            for found in rules.find(token, whole=seen[token.lower()] > 1):
                tokens.append(token)
                candidates.append(found)
                answers.append(_lower(found.words) == _lower(own))
                places.append(number)
        spelled += [*(token for token, _ in sentence), ""]
        place = len(spelled)
    if not candidates:  # no token was seen twice: what they were written for is believed
        nothing = SlotWeights(np.zeros(0, np.uint32), np.zeros(0, np.float16), 1.0)
        return RangeWeights(tuple(rules.rules), nothing)
    around = looks(spelled)
    where = np.array(places)
    slots = np.concatenate([
        own_slots(tokens, candidates),
        context_slots(name_hashes(candidates), around[:, where - 1], around[:, where + 1]),
    ])  # fmt: skip
    return RangeWeights(tuple(rules.rules), _fit(slots, answers))


def _fit(slots: Array, answers: Sequence[bool]) -> SlotWeights:
    kept, incidence = keep_frequent(slots)
    target = torch.tensor(answers, dtype=torch.float32)

    def loss(weights: Sequence[Tensor]) -> Tensor:
        own, bias = weights
        scores = incidence.times(_SCALE * own).squeeze(1) + bias
        return functional.binary_cross_entropy_with_logits(scores, target, reduction="sum")

    own, bias = fit([(len(kept), 1), (1,)], loss, len(answers), _ITERATIONS)
    weights = (_SCALE * own.numpy()[:, 0]).astype(np.float16)
    return SlotWeights(kept, weights, float(bias[0]))


def _make_rules(tokens: Sequence[tuple[str, Words]]) -> list[Rule]:
    """Return the rules that ranges show, the same for the same tokens in any order."""
    whole: dict[str, Counter[Words]] = defaultdict(Counter)
    for token, words in tokens:
        if len(words) > 1 and all(words) and len(token.lower()) == len(token):
            whole[token.lower()][_lower(words)] += 1
    edits: dict[tuple[str, str], Counter[Rule]] = defaultdict(Counter)
    found = []
    for token, counts in whole.items():
        words = _commonest(counts)
        found.append((-counts.total(), Rule(token, before=words, is_whole=True)))
        edit = _edit(token, words)
        if edit is not None:
            edits[edit.left, edit.right][edit] += 1
    productive = sorted(
        _commonest(counts) for counts in edits.values() if counts.total() >= _LEAST_TOKENS
    )
    # Of two rules that fit, neither a rare one nor one for which most tokens are no ranges counts.
    right, fits = Counter[Rule](), Counter[Rule]()
    by_name = {f"{rule.left}\t{rule.right}": rule for rule in productive}
    edit_rules = Rules(productive)
    for token, words in dict.fromkeys(tokens):
        for candidate in edit_rules.find(token):
            rule = by_name[candidate.name]
            fits[rule] += 1
            right[rule] += _lower(candidate.words) == _lower(words)
    kept = [rule for rule in productive if right[rule] >= _LEAST_RIGHT * fits[rule]]
    return [rule for _, rule in sorted(found)[:_MOST_WHOLE]] + kept


def _commonest(counts: Counter[Key]) -> Key:
    return min(counts, key=lambda each: (-counts[each], tuple(each)))


def _edit(token: str, words: Words) -> Rule | None:
    """Return the rule that keeps most of a token in one of its words; None if that is little."""
    best = None
    for number, word in enumerate(words):
        match = SequenceMatcher(None, token, word, autojunk=False).find_longest_match()
        if best is None or match.size > best[0].size:
            best = match, number
    if best is None or best[0].size < _LEAST_KEPT:
        return None
    match, number = best
    left, right = token[: match.a], token[match.a + match.size :]
    if not (left or right) or max(len(left), len(right)) > LONGEST_EDIT:
        return None
    word = words[number]
    prefix, suffix = word[: match.b], word[match.b + match.size :]
    return Rule(left, right, words[:number], prefix, suffix, words[number + 1 :])


def _lower(words: Sequence[str]) -> Words:
    return tuple(word.lower() for word in words)
