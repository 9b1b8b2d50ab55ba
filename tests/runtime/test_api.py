"""`rnntext.load`: its results are those of the commands, and it imports only what it needs."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import rnntext
from rnntext import checkpoint
from rnntext.errors import CheckpointError, UsageError
from rnntext.runtime.api import Runtime
from rnntext.runtime.generate import GenerationOptions, stream
from rnntext.runtime.language_model import LanguageModel
from rnntext.runtime.sampling import SamplingOptions
from tests.conftest import CORPORA, Shell, environment

SAMPLE = "naïve café 你好 🙂"
STORIES = (CORPORA / "stories.txt").read_text("utf-8").split("\n")
TEXTS = [SAMPLE, "", "The heron counted the boats.", *STORIES[1:40], "x"]
# Every method: the task that has it, and its arguments.
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "classify": ("classify", {}),
    "tag": ("tag", {}),
    "generate": ("lm", {"seed": 4, "length": 9}),
    "score": ("lm", {"words": True}),
}


@pytest.fixture
def models(lm: Path, classifier: Path, tagger: Path) -> dict[str, Runtime]:
    directories = {"lm": lm, "classify": classifier, "tag": tagger}
    return {task: rnntext.load(path, threads=1) for task, path in directories.items()}


def lines(texts: list[str]) -> bytes:
    return "".join(f"{text}\n" for text in texts).encode()


# Results


def test_labels_are_those_of_the_command(
    run: Shell, classifier: Path, models: dict[str, Runtime]
) -> None:
    wanted = run("classify", "-m", classifier, "--json", stdin=lines(TEXTS)).done().objects
    found = models["classify"].classify(TEXTS)
    assert [answer.text for answer in found] == TEXTS
    for answer, line in zip(found, wanted, strict=True):
        assert answer.label == line["label"]
        assert answer.probability == pytest.approx(line["probability"], abs=2e-6)
        assert list(answer.labels) == list(line["labels"])
        assert answer.labels == pytest.approx(line["labels"], abs=2e-6)


@pytest.mark.parametrize("pretokenized", [False, True])
def test_tags_are_those_of_the_command(
    pretokenized: bool, run: Shell, tagger: Path, models: dict[str, Runtime]
) -> None:
    option = ["--pretokenized"] * pretokenized
    wanted = run("tag", "-m", tagger, "--json", *option, stdin=lines(TEXTS)).done().objects
    found = models["tag"].tag(TEXTS, pretokenized=pretokenized)
    for answer, line in zip(found, wanted, strict=True):
        assert (answer.text, answer.words) == (line["text"], line["words"])
        assert answer.tags == line["tags"]
        assert answer.probabilities == pytest.approx(line["probabilities"], abs=2e-6)


@pytest.mark.parametrize("carry", [False, True])
def test_scores_are_those_of_the_command(
    carry: bool, run: Shell, lm: Path, models: dict[str, Runtime]
) -> None:
    option = ("--state", "carry" if carry else "reset")
    args = ("score", "-m", lm, "--json", "--words", *option)
    wanted = run(*args, stdin=lines(TEXTS)).done().objects
    found = models["lm"].score(TEXTS, words=True, carry=carry)
    for answer, line in zip(found, wanted, strict=True):
        assert (answer.text, answer.tokens) == (line["text"], line["tokens"])
        assert answer.bits == pytest.approx(line["bits"], abs=2e-6)
        assert answer.perplexity == pytest.approx(line["perplexity"], rel=1e-6)
        assert answer.bits_per_byte == pytest.approx(line["bits_per_byte"], abs=2e-6)
        assert answer.words is not None
        assert [w.word for w in answer.words] == [w["word"] for w in line["words"]]
    assert models["lm"].score(TEXTS)[0].words is None
    # No state is carried from call to call.
    assert models["lm"].score(TEXTS, words=True, carry=carry) == found


def test_texts_are_those_of_the_command(run: Shell, lm: Path, models: dict[str, Runtime]) -> None:
    model = models["lm"]
    args = ("generate", "-m", lm, "--json", "--seed", "4", "--num-samples", "2")
    given = ("-n", "15", "--temperature", "1.1", "--top-k", "50", "--top-p", "0.9", "--min-p")
    more = ("0.01", "--repetition-penalty", "1.3", "--stop", "e")
    wanted = run(*args, *given, *more, "The heron").done().objects
    found = model.generate(
        ["The heron"],
        length=15,
        temperature=1.1,
        top_k=50,
        top_p=0.9,
        min_p=0.01,
        repetition_penalty=1.3,
        num_samples=2,
        stop=["e"],
        seed=4,
    )
    assert [
        {
            "prompt": answer.prompt,
            "text": answer.text,
            "tokens": answer.tokens,
            "finish_reason": answer.finish_reason,
        }
        for answer in found
    ] == wanted
    # The defaults are those of the command line.
    (plain,) = run("generate", "-m", lm, "--json", "--seed", "4", "x").done().objects
    assert model.generate(["x"], seed=4)[0].text == plain["text"]
    by_line = run("generate", "-m", lm, "--json", "--seed", "4", "--record", "line", stdin=b"x\n")
    (line,) = model.generate(["x"], seed=4, single_line=True)
    assert line.text == by_line.done().objects[0]["text"]
    assert len({model.generate()[0].text for _ in range(3)}) == 3


def test_options_that_are_left_out(models: dict[str, Runtime]) -> None:
    model, texts = models["lm"], ["The heron cou", "the boat"]
    assert model.predict(texts) == model.predict(texts, top_k=5, complete=False)
    assert model.predict(texts) != model.predict(texts, top_k=5, complete=True)
    assert model.score(texts) == model.score(texts, words=False, carry=False)
    assert model.score(texts) != model.score(texts, words=False, carry=True)
    one = {"temperature": 0.8, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0}
    assert model.generate(texts, seed=1, length=9) == (
        model.generate(texts, seed=1, length=9, num_samples=1, stop=(), single_line=False, **one)
    )


def test_a_stream_is_the_text_in_pieces(models: dict[str, Runtime]) -> None:
    options = GenerationOptions(20, SamplingOptions(temperature=0.8), seed=4)
    pieces = list(models["lm"].stream("The heron", options))
    wanted = stream(LanguageModel.load(models["lm"].directory), ["The heron"], options)
    assert pieces == [piece.text for _, piece in wanted]
    (whole,) = models["lm"].generate(["The heron"], length=20, seed=4)
    assert "".join(pieces) == whole.text
    first = next(iter(models["lm"].stream("The heron")))
    assert isinstance(first, str)


@pytest.mark.parametrize("task", ["lm", "classify", "tag"])
def test_vectors_are_those_of_the_command(
    task: str, run: Shell, models: dict[str, Runtime], tmp_path: Path
) -> None:
    model = models[task]
    found = model.embed(TEXTS)
    wanted = run("embed", "-m", model.directory, stdin=lines(TEXTS)).done().lines
    assert found.shape == (len(TEXTS), model.config.encoder.output_size)
    for vector, line in zip(found.tolist(), wanted, strict=True):
        assert vector == pytest.approx([float(number) for number in line.split("\t")], abs=2e-6)
    assert model.embed([]).shape == (0, model.config.encoder.output_size)
    assert (pickle.loads(pickle.dumps(model)).embed(TEXTS) == found).all()  # noqa: S301
    assert (model.embed(TEXTS, pool="max") >= found).all()
    with pytest.raises(UsageError, match="mean, max, last"):
        model.embed(["a"], pool="sum")
    with pytest.raises(TypeError, match="not one text"):
        model.embed("a")
    directory = tmp_path / "model"
    shutil.copytree(model.directory, directory)
    kept = rnntext.load(directory)
    shutil.rmtree(directory)
    assert (kept.embed(TEXTS) == found).all()


# Attributes and errors


def test_a_model_says_what_it_is(models: dict[str, Runtime], classifier: Path) -> None:
    for task, model in models.items():
        assert model.task == model.config.task == task
    assert models["classify"].config.labels == ("neg", "pos")
    model = rnntext.load(str(classifier))
    assert repr(model) == f"<classifier {classifier.absolute()}>"
    assert model.directory == classifier.absolute()


@pytest.mark.parametrize("task", ["lm", "classify", "tag"])
def test_a_method_of_another_task(task: str, models: dict[str, Runtime]) -> None:
    names = {"lm": "language model", "classify": "classifier", "tag": "tagger"}
    model = models[task]
    for method, (needed, options) in METHODS.items():
        if needed != task:
            message = f"is a {names[task]}, and this needs a {names[needed]}"
            with pytest.raises(UsageError, match=message) as caught:
                getattr(model, method)(["a"], **options)
            assert str(model.directory) in str(caught.value)
        with pytest.raises(TypeError, match="a list of texts, not one text"):
            getattr(model, method)("a", **options)
    if task != "lm":
        with pytest.raises(UsageError, match="needs a language model"):
            next(model.stream("a"))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (None, "[2] is None, not a text: make it a string, or leave it out"),
        (7, "[2] is 7, of type int, not a text"),
        (float("nan"), "[2] is nan, of type float, not a text"),
        (b"a", "[2] is b'a', of type bytes, not a text"),
        (["a" * 100], "[2] is ['" + "a" * 58 + ", of type list, not a text"),
    ],
)
def test_what_is_no_text_is_named_by_its_place(
    bad: object, message: str, models: dict[str, Runtime]
) -> None:
    for method, (task, options) in METHODS.items():
        with pytest.raises(TypeError) as caught:
            getattr(models[task], method)(["a", "", bad], **options)
        name = "prompts" if method == "generate" else "texts"
        assert str(caught.value).startswith(name + message)


def test_texts_may_come_from_a_generator(models: dict[str, Runtime]) -> None:
    texts = ["a", "b c"]
    found = models["classify"].classify(text for text in texts)  # type: ignore[arg-type]
    assert found == models["classify"].classify(texts)


def test_options_that_cannot_be(models: dict[str, Runtime]) -> None:
    for options in ({"temperature": -1}, {"top_p": 2}, {"length": -1}, {"stop": [""]}):
        with pytest.raises(UsageError, match="--"):
            models["lm"].generate(["a"], **options)  # type: ignore[arg-type]


def test_no_texts(models: dict[str, Runtime]) -> None:
    for method, (task, options) in METHODS.items():
        assert getattr(models[task], method)([], **options) == []
        assert len(getattr(models[task], method)(("a", "b"), **options)) == 2


def test_what_is_no_model(tmp_path: Path) -> None:
    for name in (tmp_path / "none", str(tmp_path)):
        with pytest.raises(CheckpointError):
            rnntext.load(name)


# Sharing


def test_a_pickled_model_is_loaded_again(
    lm: Path, models: dict[str, Runtime], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for method, (task, options) in METHODS.items():
        again = pickle.loads(pickle.dumps(models[task]))  # noqa: S301
        assert (again.task, again.directory) == (task, models[task].directory)
        assert getattr(again, method)(TEXTS, **options) == (
            getattr(models[task], method)(TEXTS, **options)
        )
    # The pickle holds an absolute path, so that it can be read in another directory.
    monkeypatch.chdir(lm.parent)
    data = pickle.dumps(rnntext.load(lm.name))
    assert len(data) < 1000
    monkeypatch.chdir(tmp_path)
    assert pickle.loads(data).directory == lm.absolute()  # noqa: S301


def test_a_pickle_is_not_read_as_another_model(lm: Path, classifier: Path, tmp_path: Path) -> None:
    directory = tmp_path / "model"
    shutil.copytree(lm, directory)
    data = pickle.dumps(rnntext.load(directory))
    shutil.rmtree(directory)
    shutil.copytree(classifier, directory)
    with pytest.raises(CheckpointError, match="holds another model than the one that was pickled"):
        pickle.loads(data)  # noqa: S301


@pytest.mark.parametrize("name", METHODS)
def test_a_model_stays_what_it_was_when_its_directory_gets_another(
    name: str, lm: Path, classifier: Path, tagger: Path, tmp_path: Path
) -> None:
    task, options = METHODS[name]
    if name == "score":  # this runs the graph in a second session
        options = {**options, "carry": True}
    directory = tmp_path / "model"
    shutil.copytree({"lm": lm, "classify": classifier, "tag": tagger}[task], directory)
    wanted = getattr(rnntext.load(directory), name)(TEXTS, **options)
    model = rnntext.load(directory)
    found = checkpoint.load(directory)
    files = dict.fromkeys(found.config["files"], b"another")
    checkpoint.save(directory, files, found.config, force=True)
    assert getattr(model, name)(TEXTS, **options) == wanted


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_may_share_a_model(threads: int, lm: Path, classifier: Path, tagger: Path) -> None:
    for method, (task, options) in METHODS.items():
        directory = {"lm": lm, "classify": classifier, "tag": tagger}[task]
        model = rnntext.load(directory, threads=threads)
        shares = [TEXTS[start::4] for start in range(4)] * 3
        wanted = [getattr(model, method)(share, **options) for share in shares]
        with ThreadPoolExecutor(4) as pool:
            calls = [pool.submit(getattr(model, method), share, **options) for share in shares]
            assert [call.result() for call in calls] == wanted


# Imports

IMPORTED = """
import json, sys
import rnntext
seen = [sorted(sys.modules)]
assert rnntext.__version__
model = rnntext.load(sys.argv[1])
assert model.classify(["a"])[0].label in model.config.labels
seen.append(sorted(sys.modules))
print(json.dumps(seen))
"""


def test_nothing_is_imported_until_it_is_needed(classifier: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", IMPORTED, str(classifier)],
        capture_output=True,
        env=environment(),
        timeout=60,
        check=True,
    )
    assert found.stderr == b""
    before, after = map(set, json.loads(found.stdout))
    assert {"numpy", "onnxruntime", "tokenizers"} <= after
    assert not {"numpy", "onnxruntime", "tokenizers"} & before
    assert {name for name in before if name.startswith("rnntext")} == {"rnntext"}
    for name in ("torch", "onnx", "typer", "rich", "datasets", "safetensors.torch"):
        assert name not in after, name


def test_there_is_nothing_else() -> None:
    with pytest.raises(AttributeError, match="module 'rnntext' has no attribute 'unload'"):
        rnntext.unload  # noqa: B018
    assert not hasattr(rnntext, "Runtime")
    functions = ["evaluate", "export", "load", "train", "train_events"]
    assert rnntext.__all__ == ["Exported", "__version__", *functions]
