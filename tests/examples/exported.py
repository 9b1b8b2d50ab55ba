"""Exported models of every kind with fixed weights, texts, and the product's own answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any
from unicodedata import ucd_3_2_0

import numpy as np
from numpy.typing import NDArray

from rnntext.config import EncoderConfig, ModelConfig
from rnntext.ngrams import NgramModel, Tables
from rnntext.probabilities import softmax
from rnntext.runtime.classifier import Classifier
from rnntext.runtime.language_model import LanguageModel
from rnntext.runtime.model import TrainedModel
from rnntext.runtime.score import Scorer
from rnntext.runtime.session import Session
from rnntext.runtime.tagger import TaggedSentence, Tagger
from rnntext.splitting.chains import BOUNDARY, IN_DOUBT, INSIDE
from rnntext.splitting.characters import CharacterWeights
from rnntext.splitting.features import CLASS_PAIRS, SLOTS, known_slots
from rnntext.splitting.ranges import RangeWeights, Rule
from rnntext.splitting.splitter import Splitter, SplitterWeights
from rnntext.splitting.weights import SlotWeights
from rnntext.tag_parts import composition
from rnntext.text.tokenizer import Tokenizer
from rnntext.training.networks.build import build_network
from rnntext.training.onnx.build import build
from rnntext.training.onnx.from_network import numpy_weights
from rnntext.training.onnx.sidecar import sidecar, sidecar_path
from rnntext.word_features import (
    PAIR_AFTER,
    PAIR_BEFORE,
    Forms,
    Weights,
    WordModel,
    pair_features,
)
from tests.conftest import CORPORA

Array = NDArray[Any]

MAX_LENGTH = 60  # tokens of a window: an ordinary text has several
BUNDLES = ("A=1|B=1", "A=1|B=2", "A=2|B=1", "A=2|B=2", "_", "A=1")
LABELS = {"lm": (), "classify": ("bad", "good", "né 🙂"), "tag": ("NOUN", "VERB", "B-X", "I-X")}
SAMPLE = (CORPORA / "stories.txt").read_text("utf-8").splitlines()
REVIEWS = (CORPORA / "reviews.csv").read_text("utf-8").splitlines()


@dataclass(frozen=True)
class Kind:
    """What an exported model is like. `kind`: of its tokenizer."""

    task: str
    kind: str
    cell: str
    bidirectional: bool = False
    int8: bool = False
    linear: bool = False
    lowercase: bool = False
    presplit: bool = False
    labels: int = 3  # of a classifier
    multi_label: bool = False
    layers: int = 1
    crf: bool = True  # of a tagger
    bundles: bool = False  # its tags
    splitter: bool = False  # it has learned to split raw text

    def __str__(self) -> str:
        of = [self.task, self.kind, self.cell]
        flags = ("bidirectional", "int8", "linear", "lowercase", "presplit", "multi_label")
        names = [*(flag for flag in flags if getattr(self, flag)), *["softmax"] * (not self.crf)]
        names += ["bundles"] * self.bundles + ["splitter"] * self.splitter
        return "-".join([*of, *names])


KINDS = [
    Kind("lm", "bpe", "lstm", layers=2),
    Kind("lm", "bpe", "gru", int8=True, lowercase=True),
    Kind("lm", "word", "gru"),
    Kind("lm", "word", "rnn", lowercase=True, presplit=True),
    Kind("lm", "char", "lstm", int8=True, lowercase=True),
    Kind("lm", "byte", "rnn"),
    Kind("classify", "bpe", "lstm", bidirectional=True, linear=True),
    Kind("classify", "bpe", "lstm", bidirectional=True, int8=True, linear=True, labels=2, layers=2),
    Kind("classify", "bpe", "gru", lowercase=True, multi_label=True),
    Kind("classify", "word", "gru", linear=True, lowercase=True, labels=2),
    Kind("classify", "word", "lstm", int8=True, presplit=True),
    Kind("classify", "char", "gru", bidirectional=True, multi_label=True, linear=True),
    Kind("classify", "byte", "lstm", int8=True, lowercase=True, layers=2),
    Kind("tag", "bpe", "lstm", bidirectional=True, linear=True),
    Kind("tag", "bpe", "gru", int8=True, lowercase=True, layers=2),
    Kind("tag", "word", "gru", linear=True, lowercase=True),
    Kind("tag", "word", "lstm", bidirectional=True, int8=True, lowercase=True, presplit=True),
    Kind("tag", "char", "lstm", bidirectional=True, lowercase=True, linear=True),
    Kind("tag", "byte", "rnn", int8=True, linear=True),
    Kind("tag", "bpe", "gru", bidirectional=True, linear=True, crf=False, bundles=True),
    Kind("tag", "word", "lstm", int8=True, linear=True, crf=False),
    Kind("tag", "char", "gru", crf=False, splitter=True),
]


@cache
def texts() -> list[str]:
    """Several hundred texts: prose, several lines, many scripts, no characters at all, long."""
    random = np.random.default_rng(11)
    pieces = [
        *("\n", "\n\n", " ", "  ", "\t", "\r\n", "\x0b", "\x1c", "\x85", "\xa0", "\u2028"),
        *("\u3000", "\ufeff", "\u200b", "\u200d", "\ufe0f", "…", "—", "...", "!!", "\\", "%"),
        *("don't", "Mara's", "N'T", "’ll", "U.S.", "Mr.", "etc.", "well-known", "x_y", "A1"),
        *("https://a.example/x?y=1.", "me.you+z@mail.example.org", "#tag", "@who", "3.14", "10:30"),
        *("ΟΔΟΣ", "ΣΑΣ", "İstanbul", "straße", "ǅ", "ﬁ", "Ⅷ", "McDonald", "<unk>", "<eos>"),
        *("你好", "カタカナ", "ひらがな", "مرحبا", "नमस्ते", "สวัสดี", "한국어", "e\u0301"),
        *("🙂", "👩\u200d👩\u200d👧", "👍🏽", "🇩🇪", "☎\ufe0f", "٣٤", "𝕏", "𐐀"),
    ]  # fmt: skip
    drawn = []
    for size in random.integers(1, 8, 150).tolist():
        gaps = random.choice(["", " ", " ", " ", "\n"], size)
        some = random.choice(np.array(pieces, object), size)
        drawn.append("".join(a + b for a, b in zip(some, gaps, strict=True)))
    # Engines know different versions of Unicode: characters that have long been there.
    known = (chr(c) for c in random.integers(0x20, 0x2FFF, 250).tolist())
    letters = [c for c in known if ucd_3_2_0.category(c) != "Cn"]
    return [
        *("", " ", "\n", "\n\n", "\t", "a", "\na", "a\n", "a\n\nb\n", " a  b ", "\u3000", "🙂"),
        *SAMPLE[:24],
        *REVIEWS[1:20],
        *("\n".join(SAMPLE[n : n + 3]) for n in range(0, 15, 3)),
        *drawn,
        "".join(letters),
        # Over 400 tokens of each kind, in words of one and of many.
        "a b " * 205,
        "x" * 450,
        "日本語の文。" * 68,
        f"{LONG_WORD} {LONG_WORD[::-1]} end",
        "\n".join(SAMPLE[:8]),
        *RANGES,
    ]


# Tokens that a splitter takes for several words, and characters of which it knows the class.
RANGES = [
    "Du pain, du lait et des œufs: au marché.\nAux halles, AU port\n",
    "Parktaki evdeki İstanbuldaki KAPIDAKİ ßki ǅki ⓐki Ⓐki wakitab WAKİTAB wavki aki",
    "豈龜你好\U0002f800\U00020000〇々〆ゝーｱ\u00ad\u200b\0\0x\0du\0 ",
    " \x1c\x1d du \x85 au\x1e ",
    "İbe İbt xİbe İİe tİİ xİa pİb İste İstt İae İae İbbki " * 3,
    "Straßenbahnhaltestelle internationalisiert wasserwirtschaftliche xylophonspielerinnentreffe\n"
    * 4,
]
# More tokens than a tagger reads of a word, and no two parts of it are alike.
LONG_WORD = "".join(chr(ord("a") + n * n * n % 23) for n in range(300))
# Prompts of a language model: at the start of a line, inside it, and longer than a window.
PROMPTS = ["", "\n", "The", "The heron\n", "naïve café 你好 🙂", " ", "a b " * 205]
# Sentences whose words are given: empty ones, with white space inside, of many tokens.
SENTENCES = [
    [],
    ["The", "heron", "'s", "McDonald"],
    ["", "a", ""],
    ["New York", "\t", "x\ty", "ΟΔΟΣ", "é"],
    [LONG_WORD, LONG_WORD.upper(), "the", "x" * 700, "."],
]


@dataclass(frozen=True)
class Exported:
    """A model in files, and in the product's own hands."""

    kind: Kind
    path: Path
    model: TrainedModel

    def answers(self) -> list[Any]:
        """The product's answers to all texts, as the examples give them."""
        if self.kind.task == "classify":
            return [answer.labels for answer in Classifier(self.model).classify(texts())]
        if self.kind.task == "tag":
            return [_tagged(sentence) for sentence in Tagger(self.model).tag(texts())]
        lines = Scorer(LanguageModel(self.model)).score(texts())
        names = ("bits", "tokens", "unknown", "perplexity")
        return [{name: getattr(line, name) for name in names} for line in lines]

    def of_words(self) -> list[Any]:
        """The product's answers of a tagger to SENTENCES."""
        return [_tagged(sentence) for sentence in Tagger(self.model).tag_words(SENTENCES)]

    def next_tokens(self) -> list[Array]:
        """The probabilities of the tokens that follow each of PROMPTS."""
        model = LanguageModel(self.model)
        prompts = self.model.tokenizer.encode_prompts(PROMPTS)
        logits, _ = model.read(prompts, model.initial_state(len(prompts)))
        return list(softmax(logits.astype(np.float64)))


def _tagged(found: TaggedSentence) -> dict[str, Any]:
    return {name: getattr(found, name) for name in ("words", "tags", "probabilities")}


@cache
def _tokenizer(kind: str, lowercase: bool, presplit: bool) -> Tokenizer:
    lines = [*SAMPLE, "a café — ΟΔΟΣ σας 你好 🙂 <unk>"]
    return Tokenizer.train(
        kind, lines, vocab_size=420, min_frequency=1, lowercase=lowercase, presplit=presplit
    )


def write(kind: Kind, directory: Path) -> Exported:
    """Write a model of this kind with weights of a seeded generator, and its sidecar."""
    tokenizer = _tokenizer(kind.kind, kind.lowercase, kind.presplit)
    labels = LABELS[kind.task][: kind.labels] if kind.task == "classify" else LABELS[kind.task]
    labels = BUNDLES if kind.bundles else labels
    encoder = EncoderConfig(kind.cell, tokenizer.vocab_size, 6, 5, kind.layers, kind.bidirectional)
    length = MAX_LENGTH if labels else 0
    config = ModelConfig(kind.task, encoder, labels, kind.multi_label, length, crf=kind.crf)
    random = np.random.default_rng(7)
    weights: dict[str, Array] = {
        name: array if name.endswith(".parts") else _drawn(random, array)
        for name, array in numpy_weights(build_network(config)).items()
    }
    precision = "int8" if kind.int8 else "float32"
    graph = build(config, weights, precision)
    model = TrainedModel.from_session(config, tokenizer, Session(graph, 1))
    content = None
    if kind.linear:
        content, own = _linear(config, random)
        model = replace(model, ngrams=lambda: own)
    learned = None
    if kind.splitter:
        learned, divides = splitter()
        model = replace(model, splitter=lambda: divides)
    path = directory / f"{kind}.onnx"
    path.write_bytes(graph)
    beside = sidecar(
        config, tokenizer, content, graph, file=path.name, precision=precision, splitter=learned
    )
    sidecar_path(path).write_bytes(beside)
    return Exported(kind, path, model)


def _drawn(random: np.random.Generator, array: Array) -> Array:
    return random.normal(0, 0.6, array.shape).astype(np.float32)


def _linear(config: ModelConfig, random: np.random.Generator) -> tuple[bytes, object]:
    def draw(*shape: int, deviation: float = 0.3) -> Array:
        return random.normal(0, deviation, shape).astype(np.float32)

    if config.task == "classify":
        columns = 1 if len(config.labels) == 2 else len(config.labels)
        tables = [draw(size, columns).astype(np.float16) for size in (256, 128, 512)]
        found = Tables(*tables, draw(columns), 0.375)
        return found.serialize(), NgramModel(found, len(config.labels))
    # Weights of the features that words of the sample have, and of pairs of them.
    words = ["", "the", "The", "and", "Mara", "'s", "McDonald", "カタカナ", LONG_WORD, "ΟΔΟΣ", "."]
    forms, lower = Forms(words), Forms(words).lower
    known = [forms.features(offset)[1] for offset in range(-2, 3)]
    for place in (PAIR_BEFORE, PAIR_AFTER):
        known += [pair_features(np.roll(lower, n), lower, place) for n in range(len(words))]
    features = np.unique(np.concatenate(known))
    tags = len(config.labels)
    parts = composition(config)
    bias, *paths = (draw(tags), draw(tags), draw(tags, tags), draw(tags))
    drawn = draw(len(features), tags if parts is None else len(parts)).astype(np.float16)
    weights = Weights(features, drawn, bias, tuple(paths) if config.crf else (), scale=0.625)
    return weights.serialize(), WordModel(weights, tags, parts)


# Known tokens that begin, end and contain each other.
OVERLAPPING = ["日本語", "日本", "本語", "語の文", "本語の文", "文。日本", "。日"]


@cache
def splitter() -> tuple[bytes, Splitter]:
    """A splitter with drawn weights, as a file and in the product's hands: characters of every kind
    are in doubt, and each rule for ranges applies to some tokens and not to others."""
    random = np.random.default_rng(13)

    def draw(bias: float) -> SlotWeights:
        slots = np.flatnonzero(random.random(SLOTS) < 0.3).astype(np.uint32)
        return SlotWeights(slots, random.normal(0, 1, len(slots)).astype(np.float16), bias)

    does = random.choice([BOUNDARY, INSIDE, IN_DOUBT], CLASS_PAIRS, p=[0.1, 0.1, 0.8])
    known = known_slots([*SAMPLE[0].split(), "du", "au", "pain", "你好", *OVERLAPPING])
    start, transitions = [0.25, -0.5], [[0.5, -0.25], [1.0, -1.0]]  # short tokens
    characters = CharacterWeights(
        draw(-0.5),
        np.array(start, np.float32),
        np.array(transitions, np.float32),
        does.astype(np.uint32),
        known,
    )
    rules = (
        *(Rule(token, before=("de", "le"), is_whole=True) for token in ("du", "au", "des", "a")),
        *(Rule("", right, after=(right,)) for right in ("ki", "e", "本", "t")),
        Rule("wa", "", before=("wa",)),
        *(Rule(left, "", ("ß",), left, "s") for left in ("p", "ⓐ", "x", "t")),
    )
    weights = SplitterWeights(characters, RangeWeights(rules, draw(0.1)))
    return weights.serialize(), Splitter(weights)
