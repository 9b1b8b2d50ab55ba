"""The linear halves of rnntext's models, with NumPy alone: see docs/onnx.md.

Knows: how n-grams of a text and features of a word are hashed, and how their weights add up. Does
not know: ONNX Runtime, tokens, or how the sums are joined to the scores of the graph (model.py).
"""

from __future__ import annotations

import base64
import functools
import itertools
import re
import unicodedata

import numpy as np

MOST_CHARACTERS = 2**20  # of a text that a classifier's linear half looks at
LONGEST_WORD = 200  # of a tagger's linear half: a longer one is its first and last 100 characters
KEPT_WORDS = 2**16  # their scores stay in memory


def tensors(section):
    """The arrays of the sidecar's section `linear` or `splitter`."""
    return {
        name: np.frombuffer(base64.b64decode(t["data"]), t["dtype"]).reshape(t["shape"])
        for name, t in section["tensors"].items()
    }


def spread(h):
    h = (h ^ h >> 16) * 0x7FEB352D % 2**32
    h = (h ^ h >> 15) * 0x846CA68B % 2**32
    return h ^ h >> 16


@functools.lru_cache(maxsize=2**16)
def hash_word(word):
    total = len(word) * 0xC2B2AE3D
    power = 1
    for character in word:
        total += (ord(character) + 1) * power
        power = power * 0x9E3779B1 % 2**32
    return spread(total % 2**32)


@functools.lru_cache(maxsize=2**16)
def hash_characters(gram):
    h = 0
    for character in gram:
        h = (h * 0x01000193 + ord(character) + 1) % 2**32
    return spread((h + len(gram) * 0x9E3779B1) % 2**32)


def hash_pair(a, b):
    return spread((a * 0x9E3779B1 + b * 0x85EBCA77 + 1) % 2**32)


class TextScores:
    """The linear half of a classifier: words, pairs of words, and characters of words."""

    def __init__(self, section, labels):
        self.tensors, self.labels = tensors(section), labels
        self.pattern = re.compile(section["word_pattern"])
        self.words = {}  # the hash and the scores of each word

    def logits(self, text):
        """What is added to a text's logits: (labels)."""
        words = self.pattern.findall(text[:MOST_CHARACTERS].lower())
        read = {word: self.word(word) for word in dict.fromkeys(words)}
        pairs = {hash_pair(read[a][0], read[b][0]) for a, b in itertools.pairwise(words)}
        total = self.tensors["bias"].astype(float)
        for _, scores in read.values():
            total = total + scores
        for pair in pairs:
            total = total + self.row("pairs", pair)
        total = total * self.tensors["scale"]
        return total if len(total) == self.labels else np.array([-total[0] / 2, total[0] / 2])

    def word(self, word):
        if word not in self.words:
            if len(self.words) >= KEPT_WORDS:
                self.words.clear()
            h, spaced = hash_word(word), f" {word} "
            scores = self.row("words", h)
            for size in range(1, 6):
                for start in range(len(spaced) - size + 1):
                    gram = spaced[start : start + size]
                    if gram != " ":
                        scores = scores + self.row("characters", hash_characters(gram))
            self.words[word] = h, scores
        return self.words[word]

    def row(self, name, h):
        table = self.tensors[name]
        return table[h * len(table) >> 32].astype(float)


class WordScores:
    """The linear half of a tagger: forms of a word and of its neighbours, and pairs of words."""

    def __init__(self, section):
        self.tensors, self.features = tensors(section), section["features"]
        self.parts = section.get("parts")  # of each tag, the columns of the weights
        self.rows = {int(h): row for row, h in enumerate(self.tensors["features"])}
        self.forms = {}  # of each word, the hash of each form that it has

    def path_scores(self):
        """What is added to the scores of the first tag, of transitions and of the last tag."""
        names = [name for name in ("start", "transitions", "end") if name in self.tensors]
        return [self.tensors["scale"] * self.tensors[name] for name in names]

    def emissions(self, words):
        """What is added to the scores of the tags of each word: (words, tags)."""
        at = [self.forms_of(word) for word in ("", "", *words, "", "")]
        result = np.tile(self.tensors["bias"].astype(float), (len(words), 1))
        for i in range(len(words)):
            found = [
                hash_pair(at[i + 2 + offset][form], number)
                for number, (offset, form) in enumerate(self.features)
                if form in at[i + 2 + offset]  # a word of two letters has no prefix of three
            ]
            before, here, after = (at[i + 2 + offset]["lower"] for offset in (-1, 0, 1))
            found.append(hash_pair(hash_pair(before, here), len(self.features)))
            found.append(hash_pair(hash_pair(here, after), len(self.features) + 1))
            rows = [self.rows[h] for h in found if h in self.rows]
            scores = self.tensors["weights"][rows].astype(float).sum(axis=0)
            if self.parts is not None:
                scores = np.array([scores[columns].sum() for columns in self.parts])
            result[i] += scores
        return result * self.tensors["scale"]

    def forms_of(self, word):
        if word not in self.forms:
            if len(self.forms) >= KEPT_WORDS:
                self.forms.clear()
            half = LONGEST_WORD // 2
            short = word if len(word) <= LONGEST_WORD else word[:half] + word[-half:]
            lower = short.lower()[:LONGEST_WORD]
            forms = {"word": short, "lower": lower, "shape": shape(short)}
            for size in range(1, min(len(lower), 5) + 1):
                forms[f"prefix {size}"], forms[f"suffix {size}"] = lower[:size], lower[-size:]
            self.forms[word] = {name: hash_word(form) for name, form in forms.items()}
        return self.forms[word]


CLASSES = {"Lu": "X", "Lt": "X", "Ll": "x", "Nd": "d"}


def shape(word):
    """The class of each character, of a run of one class at most two: "McDonald" is "XxXxx"."""
    return re.sub(r"(?s)(.)\1{2,}", r"\1\1", "".join(map(character_class, word)))


@functools.lru_cache(maxsize=2**16)
def character_class(c):
    if "\u3041" <= c <= "\u309f":
        return "h"  # hiragana
    if "\u30a0" <= c <= "\u30ff":
        return "k"  # katakana
    category = unicodedata.category(c)
    return CLASSES.get(category, "a" if category[0] in "LM" else c)
