"""Checks the output of `rnntext demo`, which comes on standard input: each model at work.

    rnntext demo | python .ci/check_demo.py packaged
    rnntext demo --train | python .ci/check_demo.py trained

Knows: which commands the demo shows and what an answer of each looks like. Does not know: what
a model says, which depends on the processor and the time.
"""

import re
import sys

UPOS = "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X"
TASKS = {"lm": "perplexity", "classify": "accuracy", "tag": "accuracy"}
USES = (["generate"] * 2 + ["predict"], ["classify"] * 4, ["tag"] * 2)

(kind,) = sys.argv[1:]
output = sys.stdin.read()
shown: list[tuple[str, list[str]]] = []  # each command, and the lines that follow it
for line in output.splitlines():
    if line.startswith("  $ rnntext "):
        shown.append((line.removeprefix("  $ rnntext "), []))
    elif shown and line.startswith("  "):
        shown[-1][1].append(line[2:])

training = {"packaged": [], "trained": ["train"]}[kind]
names = [command.split()[0] for command, _ in shown]
assert names == [name for use in USES for name in training + use], names
results = re.findall(r"(\w+) \d+\.\d%? on text it has not seen$", output, re.MULTILINE)
assert results == list(TASKS.values()), results

trained = []
for command, lines in shown:
    name, *arguments = command.split()
    if name == "train":
        trained.append(arguments[0])
        assert lines[0].startswith(TASKS[arguments[0]]), lines
    elif name == "generate":
        prompt = command.split('"')[1]
        text = "\n".join(lines)
        assert text.startswith(prompt), text
        assert len(text) > len(prompt) + 20, text
    elif name == "predict":
        fields = lines[0].split("\t")
        assert len(fields) == 6, lines
        probabilities = [float(field) for field in fields[1::2]]
        assert probabilities == sorted(probabilities, reverse=True), lines
        assert 0 < sum(probabilities) <= 1, lines
    elif name == "classify":
        label, probability = lines[0].split("\t")
        assert label in ("neg", "pos"), label
        assert 0.5 <= float(probability) <= 1, probability
    else:
        pairs = [line.split("\t") for line in lines if "\t" in line]
        assert len(pairs) > 10, pairs
        assert all(word and tag in UPOS.split() for word, tag in pairs), pairs
assert trained == (list(TASKS) if training else []), trained
print("the demo shows its three models at work")
