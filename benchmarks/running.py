"""Running trained models, compared with a plain PyTorch implementation of the same networks with
the same weights, and with fastText: start-up, generation, classification, tagging, scoring.

    python benchmarks/running.py DATA MODELS [SECTION...]

The sections are startup, generation, classification, tagging and scoring; without a section all of
them run. DATA holds ptb/train.txt, ptb/valid.txt, sst2/train.tsv (columns label, text),
ewt/train.conllu and ewt/dev.conllu. Models that MODELS lacks are trained and saved
there, for a short time only, because speed does not depend on quality. fastText's row needs the
package `fasttext`.

Each round measures every implementation once, and the table gives medians over the rounds. A pause
precedes each measurement, because PyTorch's threads keep spinning after their work. PyTorch runs
eagerly under inference_mode with as many threads as rnntext.
"""

from __future__ import annotations

import importlib.util
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnntext.config import usable_cores
from rnntext.runtime.classifier import Classifier
from rnntext.runtime.generate import Generation, GenerationOptions, generate
from rnntext.runtime.language_model import LanguageModel
from rnntext.runtime.model import open_model
from rnntext.runtime.sampling import SamplingOptions
from rnntext.runtime.tagger import Tagger
from rnntext.text.batches import pad
from rnntext.text.formats import DataOptions
from rnntext.text.tagged import read_tagged

ROUNDS = 7
PAUSE = 0.3  # seconds
PROCESSES = 11
ROWS = 64  # of PyTorch's batches
TOKENS = 300  # generated
TEMPERATURE = 0.8
RNNTEXT = [sys.executable, "-m", "rnntext"]
Work = Callable[[], object]


def main(data: Path, models: Path, *sections: str) -> None:
    """Print the table, or only the named sections of it."""
    torch.set_num_threads(usable_cores())
    train_models(data, models)
    print(f"{'':34} {'':>16} {'':>12} {'ratio':>8}")
    work: dict[str, Work] = {
        "startup": partial(startup, models),
        "generation": partial(generation, models),
        "classification": partial(classification, data, models),
        "tagging": partial(tagging, data, models),
        "scoring": partial(scoring, data, models),
    }
    for section in sections or work:
        work[section]()


def train_models(data: Path, models: Path) -> None:
    """Train the models that are missing, in float32 and in int8."""
    words = [data / "ptb/train.txt", "--tokenizer", "word", "--preset", "small", "--steps", "300"]
    sentences = [data / "sst2/train.tsv", "--preset", "small", "--epochs", "3"]
    tagged = [data / "ewt/train.conllu", "--preset", "small", "--epochs", "1"]
    for task, given in (("lm", words), ("classify", sentences), ("tag", tagged)):
        plain, int8 = models / task, models / f"{task}-int8"
        if not plain.exists():
            command("train", task, *given, "-o", plain, "-q")
        if not int8.exists():
            subprocess.run(["cp", "-r", plain, int8], check=True)
            command("export", int8, "--int8", "-q")


def command(*arguments: object) -> None:
    """Run a command of rnntext and discard its output."""
    line = [*RNNTEXT, *map(str, arguments)]
    subprocess.run(line, stdout=subprocess.DEVNULL, check=True)


def startup(models: Path) -> None:
    """Wall time of whole processes."""
    classify = [*RNNTEXT, "classify", "-m", str(models / "classify")]
    words = "import os, sys; os.environ.update(_RNNTEXT_COMPLETE='complete_bash', "
    words += "COMP_WORDS='rnntext cl', COMP_CWORD='1'); sys.argv = ['rnntext']; "
    complete = [sys.executable, "-c", words + "from rnntext.__main__ import main; main()"]
    processes = {
        "import torch": [sys.executable, "-c", "import torch"],
        "rnntext --help": [*RNNTEXT, "--help"],
        "rnntext classify --help": [*RNNTEXT, "classify", "--help"],
        "shell completion": complete,
        "one line classified": classify,
        "one line classified, int8": [*classify[:-1], str(models / "classify-int8")],
    }
    seconds: dict[str, list[float]] = {name: [] for name in processes}
    for number in range(PROCESSES + 1):
        for name, line in processes.items():
            started = time.perf_counter()
            subprocess.run(line, input=b"not good\n", stdout=subprocess.DEVNULL, check=False)
            if number:  # the first round fills the file cache
                seconds[name].append(time.perf_counter() - started)
    whole = statistics.median(seconds["import torch"])
    for name, measured in seconds.items():
        median = statistics.median(measured)
        row("start-up: " + name, f"{median:.3f} s", median / whole, "of import torch")


def generation(models: Path) -> None:
    """Tokens a second, for a batch of one text and of sixteen."""
    peer = PlainLanguageModel(models / "lm")
    for rows in (1, 16):
        options = GenerationOptions(TOKENS, SamplingOptions(TEMPERATURE), seed=1)
        work: dict[str, Work] = {"PyTorch": partial(peer.generate, rows)}
        for name in ("lm", "lm-int8"):
            model = LanguageModel.load(models / name, intra_op=True)
            work[name] = partial(texts_of, model, options, rows)
        compare(f"generate, {rows} at once", "tokens/s", rows * TOKENS, work)


def texts_of(model: LanguageModel, options: GenerationOptions, samples: int) -> list[Generation]:
    """Generate texts without a prompt."""
    return list(generate(model, [""], options, samples))


def classification(data: Path, models: Path) -> None:
    """Lines a second from text to label, including tokenization."""
    lines = (data / "sst2/train.tsv").read_text("utf-8").splitlines()[1:]
    labels, texts = zip(*(line.split("\t", 1) for line in lines), strict=True)
    peer = PlainClassifier(models / "classify")
    work: dict[str, Work] = {
        "PyTorch": partial(peer.classify, texts, packed=False),
        "PyTorch, packed": partial(peer.classify, texts, packed=True),
    }
    for name in ("classify", "classify-int8"):
        work[name] = partial(Classifier.load(models / name).classify, texts)
    if importlib.util.find_spec("fasttext") is not None:
        work.update(fasttext_of(labels, texts))
    compare("classify SST-2", "lines/s", len(texts), work)


def fasttext_of(labels: tuple[str, ...], texts: tuple[str, ...]) -> dict[str, Work]:
    """fastText trained on these lines, with single words and with pairs of words. It classifies
    all lines in one call, and with single words also line by line."""
    import fasttext

    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as file:
        file.writelines(f"__label__{la} {te}\n" for la, te in zip(labels, texts, strict=True))
        file.flush()

        def trained(**options: int) -> Any:
            rate = 0.1
            while True:
                try:
                    return fasttext.train_supervised(file.name, lr=rate, verbose=0, **options)
                except RuntimeError:  # "encountered NaN", which happens now and then
                    rate /= 2

        words, pairs = trained(), trained(wordNgrams=2)

    def one_by_one() -> None:
        # The call inside its `predict`, which fails with NumPy 2.
        for text in texts:
            words.f.predict(text + "\n", 1, 0.0, "strict")

    every = list(texts)
    return {
        "fastText, one call": partial(words.predict, every),
        "fastText, line by line": one_by_one,
        "fastText, pairs, one call": partial(pairs.predict, every),
    }


def tagging(data: Path, models: Path) -> None:
    """Words a second, for raw sentences and for sentences that are split into words."""
    sentences = [list(s.words) for s in read_tagged([str(data / "ewt/dev.conllu")], DataOptions())]
    texts = [" ".join(words) for words in sentences]
    words = sum(map(len, sentences))
    for name in ("tag", "tag-int8"):
        model = Tagger.load(models / name)
        work: dict[str, Work] = {
            name: partial(model.tag_words, sentences),
            f"{name}, raw text": partial(model.tag, texts),
        }
        compare("tag EWT", "words/s", words, work)


def scoring(data: Path, models: Path) -> None:
    """Tokens a second, for separate lines and for one text with the hidden state carried."""
    lines = (data / "ptb/valid.txt").read_text("utf-8").splitlines()
    peer = PlainLanguageModel(models / "lm")
    model = LanguageModel.load(models / "lm")
    ids = model.tokenizer.encode_lines(lines)
    whole = np.concatenate(ids)
    apart: dict[str, Work] = {"PyTorch": partial(peer.score_lines, ids)}
    carried: dict[str, Work] = {"PyTorch": partial(peer.score, whole)}
    for name in ("lm", "lm-int8"):
        apart[name] = partial(LanguageModel.load(models / name).score, ids)
        walking = LanguageModel.load(models / name, intra_op=True)
        carried[name] = partial(carried_score, walking, whole)
    compare("score PTB valid, lines", "tokens/s", len(whole), apart, rounds=3)
    compare("score PTB valid, carried", "tokens/s", len(whole), carried, rounds=3)


def carried_score(model: LanguageModel, ids: NDArray[np.int32]) -> float:
    """Return the log-probability of one text."""
    return sum(float(piece.scores.sum()) for piece in model.score_documents([ids]))


def compare(
    title: str, unit: str, amount: int, work: dict[str, Work], rounds: int = ROUNDS
) -> None:
    """Time every piece of work in each round, and print the median rates."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for number in range(rounds + 1):
        for name, piece in work.items():
            time.sleep(PAUSE)
            started = time.perf_counter()
            piece()
            if number:
                seconds[name].append(time.perf_counter() - started)
    speed = {name: amount / statistics.median(measured) for name, measured in seconds.items()}
    first = next(iter(speed))
    for name, value in speed.items():
        row(f"{title}: {name}", f"{value:,.0f} {unit}", value / speed[first], f"of {first}")


def row(name: str, value: str, ratio: float, of: str) -> None:
    """Print a line of the table."""
    print(f"{name:42} {value:>18} {ratio:8.2f} {of}", flush=True)


def plain_lstm(weights: dict[str, Tensor]) -> nn.LSTM:
    """Return PyTorch's stacked LSTM with the weights of an encoder."""
    first = weights["encoder.layers.0.forward_cell.weight_ih_l0"]
    layers = 1 + max(int(n.split(".")[2]) for n in weights if n.startswith("encoder.layers."))
    both = "encoder.layers.0.backward_cell.weight_ih_l0" in weights
    lstm = nn.LSTM(first.shape[1], first.shape[0] // 4, layers, bidirectional=both)
    state = {}
    for layer in range(layers):
        for direction, suffix in (("forward", ""), ("backward", "_reverse"))[: 1 + both]:
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                source = f"encoder.layers.{layer}.{direction}_cell.{name}_l0"
                state[f"{name}_l{layer}{suffix}"] = weights[source]
    lstm.load_state_dict(state)
    return lstm


class PlainLanguageModel:
    """A plain PyTorch language model."""

    def __init__(self, directory: Path) -> None:
        weights = load_file(directory / "model.safetensors")
        self.lstm = plain_lstm(weights)
        self.embedding = weights["encoder.embedding.weight"]
        self.bias = weights["head.bias"]

    @torch.inference_mode()
    def generate(self, rows: int) -> Tensor:
        ids = torch.zeros(1, rows, dtype=torch.long)  # (T, B)
        state = None
        produced = []
        for _ in range(TOKENS):
            states, state = self.lstm(nn.functional.embedding(ids, self.embedding), state)
            logits = torch.addmm(self.bias, states[0], self.embedding.t())  # (B, V)
            ids = torch.multinomial((logits / TEMPERATURE).softmax(1), 1).t()
            produced.append(ids)
        return torch.cat(produced)

    @torch.inference_mode()
    def score(self, ids: NDArray[np.int32], steps: int = 512) -> float:
        inputs = torch.from_numpy(np.concatenate([[0], ids[:-1]])).long()
        targets = torch.from_numpy(ids).long()
        state = None
        total = 0.0
        for start in range(0, len(ids), steps):
            x = nn.functional.embedding(inputs[start : start + steps, None], self.embedding)
            states, state = self.lstm(x, state)
            logits = torch.addmm(self.bias, states[:, 0], self.embedding.t())
            target = targets[start : start + steps]
            total += float(nn.functional.cross_entropy(logits, target, reduction="sum"))
        return total

    @torch.inference_mode()
    def score_lines(self, lines: list[NDArray[np.int32]]) -> float:
        total = 0.0
        for start in range(0, len(lines), ROWS):
            targets, lengths = pad(lines[start : start + ROWS])
            inputs = np.concatenate([np.zeros((len(targets), 1), int), targets[:, :-1]], axis=1)
            x = nn.functional.embedding(torch.from_numpy(inputs).t(), self.embedding)
            states, _ = self.lstm(x)
            real = torch.arange(targets.shape[1])[:, None] < torch.from_numpy(lengths)
            logits = torch.addmm(self.bias, states[real], self.embedding.t())
            target = torch.from_numpy(targets).t()[real]
            total += float(nn.functional.cross_entropy(logits, target, reduction="sum"))
        return total


class PlainClassifier:
    """A plain PyTorch classifier: batches in order, padded, and optionally packed."""

    def __init__(self, directory: Path) -> None:
        weights = load_file(directory / "model.safetensors")
        self.tokenizer = open_model(directory).tokenizer
        self.lstm = plain_lstm(weights)
        self.embedding = weights["encoder.embedding.weight"]
        self.weight, self.bias = weights["head.output.weight"], weights["head.output.bias"]

    @torch.inference_mode()
    def classify(self, texts: tuple[str, ...], *, packed: bool) -> list[list[float]]:
        results = []
        encoded = self.tokenizer.encode(texts)
        hidden = self.lstm.hidden_size
        for start in range(0, len(encoded), ROWS):
            ids, sizes = pad(encoded[start : start + ROWS])
            lengths = torch.from_numpy(sizes).long()
            x = nn.functional.embedding(torch.from_numpy(ids).t(), self.embedding)  # (T, B, E)
            if packed:
                part = pack_padded_sequence(x, lengths, enforce_sorted=False)
                states, _ = pad_packed_sequence(self.lstm(part)[0])
            else:
                states, _ = self.lstm(x)
            valid = (torch.arange(len(x))[:, None] < lengths)[..., None]
            last = states[lengths - 1, torch.arange(len(lengths))]
            last = torch.cat([last[:, :hidden], states[0, :, hidden:]], dim=1)
            largest = states.masked_fill(~valid, -1e4).amax(0)
            mean = states.masked_fill(~valid, 0).sum(0) / lengths[:, None]
            logits = torch.cat([last, largest, mean], dim=1) @ self.weight.t() + self.bias
            results += logits.softmax(1).tolist()
        return results


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
