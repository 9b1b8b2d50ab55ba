"""How accurate classifiers are, compared with fastText and linear models on the same split.

    python benchmarks/quality.py DATA [--sets sst2,imdb-500,...] [--minutes M] [--seeds N] [-- ...]

DATA holds sst2/train.tsv and dev.tsv (columns label, text), imdb/train.jsonl (of which the last
2,500 lines are held out; imdb-500 learns from the first 500 of the others) and any
labelled/NAME.csv (columns label, text; one fold in five is held out for each seed). `tickets` needs
no file: twelve unbalanced classes of made-up support tickets. Options after -- go to
`rnntext train classify`, for instance --no-ngrams.

Every row learns from the same training part. rnntext takes its own validation part from it, for
SST-2 too, whose dev.tsv is not seen in training. Needs scikit-learn;
fastText's row needs the package fasttext.
"""

from __future__ import annotations

import csv
import importlib.util
import json
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from comparison import compare, print_table, run_sets
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

RNNTEXT = [sys.executable, "-m", "rnntext"]
HELD_OUT = 2500  # film reviews
WORD = re.compile(r"\w+|[^\w\s]")


class Split(NamedTuple):
    """Texts and labels to learn from, and those to be judged by."""

    train: list[tuple[str, str]]  # label, text
    test: list[tuple[str, str]]


Predict = Callable[[list[str]], list[str]]


def main() -> None:
    """Print a table for each set."""
    run_sets(__doc__, "sst2,sst2-500,imdb-500,imdb-2000,tickets", measure)


def measure(data: Path, name: str, seeds: int, options: list[str]) -> None:
    """Print the accuracy and macro F1 of each peer on one set."""
    peers: dict[str, Callable[[Split, int], Predict]] = {
        "TF-IDF, logistic regression": lambda split, seed: tfidf(split),
        "naive Bayes words + characters": lambda split, seed: weighted(split),
        "rnntext": lambda split, seed: rnntext(split, seed, options),
    }
    if importlib.util.find_spec("fasttext") is not None:
        peers["fastText, pairs of words"] = fasttext

    def judge(split: Split, found: list[str]) -> tuple[float, float]:
        gold = [label for label, _ in split.test]
        accuracy = float(np.mean([a == b for a, b in zip(found, gold, strict=True)]))
        return accuracy, f1_score(gold, found, average="macro")

    splits = [read(data, name, seed) for seed in range(seeds)]
    scores = compare(peers, splits, lambda split: [text for _, text in split.test], judge)
    learned, held_out = len(splits[0].train), len(splits[0].test)
    title = f"{name}: {learned:,} to learn from, {held_out:,} held out"
    print_table(title, ["accuracy", "macro F1"], scores, 1)


# Data


def read(data: Path, name: str, seed: int) -> Split:
    """Read one set; `NAME-500` learns from 500 of its training examples, others for each seed."""
    base, _, count = name.partition("-")
    if base == "sst2":
        split = Split(*(list(tsv(data / "sst2" / f"{part}.tsv")) for part in ("train", "dev")))
    elif base == "imdb":
        lines = (data / "imdb/train.jsonl").read_text("utf-8").rstrip("\n").split("\n")
        rows = [(row["label"], row["text"]) for row in map(json.loads, lines)]
        split = Split(rows[:-HELD_OUT], rows[-HELD_OUT:])
    elif base == "tickets":
        split = Split(list(tickets(3000, seed)), list(tickets(3000, seed + 1000)))
    else:
        with (data / "labelled" / f"{base}.csv").open(encoding="utf-8", newline="") as file:
            rows = [(row["label"], row["text"]) for row in csv.DictReader(file)]
        random.Random(0).shuffle(rows)
        split = Split([row for n, row in enumerate(rows) if n % 5 != seed % 5], rows[seed % 5 :: 5])
    if not count:
        return split
    return Split(random.Random(seed).sample(split.train, int(count)), split.test)


def tsv(path: Path) -> Iterator[tuple[str, str]]:
    """Read rows whose quotes are ordinary characters."""
    for line in path.read_text("utf-8").splitlines()[1:]:
        label, text = line.split("\t")
        yield label, text


TOPICS = {
    "login": "password account sign locked reset code email verify",
    "billing": "invoice charge twice card refund receipt tax amount",
    "delivery": "parcel late courier address tracking arrived box missing",
    "crash": "app closes error screen freezes update restart version",
    "slow": "loading minutes wait slow timeout page spinner lag",
    "cancel": "subscription cancel stop renewal plan end trial contract",
    "upgrade": "plan more seats team enterprise upgrade price quote",
    "privacy": "data delete export consent gdpr request personal remove",
    "return": "return label size wrong exchange worn send back",
    "warranty": "broken warranty repair serial months part replace cracked",
    "partner": "reseller affiliate api integration webhook partner key",
    "press": "interview article journalist statement logo press story",
}
SHARES = (30, 20, 15, 10, 8, 6, 4, 3, 2, 1, 0.6, 0.4)
FILLER = (
    "hello please i have since yesterday my the a problem with and cannot thanks help order still "
    "your team again nothing works why is it when we need soon today question about"
)


def tickets(count: int, seed: int) -> Iterator[tuple[str, str]]:
    """Make support tickets: a few words of their topic, sometimes one of another, and filler."""
    draw = random.Random(seed)
    names = list(TOPICS)
    for _ in range(count):
        (label,) = draw.choices(names, SHARES)
        words = draw.choices(FILLER.split(), k=draw.randint(6, 20))
        words += draw.sample(TOPICS[label].split(), draw.randint(1, 3))
        if draw.random() < 0.35:
            words.append(draw.choice(TOPICS[draw.choice(names)].split()))
        draw.shuffle(words)
        yield label, " ".join(words)


# Peers


def tfidf(split: Split) -> Predict:
    """Uni- and bigrams, TF-IDF, logistic regression."""
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    labels, texts = zip(*split.train, strict=True)
    model = LogisticRegression(C=10, max_iter=500).fit(vectorizer.fit_transform(texts), labels)
    return lambda found: model.predict(vectorizer.transform(found)).tolist()


def weighted(split: Split) -> Predict:
    """Uni- and bigrams weighted by naive Bayes, and characters by TF-IDF: log-probabilities added
    (Wang and Manning 2012)."""
    labels, texts = zip(*split.train, strict=True)
    gold = np.array(labels)
    counter = CountVectorizer(
        tokenizer=WORD.findall, token_pattern=None, ngram_range=(1, 2), binary=True,
        dtype=np.float32,
    )  # fmt: skip
    counts = counter.fit_transform(texts)
    spelled = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 5), sublinear_tf=True)
    characters = LogisticRegression(C=3, max_iter=300).fit(spelled.fit_transform(texts), gold)
    models = []
    for label in characters.classes_:
        inside = 1 + np.asarray(counts[gold == label].sum(0)).ravel()
        outside = 1 + np.asarray(counts[gold != label].sum(0)).ravel()
        ratio = np.log(inside / inside.sum()) - np.log(outside / outside.sum())
        scale = scipy.sparse.diags(ratio.astype(np.float32))
        model = LogisticRegression(C=1, max_iter=300).fit(counts @ scale, gold == label)
        models.append((scale, model))

    def predict(found: list[str]) -> list[str]:
        rows = counter.transform(found)
        own = np.stack([m.predict_log_proba(rows @ scale)[:, 1] for scale, m in models], axis=1)
        total = own + np.maximum(characters.predict_log_proba(spelled.transform(found)), -30)
        chosen: list[str] = characters.classes_[total.argmax(1)].tolist()
        return chosen

    return predict


def fasttext(split: Split, seed: int) -> Predict:
    """fastText with pairs of words, 25 passes; a lower rate where the first one diverges."""
    import fasttext as library

    def line(text: str) -> str:
        return " ".join(WORD.findall(text.lower()))

    numbers = {label: n for n, label in enumerate(sorted({label for label, _ in split.train}))}
    names = list(numbers)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.txt"
        path.write_text(
            "".join(f"__label__{numbers[label]} {line(text)}\n" for label, text in split.train),
            "utf-8",
        )
        model: Any = None
        for rate in (0.5, 0.1, 0.02):
            try:
                model = library.train_supervised(
                    str(path), lr=rate, epoch=25, wordNgrams=2, seed=seed, thread=2, verbose=0
                )
                break
            except RuntimeError:
                continue

    def predict(found: list[str]) -> list[str]:
        labels, _ = model.predict([line(text) for text in found])
        return [names[int(label[0].removeprefix("__label__"))] for label in labels]

    return predict


def rnntext(split: Split, seed: int, options: list[str]) -> Predict:
    """Train with the command, and answer with the library."""
    import rnntext as library

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.jsonl"
        path.write_text(
            "".join(json.dumps({"label": a, "text": b}) + "\n" for a, b in split.train), "utf-8"
        )
        command = [*RNNTEXT, "train", "classify", str(path), "-o", f"{folder}/model", "--quiet"]
        done = subprocess.run(
            [*command, "--seed", str(seed), "--json", *options],
            check=True, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        told = json.loads(done.stdout)
        shown = ("network_accuracy", "ngrams_accuracy", "ngrams_weight", "epochs")
        facts = {name: round(told[name], 3) for name in shown if name in told}
        print(f"validation accuracy {told['metrics']['accuracy']:.3f}", facts)
        model: Any = library.load(f"{folder}/model")
    return lambda found: [answer.label for answer in model.classify(found)]


if __name__ == "__main__":
    main()
