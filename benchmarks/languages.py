"""How well words and tags are found in raw text, compared with CRFsuite on the same split.

    python benchmarks/languages.py DATA [--sets zh,ja,vi,fr,tr] [--minutes M] [--seeds N] [-- ...]

DATA holds ud/NAME.train.conllu with ud/NAME.dev.conllu; without the second, one sentence in five is
held out for each seed. Each text is given as a line. Options after -- go to `rnntext train tag`.

`tokens` is the F1 of tokens as they are written, `words` that of syntactic words and `tags` that of
words with their UPOS, as the CoNLL 2018 shared task counts them. CRFsuite labels characters as the
beginning or the inside of a token or as neither, with n-grams of characters around them; its tokens
are its words, which `tagging.py`'s CRF tags. Every row learns from the same training part. Needs
python-crfsuite.
"""

from __future__ import annotations

import subprocess
import tempfile
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pycrfsuite
import tagging
from comparison import compare, print_table, run_sets

from rnntext.raw_text_metrics import RawTextCounts, placed_words
from rnntext.text.raw_text import RawText, Token, place_tokens
from rnntext.text.tagged import Tagged, parse_conllu_sentence

Answer = tuple[RawText, list[str], list[str]]  # where the words are, words, tags
Predict = Callable[[list[str]], list[Answer]]


class Split(NamedTuple):
    """Sentences in CoNLL-U to learn from, and those to be judged by."""

    train: list[str]
    test: list[Tagged]


def main() -> None:
    """Print a table for each set."""
    run_sets(__doc__, "zh,ja,vi,fr,tr", measure)


def measure(data: Path, name: str, seeds: int, options: list[str]) -> None:
    """Print the figures of both on one set."""
    peers: dict[str, Callable[[Split, int], Predict]] = {
        "CRFsuite": lambda split, seed: crfsuite(split),
        "rnntext": lambda split, seed: rnntext(split, seed, options),
    }
    splits = [read(data, name, seed) for seed in range(seeds)]
    scores = compare(peers, splits, texts_of, judge)
    learned, held_out = len(splits[0].train), len(splits[0].test)
    title = f"{name}: {learned:,} sentences to learn from, {held_out:,} held out"
    print_table(title, ["tokens", "words", "tags"], scores, 2)


def texts_of(split: Split) -> list[str]:
    """The raw texts of the sentences that are held out."""
    return [sentence.raw.text for sentence in split.test if sentence.raw is not None]


def judge(split: Split, found: list[Answer]) -> tuple[float, float, float]:
    """The F1 of tokens, words and tags."""
    tokens, words = RawTextCounts(), RawTextCounts()
    for gold, (raw, own, tags) in zip(split.test, found, strict=True):
        assert gold.raw is not None
        words.add(placed_words(gold.raw, gold.words), placed_words(raw, own), gold.tags, tags)
        tokens.add(*(placed_words(as_tokens(each), each.tokens()) for each in (gold.raw, raw)))
    return tokens.words_f1, words.words_f1, words.tags_f1


def as_tokens(raw: RawText) -> RawText:
    """The same text, whose tokens are all one word."""
    return RawText(raw.text, raw.spans, (1,) * len(raw.spans))


def read(data: Path, name: str, seed: int) -> Split:
    """Read one set."""
    train = sentences(data / "ud" / f"{name}.train.conllu")
    test = data / "ud" / f"{name}.dev.conllu"
    if test.is_file():
        return Split(train, parsed(sentences(test)))
    kept = [row for n, row in enumerate(train) if n % 5 != seed % 5]
    return Split(kept, parsed(train[seed % 5 :: 5]))


def sentences(path: Path) -> list[str]:
    """The sentences of a file as they stand there."""
    return [part for part in path.read_text("utf-8").split("\n\n") if part.strip()]


def parsed(rows: list[str]) -> list[Tagged]:
    """The sentences that have raw text."""
    found = [parse_conllu_sentence(enumerate(row.splitlines()), "data") for row in rows]
    return [sentence for sentence in found if sentence is not None and sentence.raw is not None]


# Peers


def kind(character: str) -> str:
    """The class of a character: of a letter, with its script."""
    category = unicodedata.category(character)
    script = unicodedata.name(character, "").split(" ")[0] if category[0] == "L" else ""
    return script + category


def character_features(text: str) -> Iterator[list[str]]:
    """Characters, pairs and triples up to two places away, and classes."""
    padded = f"  {text}  "
    for place in range(2, len(padded) - 2):
        found = [f"{n}{padded[place + n]}" for n in range(-2, 3)]
        found += [f"b{n}{padded[place + n : place + n + 2]}" for n in range(-2, 2)]
        found += [f"t{n}{padded[place + n : place + n + 3]}" for n in range(-2, 1)]
        before, here, after = (kind(c) for c in padded[place - 1 : place + 2])
        yield [*found, f"k{here}", f"c{before}{here}", f"d{here}{after}"]


def crfsuite(split: Split) -> Predict:
    """CRFsuite by L-BFGS, at most 100 iterations: characters, and then words."""
    trainer = pycrfsuite.Trainer(verbose=False)
    train = parsed(split.train)
    for sentence in train:
        assert sentence.raw is not None
        labels = ["O"] * len(sentence.raw.text)
        for start, stop in sentence.raw.spans:
            labels[start:stop] = ["B", *"I" * (stop - start - 1)]
        trainer.append(list(character_features(sentence.raw.text)), labels)
    trainer.set_params({"c1": 0.05, "c2": 0.05, "max_iterations": 100})
    tagged = [(sentence.words, sentence.tags) for sentence in train]
    tag = tagging.crfsuite(tagging.Split(tagged, []))
    with tempfile.TemporaryDirectory() as folder:
        trainer.train(f"{folder}/model")
        splitter = pycrfsuite.Tagger()
        splitter.open(f"{folder}/model")

    def predict(texts: list[str]) -> list[Answer]:
        found = []
        for text in texts:
            tokens: list[str] = []
            for character, label in zip(
                text, splitter.tag(list(character_features(text))), strict=True
            ):
                if label == "B" or (label == "I" and not tokens):
                    tokens.append("")
                if label != "O" and tokens:
                    tokens[-1] += character
            tokens = [token.strip() for token in tokens if token.strip()]
            raw = place_tokens(text, [Token(token, 1, True) for token in tokens])
            if raw is None:  # characters were left out
                raw = RawText(text, (), ())
            words = raw.tokens()
            found.append((raw, words, tag([tuple(words)])[0] if words else []))
        return found

    return predict


def rnntext(split: Split, seed: int, options: list[str]) -> Predict:
    """Train with the command, and answer with the library."""
    from rnntext.runtime.tagger import Tagger

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.conllu"
        path.write_text("\n\n".join([*split.train, ""]), "utf-8")
        command = [*tagging.RNNTEXT, "train", "tag", str(path), "-o", f"{folder}/model"]
        subprocess.run([*command, "--quiet", "--seed", str(seed), *options],
                       check=True, stdout=subprocess.PIPE)  # fmt: skip
        tagger = Tagger.load(Path(folder) / "model")

    def predict(texts: list[str]) -> list[Answer]:
        found = []
        for each in tagger.tag(texts):
            assert each.raw is not None
            found.append((each.raw, each.words, each.tags))
        return found

    return predict


if __name__ == "__main__":
    main()
