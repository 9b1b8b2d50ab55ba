"""How a tagger that has learned it splits raw text into words: see docs/onnx.md.

Knows: which characters may begin a token, the features by which those in doubt are decided, and the
rules by which one token is several words (`du`: `de le`). Does not know: ONNX Runtime, tags, or how
text is split where nothing was learned (model.py).
"""

from __future__ import annotations

import functools
import itertools
import unicodedata

import numpy as np
from crf import viterbi
from linear import hash_pair, hash_word, tensors

BOUNDARY, INSIDE, IN_DOUBT = 0, 1, 2  # what a character does: it continues a token if INSIDE
LONGEST_CHAIN = 256  # characters in doubt that are decided together
LONGEST_KNOWN = 12  # characters of a token that is looked up
AROUND = 4  # characters before and after a text that are read as nothing
FACTORS = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x7FEB352D)
SALT = 0x165667B1

# The classes of characters.
NOTHING, SPACE, HIRAGANA, KATAKANA, IDEOGRAPH, LETTER, CAPITAL, SMALL, DIGIT, MARK = range(10)
OTHER, CLASSES = 31, 32
CATEGORIES = {"Lo": LETTER, "Lm": LETTER, "Lu": CAPITAL, "Lt": CAPITAL, "Ll": SMALL}
CATEGORIES |= {"Nd": DIGIT, "Nl": DIGIT, "No": DIGIT, "Mn": MARK, "Mc": MARK, "Me": MARK}
CATEGORIES |= {"Pd": 10, "Ps": 11, "Pe": 12, "Pi": 13, "Pf": 14, "Po": 15, "Pc": 16, "Cf": 17}

# Places around a character whose letters, classes or runs make one feature together.
GRAMS = [(-2,), (-1,), (0,), (1,), (2,), (-2, -1), (-1, 0), (0, 1), (1, 2), (-1, 1)]
GRAMS += [(-2, -1, 0), (-1, 0, 1), (0, 1, 2), (-2, -1, 0, 1), (-1, 0, 1, 2)]
CLASS_GRAMS = [(0,), (-1, 0), (0, 1), (-2, -1, 0), (-1, 0, 1), (0, 1, 2)]
CLASS_GRAMS += [(-2, -1, 0, 1), (-2, -1, 0, 1, 2)]
RUN_GRAMS = [(0,), (-1,), (1,), (-1, 1), (-1, 0), (0, 1), (-2, 0), (0, 2), (-3, -1)]


class Splitter:
    """Splits texts with the sidecar's section `splitter`."""

    def __init__(self, section):
        arrays = tensors(section)
        self.start, self.transitions = arrays["start"], arrays["transitions"]
        self.of_pair, self.known = arrays["of_pair"].tolist(), set(arrays["known"].tolist())
        self.weights, rules = Weights(arrays, ""), section["rules"]
        self.ranges = None if rules is None else Ranges(rules, Weights(arrays, "range_"))

    def words(self, text):
        """The words of a text."""
        tokens = self.tokens(text)
        return tokens if self.ranges is None else self.ranges.words(tokens)

    def tokens(self, text):
        """The parts of a text that are a word, or are written for several."""
        seen = Characters(text, self.known)
        inside, chain = [False] * len(text), []
        for number in range(len(text)):
            if seen.follows_space(number):
                continue
            does = self.of_pair[seen.pair(number)] if number else BOUNDARY
            inside[number] = does == INSIDE
            if does == IN_DOUBT:
                chain.append(number)
            if does == BOUNDARY or len(chain) == LONGEST_CHAIN:
                self.decide(chain, seen, inside)
                chain = []
        self.decide(chain, seen, inside)
        for number in range(len(text)):
            if seen.follows_space(number):  # it does what the space does
                inside[number] = inside[number - 1]
        starts = [number for number in range(len(text)) if not inside[number]]
        parts = [text[a:b].rstrip() for a, b in itertools.pairwise([*starts, len(text)])]
        return [part for part in parts if part]

    def decide(self, chain, seen, inside):
        """Note which characters in doubt continue a token: the likeliest path."""
        if chain:
            scores = [(0.0, self.weights.score(seen.slots(number))) for number in chain]
            path = viterbi(np.array(scores), self.start, self.transitions, np.zeros(2))
            for number, label in zip(chain, path, strict=True):
                inside[number] = label == INSIDE


class Weights:
    """The weights of features, by their slots."""

    def __init__(self, arrays, prefix):
        slots, weights = (arrays[prefix + name].tolist() for name in ("slots", "weights"))
        self.bias, self.of = (
            float(arrays[f"{prefix}bias"][0]),
            dict(zip(slots, weights, strict=True)),
        )

    def score(self, slots):
        return self.bias + self.sum(slots)

    def sum(self, slots):
        return sum(self.of.get(slot, 0.0) for slot in slots)


class Characters:
    """The characters of a text and what is around them."""

    def __init__(self, text, known):
        read = [*[(NOTHING, 0)] * AROUND, *map(class_and_lower, text), *[(NOTHING, 0)] * AROUND]
        self.classes, self.points = (list(column) for column in zip(*read, strict=True))
        # A run is letters, digits and marks in a row, or one other character.
        self.run, self.offset, sums, power = [], [], [], 1
        for at, (own, point) in enumerate(read):
            joined = at > 0 and all(LETTER <= c <= MARK for c in (own, self.classes[at - 1]))
            self.offset.append(self.offset[-1] + 1 if joined else 0)
            power = power * FACTORS[0] % 2**32 if joined else 1
            if not joined:
                sums.append(0)
            sums[-1] += point * power
            self.run.append(len(sums) - 1)
        self.run_hashes = [spread(total % 2**32) for total in sums]
        # The lengths of the longest known tokens that begin at a place, end before it, contain it.
        self.begin, self.end, self.inside = ([0] * len(read) for _ in range(3))
        stop = len(read) - AROUND
        for first in range(AROUND, stop):
            h = self.points[first]
            for size in range(2, min(LONGEST_KNOWN, stop - first) + 1):
                h = (h * FACTORS[0] + self.points[first + size - 1]) % 2**32
                if slot(h + size) in known:
                    self.begin[first] = size
                    self.end[first + size] = max(self.end[first + size], size)
                    for at in range(first + 1, first + size):
                        self.inside[at] = max(self.inside[at], size)

    def follows_space(self, number):
        return self.classes[AROUND + number - 1] == SPACE

    def pair(self, number):
        """The classes of the character before and of this one, as one number."""
        at = AROUND + number
        return self.classes[at - 1] * CLASSES + self.classes[at]

    def slots(self, number):
        """The slots of the 38 features of a character."""
        at = AROUND + number
        hashes = [combined(*(self.points[at + place] for place in gram)) for gram in GRAMS]
        hashes += [combined(*(self.classes[at + place] for place in gram)) for gram in CLASS_GRAMS]
        runs = {place: self.run_hashes[self.run[at] + place] for place in range(-3, 3)}
        hashes += [
            combined(self.offset[at], *(runs[place] for place in gram)) for gram in RUN_GRAMS
        ]
        known = self.begin[at], self.end[at], self.inside[at]
        hashes += [*known, combined(*known[:2]), combined(*known)]
        hashes.append(combined(*known, self.classes[at]))
        return [slot(h + feature * SALT) for feature, h in enumerate(hashes, 1)]


@functools.lru_cache(maxsize=2**16)
def class_and_lower(c):
    """The class of a character and the code point of its small letter."""
    lower = ord(c.lower()[0])
    if c == "\0":
        return NOTHING, 0
    if c.isspace():
        return SPACE, lower
    if "\u3041" <= c <= "\u309f":
        return HIRAGANA, lower
    if "\u30a0" <= c <= "\u30ff":
        return KATAKANA, lower
    category = unicodedata.category(c)
    if category == "Lo" and unicodedata.name(c, "").startswith("CJK"):
        return IDEOGRAPH, lower
    return CATEGORIES.get(category, OTHER), lower


def spread(h):
    return (h ^ h >> 15) * FACTORS[4] % 2**32


def slot(h):
    return spread(h % 2**32) >> 12


def combined(*values):
    return sum(value * factor for value, factor in zip(values, FACTORS, strict=False))


class Ranges:
    """Finds the words of tokens that are written for several."""

    def __init__(self, rules, weights):
        self.weights = weights
        self.whole = {rule["left"]: rule for rule in rules if rule["is_whole"]}
        self.edits = {(r["left"], r["right"]): r for r in rules if not r["is_whole"]}
        self.taken = sorted({(len(left), len(right)) for left, right in self.edits})

    def words(self, tokens):
        at = ["", *tokens, ""]
        found = [self.words_of(*at[n : n + 3]) for n in range(len(tokens))]
        return list(itertools.chain.from_iterable(found))

    def words_of(self, before, token, after):
        best, most = None, -np.inf
        for name, rule, kept in self.candidates(token):
            own = ["", token.lower(), str(token[0].isupper()), str(min(len(kept), 8)), kept]
            own += [kept[-size:] for size in range(1, 5)]
            name_hash = hash_word(name)
            score = self.weights.score(range_slots(name_hash, map(hash_word, own), 0))
            if score > most:  # the first among equals
                best, most = (name_hash, rule), score
        if best is None:
            return [token]
        name_hash, rule = best
        around = [*looks(before), *looks(after)]
        around.append(hash_pair(around[0], around[3]))
        score = most + self.weights.sum(range_slots(name_hash, around, 16))
        return apply_rule(rule, token) if score > 0 else [token]

    def candidates(self, token):
        """The rules that may apply: of each its name, the rule, and what it keeps of the token."""
        lower = token.lower()
        if len(lower) != len(token):
            return []
        if lower in self.whole:
            return [(lower, self.whole[lower], "")]
        found = []
        for left, right in self.taken:
            end = len(lower) - right
            rule = self.edits.get((lower[:left], lower[end:])) if end - left > 1 else None
            if rule is not None:
                found.append((f"{rule['left']}\t{rule['right']}", rule, lower[left:end]))
        return found


def looks(token):
    """What a token shows to those beside it."""
    lower = token.lower()
    return [hash_word(lower), hash_word(lower[-2:]), hash_word(lower[-3:])]


def range_slots(name_hash, values, first):
    return [hash_pair(name_hash + n, value) >> 12 for n, value in enumerate(values, first)]


def apply_rule(rule, token):
    """The words of a token. The first begins with a capital letter if the token does."""
    if rule["is_whole"]:
        first, *others = rule["before"]
    else:
        kept = token[len(rule["left"]) : len(token) - len(rule["right"])]
        middle = rule["prefix"] + kept + rule["suffix"]
        first, *others = [*rule["before"], middle, *rule["after"]]
    if token[0].isupper() and first[0].islower():
        first = first[0].upper() + first[1:]
    return [first, *others]
