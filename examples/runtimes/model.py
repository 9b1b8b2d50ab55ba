"""Runs a model that `rnntext export DIR -o model.onnx` wrote, without rnntext: see docs/onnx.md.

    python examples/runtimes/model.py model.onnx "A warm and funny book."
    python examples/runtimes/model.py model.onnx < texts.jsonl

Needs onnxruntime, tokenizers and numpy. Without texts it reads JSON strings from standard input,
one a line; it prints a JSON object for each text. One text at a time, for the sake of clarity: the
graph itself takes batches.

Knows: tokens, windows and states. Does not know: paths through a sentence (crf.py), the linear
halves (linear.py), how raw text is split where that was learned (splitter.py), nor anything of one
model, which is all in the sidecar model.json.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import tokenizers
from crf import marginals, softmax, viterbi
from linear import TextScores, WordScores
from splitter import Splitter

WINDOW = 256  # tokens of a language model's window; any size gives the same answers


class Model:
    """A language model (`score`, `next_token`), a classifier (`classify`) or a tagger (`tag`)."""

    def __init__(self, path):
        path = Path(path)
        graph, sidecar = (
            path.read_bytes(),
            path.with_name(path.name.removesuffix(".onnx") + ".json"),
        )
        about = json.loads(sidecar.read_text("utf-8"))
        if about["format"] != "rnntext-model" or about["version"] not in (1, 2):
            raise SystemExit(f"{sidecar} is not of a version that is known here")
        if about["graph"]["sha256"] != hashlib.sha256(graph).hexdigest():
            raise SystemExit(f"{path} and {sidecar} are of two exports: export the model again")
        self.about, self.task, self.labels = about, about["task"], about["labels"]
        self.settings = about["tokenizer"]
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(graph, options)
        self.tokenizer = tokenizers.Tokenizer.from_str(json.dumps(self.settings["json"]))
        self.rule = tokenizers.pre_tokenizers.Split(
            tokenizers.Regex(about["word_pattern"]), "removed", invert=True
        )
        learned = about.get("splitter")
        self.splitter = Splitter(learned) if learned else None
        self.linear = None
        if about["linear"]:
            of_words = self.task == "tag"
            section = about["linear"]
            self.linear = WordScores(section) if of_words else TextScores(section, len(self.labels))

    # Text to ids

    def line(self, line):
        """The ids of one line, without its end."""
        text = self.settings["prefix"] + line
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def ids(self, text):
        """The ids of a text: each line by itself, the end of a line between."""
        first, *others = text.split("\n")
        found = self.line(first)
        for line in others:
            found += [self.settings["line_end"], *self.line(line)]
        return found

    def word(self, word):
        """The ids of a tagger's word, at least one and at most `max_word_tokens`."""
        if self.settings["kind"] == "word" and not self.settings["presplit"]:
            lower = tokenizers.normalizers.Lowercase().normalize_str
            found = self.tokenizer.token_to_id(lower(word) if self.settings["lowercase"] else word)
            return [self.about["empty"] if found is None else found]
        found, most = self.line(word), self.settings["max_word_tokens"]
        if len(found) > most:
            found = found[: most // 2] + found[-most // 2 :]
        return found or [self.about["empty"]]

    # The graph

    def state(self):
        """What has been read before the first token. Empty for a bidirectional model."""
        return {
            name: np.full(part["shape"], part["value"], np.float32)
            for name, part in self.about["state"].items()
        }

    def run(self, outputs, ids, state, **more):
        """Read some ids. Return the outputs and the state after them."""
        feeds = {"ids": np.array([ids], np.int64), "lengths": np.array([len(ids)], np.int32)}
        feeds.update({name: np.array(value, np.int64) for name, value in more.items()})
        names = [*outputs, *(f"next_{name}" for name in state)]
        found = self.session.run(names, {**feeds, **state})
        return found[: len(outputs)], dict(zip(state, found[len(outputs) :], strict=True))

    # A classifier

    def classify(self, text):
        """The probability of each label."""
        ids = self.ids(text) or [self.about["empty"]]
        size, state, logits = self.about["max_length"], self.state(), 0.0
        for start in range(0, len(ids), size):
            window = ids[start : start + size]
            (found,), state = self.run(["logits"], window, state)
            # The state of the last window knows of all others; without a state, a weighted mean.
            logits = found[0] if state else logits + found[0] * (len(window) / len(ids))
        if self.linear:
            logits = logits + self.linear.logits(text)
        if self.about["multi_label"]:
            found = [1 / (1 + math.exp(-logit)) if logit > -700 else 0.0 for logit in logits]
        else:
            found = softmax(logits).tolist()
        return dict(zip(self.labels, map(float, found), strict=True))

    # A language model

    def score(self, text):
        """The surprisal of a text and of the end of its last line, in bits."""
        targets = [*self.ids(text), self.settings["line_end"]]
        inputs = [self.settings["line_end"], *targets[:-1]]
        state, nats = self.state(), 0.0
        for start in range(0, len(targets), WINDOW):
            part = slice(start, start + WINDOW)
            asked = {"scored": range(len(targets[part])), "targets": targets[part], "positions": []}
            (found,), state = self.run(["log_probabilities"], inputs[part], state, **asked)
            nats -= float(found.sum(dtype=np.float64))
        unknown = targets.count(self.settings["unknown"])
        perplexity = math.exp(min(nats / len(targets), 700))
        bits = nats / math.log(2)
        return {
            "bits": bits,
            "tokens": len(targets),
            "unknown": unknown,
            "perplexity": perplexity,
        }

    def next_token(self, prompt):
        """The probability of each token of the vocabulary to follow a prompt: (V)."""
        ids = self.ids(prompt)
        if prompt == "" or prompt.endswith("\n"):
            # Of a line that has not begun nothing is read, not even the prefix.
            ids = ids[: len(ids) - len(self.line(""))]
        ids, state = [self.settings["line_end"], *ids], self.state()
        for start in range(0, len(ids), WINDOW):
            window = ids[start : start + WINDOW]
            asked = {"positions": [len(window) - 1], "scored": [], "targets": []}
            (logits,), state = self.run(["logits"], window, state, **asked)
        return softmax(logits[0])

    # A tagger

    def split(self, text):
        """The words of a raw sentence: as was learned, else by the rule."""
        if self.splitter:
            return self.splitter.words(text)
        return [word for word, _ in self.rule.pre_tokenize_str(text)]

    def tag(self, words):
        """The tag of each word and its probability. `words`: a list, or a text to be split."""
        words = self.split(words) if isinstance(words, str) else words
        tags, probabilities, state = [], [], self.state()
        for some, tokens in self.pieces(words):
            ends = np.cumsum([len(before) + len(word) for before, word in tokens])
            first = ends - [len(word) for _, word in tokens]
            ids = [token for before, word in tokens for token in (*before, *word)]
            names = ["emissions", *self.about["path_scores"]]
            found, state = self.run(names, ids, state, first=first, last=ends - 1)
            emissions, *paths = [scores.astype(float) for scores in found]
            if self.linear:
                emissions = emissions + self.linear.emissions(some)
                paths = [a + b for a, b in zip(paths, self.linear.path_scores(), strict=True)]
            # Without scores of paths each tag is chosen by itself.
            path = viterbi(emissions, *paths) if paths else emissions.argmax(axis=1)
            likely = marginals(emissions, *paths) if paths else softmax(emissions)
            tags += [self.labels[label] for label in path]
            probabilities += [float(row[label]) for row, label in zip(likely, path, strict=True)]
        return {"words": list(words), "tags": tags, "probabilities": probabilities}

    def pieces(self, words):
        """Divide a sentence between words into pieces of at most `max_length` tokens. Yield the
        words of each, and of each word the ids between it and the one before, and its own."""
        some, tokens, size = [], [], 0
        for number, word in enumerate(words):
            before = self.settings["between_words"] if number else []
            own = self.word(word)
            if some and size + len(before) + len(own) > self.about["max_length"]:
                yield some, tokens
                some, tokens, size = [], [], 0
            some.append(word)
            tokens.append((before, own))
            size += len(before) + len(own)
        if some:
            yield some, tokens


def main():
    name, *texts = sys.argv[1:]
    model = Model(name)
    answer = {"classify": model.classify, "lm": model.score, "tag": model.tag}[model.task]
    for text in texts or (json.loads(line) for line in sys.stdin):
        print(json.dumps(answer(text), ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
