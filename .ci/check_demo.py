"""Checks the output of `rnntext demo`, which comes on standard input: each model at work.

Knows: which commands the demo shows and what an answer of each looks like. Does not know: what
a model says, which depends on the processor and the time.
"""

import re
import sys

UPOS = "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X"
TASKS = {"lm": "perplexity", "classify": "accuracy", "tag": "accuracy"}

shown: list[tuple[str, list[str]]] = []  # each command, and the lines that follow it
for line in sys.stdin.read().splitlines():
    if line.startswith("  $ rnntext "):
        shown.append((line.removeprefix("  $ rnntext "), []))
    elif shown and line.startswith("  "):
        shown[-1][1].append(line[2:])

names = [command.split()[0] for command, _ in shown]
assert names == ["train", "generate", "generate", "train", "classify", "train", "tag"], names

trained = []
for command, lines in shown:
    name, *arguments = command.split()
    if name == "train":
        trained.append(arguments[0])
        result = rf"{TASKS[arguments[0]]} \d+\.\d%? on text it has not seen"
        assert [re.fullmatch(result, line) is not None for line in lines] == [True], lines
    elif name == "generate":
        prompt = command.split('"')[1]
        text = "\n".join(lines)
        assert text.startswith(prompt), text
        assert len(text) > len(prompt) + 20, text
    elif name == "classify":
        assert len(lines) == 4, lines
        for label, probability, text in (line.split("\t") for line in lines):
            assert label in ("neg", "pos"), label
            assert 0.5 <= float(probability) <= 1, probability
            assert " " in text, text
    else:
        assert len(lines) == 2, lines
        pairs = [pair.rsplit("/", 1) for line in lines for pair in line.split()]
        assert len(pairs) > 20, pairs
        assert all(word and tag in UPOS.split() for word, tag in pairs), pairs
assert trained == list(TASKS), trained
print("the demo shows its three models at work")
