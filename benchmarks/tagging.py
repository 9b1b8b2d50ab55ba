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

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pycrfsuite
from comparison import compare, print_table, run_sets

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
    run_sets(__doc__, "ewt,conll,fr,tr,vi,zh,ja", measure)


def measure(data: Path, name: str, seeds: int, options: list[str]) -> None:
    """Print the accuracy, or the F1 of spans, of both on one set."""
    peers: dict[str, Callable[[Split, int], Predict]] = {
        "CRFsuite": lambda split, seed: crfsuite(split),
        "rnntext": lambda split, seed: rnntext(split, seed, options),
    }
    splits = [read(data, name, seed) for seed in range(seeds)]
    spans = is_span_tags({tag for _, tags in splits[0].test for tag in tags})

    def judge(split: Split, found: list[list[str]]) -> tuple[float]:
        measured = tagging_metrics([tags for _, tags in split.test], found, spans)
        return (measured["f1" if spans else "accuracy"],)

    scores = compare(peers, splits, lambda split: [words for words, _ in split.test], judge)
    learned, held_out = len(splits[0].train), len(splits[0].test)
    title = f"{name}: {learned:,} sentences to learn from, {held_out:,} held out"
    print_table(title, ["F1" if spans else "accuracy"], scores, 2)


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
