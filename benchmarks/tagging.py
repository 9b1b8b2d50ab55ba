"""How accurate taggers are, compared with CRFsuite on the same split.

    python benchmarks/tagging.py DATA [--sets ewt,conll,fr,tr,vi,zh,ja] [--minutes M] [--seeds N]
                                      [-- ...]

DATA holds ewt/train.conllu and dev.conllu, conll2003/eng.train and eng.testa, and
ud/NAME.train.conllu with ud/NAME.dev.conllu; without the second, one fold in five is held out for
each seed. Words are given; tags are UPOS, in CoNLL-2003 the named entities. Options after -- go to
`rnntext train tag`.

Every row learns from the same training part. rnntext takes its own validation part from it; what is
held out is seen by neither. Needs python-crfsuite.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pycrfsuite

from rnntext.metrics import is_span_tags, tagging_metrics
from rnntext.text.formats import DataOptions
from rnntext.text.tagged import read_tagged

RNNTEXT = [sys.executable, "-m", "rnntext"]

Sentence = tuple[tuple[str, ...], tuple[str, ...]]  # words, tags
Predict = Callable[[list[tuple[str, ...]]], list[list[str]]]


class Split(NamedTuple):
    """Sentences to learn from, and those to be judged by."""

    train: list[Sentence]
    test: list[Sentence]


def main() -> None:
    """Print a table for each set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", default="ewt,conll,fr,tr,vi,zh,ja")
    parser.add_argument("--minutes", type=float, help="of rnntext's runs; without: until it stops")
    parser.add_argument("--seeds", type=int, default=3)
    words = [*sys.argv[1:], "--"]
    end = words.index("--")
    given, train_options = parser.parse_args(words[:end]), words[end + 1 : -1]
    budget = [] if given.minutes is None else ["--minutes", str(given.minutes)]
    for name in given.sets.split(","):
        measure(given.data, name, given.seeds, [*budget, *train_options])


def measure(data: Path, name: str, seeds: int, options: list[str]) -> None:
    """Print the accuracy, or the F1 of spans, of both on one set: mean and standard deviation."""
    peers: dict[str, Callable[[Split, int], Predict]] = {
        "CRFsuite": lambda split, seed: crfsuite(split),
        "rnntext": lambda split, seed: rnntext(split, seed, options),
    }
    scores: dict[str, list[tuple[float, float]]] = {peer: [] for peer in peers}
    for seed in range(seeds):
        split = read(data, name, seed)
        gold = [tags for _, tags in split.test]
        spans = is_span_tags({tag for tags in gold for tag in tags})
        for peer, learn in peers.items():
            started = time.perf_counter()
            predict = learn(split, seed)
            seconds = time.perf_counter() - started
            found = predict([words for words, _ in split.test])
            measured = tagging_metrics(gold, found, spans)
            scores[peer].append((measured["f1" if spans else "accuracy"], seconds))
    print(f"\n{name}: {len(split.train):,} sentences to learn from, {len(split.test):,} held out")
    print(f"| | {'F1' if spans else 'accuracy'} | seconds |\n| --- | --- | --- |")
    for peer, rows in scores.items():
        rates, seconds_of = zip(*rows, strict=True)
        print(f"| {peer} | {spread(rates)} | {statistics.mean(seconds_of):.0f} |")
    sys.stdout.flush()


def spread(values: tuple[float, ...]) -> str:
    """Mean and standard deviation in per cent."""
    deviation = f" ± {100 * statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):.2f}{deviation}"


def read(data: Path, name: str, seed: int) -> Split:
    """Read one set."""
    if name == "conll":
        return Split(*(tagged(data / "conll2003" / f"eng.{part}") for part in ("train", "testa")))
    folder, prefix = ("ewt", "") if name == "ewt" else ("ud", f"{name}.")
    train = tagged(data / folder / f"{prefix}train.conllu")
    test = data / folder / f"{prefix}dev.conllu"
    if test.is_file():
        return Split(train, tagged(test))
    return Split([row for n, row in enumerate(train) if n % 5 != seed % 5], train[seed % 5 :: 5])


def tagged(path: Path) -> list[Sentence]:
    """Read a tagged file, as rnntext does."""
    options = DataOptions(format=None if path.suffix == ".conllu" else "conll")
    return [(sentence.words, sentence.tags) for sentence in read_tagged([str(path)], options)]


# Peers


def features(words: tuple[str, ...]) -> Iterator[list[str]]:
    """The features of each word: itself, affixes, shape, and two words on either side."""
    for place, word in enumerate(words):
        lower = word.lower()
        found = ["bias", f"w={word}", f"l={lower}", f"s={shape(word)}"]
        found += [f"p{n}={lower[:n]}" for n in range(1, 5)]
        found += [f"e{n}={lower[-n:]}" for n in range(1, 5)]
        for offset in (-2, -1, 1, 2):
            inside = 0 <= place + offset < len(words)
            other = words[place + offset] if inside else ""
            found += [f"{offset}l={other.lower()}", f"{offset}s={shape(other)}"]
        yield found


def shape(word: str) -> str:
    """Upper case, lower case, digits and others, each run shortened to two."""
    found = ""
    for c in word:
        kind = "X" if c.isupper() else "x" if c.islower() else "d" if c.isdigit() else c
        kind = "a" if kind.isalpha() and kind not in "Xxd" else kind
        if not found.endswith(2 * kind):
            found += kind
    return found


def crfsuite(split: Split) -> Predict:
    """CRFsuite by L-BFGS, at most 100 iterations."""
    trainer = pycrfsuite.Trainer(verbose=False)
    for words, tags in split.train:
        trainer.append(list(features(words)), tags)
    trainer.set_params({"c1": 0.05, "c2": 0.05, "max_iterations": 100})
    with tempfile.TemporaryDirectory() as folder:
        trainer.train(f"{folder}/model")
        tagger = pycrfsuite.Tagger()
        tagger.open(f"{folder}/model")
    return lambda sentences: [tagger.tag(list(features(words))) for words in sentences]


def rnntext(split: Split, seed: int, options: list[str]) -> Predict:
    """Train with the command, and answer with the library."""
    from rnntext.runtime.tagger import Tagger

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.jsonl"
        rows = (json.dumps({"words": words, "tags": tags}) for words, tags in split.train)
        path.write_text("".join(f"{row}\n" for row in rows), "utf-8")
        command = [*RNNTEXT, "train", "tag", str(path), "-o", f"{folder}/model", "--quiet"]
        done = subprocess.run(
            [*command, "--seed", str(seed), "--json", *options],
            check=True, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        told = json.loads(done.stdout)
        facts = {k: round(v, 3) for k, v in told.items() if k.startswith(("network_", "ngrams_"))}
        metrics = told["metrics"]
        shown = metrics.get("f1", metrics["accuracy"])
        print(f"validation {shown:.4f}", facts, f"{told['epochs']:.0f} epochs")
        model: Any = Tagger.load(Path(folder) / "model")
    return lambda sentences: [found.tags for found in model.tag_words(sentences)]


if __name__ == "__main__":
    main()
