"""`rnntext export`: a self-contained file, and a directory converted to int8 or float32."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest

from rnntext import checkpoint
from tests.conftest import CORPORA, TINY, Shell
from tests.examples.reference import reference

ONE = ("--threads", "1")
SAMPLE = "naïve café 你好 🙂"
PRAISE, BLAME = "A warm and funny book.", "Dull, and far too long."
TEXTS = [SAMPLE, PRAISE, BLAME]
LABELS = {PRAISE: "pos", BLAME: "neg"}
REVIEWS = CORPORA / "reviews.csv"
DOCUMENTATION = Path(__file__).parents[2] / "docs" / "onnx.md"


@pytest.fixture(scope="module")
def sure_classifier(run: Shell, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of two sentences, which it tells apart with a probability far from 0.5: int8
    or another machine does not change its answers."""
    directory = tmp_path_factory.mktemp("sure")
    rows = (f'"{text} {n}",{label}\n' for n in range(60) for text, label in LABELS.items())
    (directory / "a.csv").write_text("text,label\n" + "".join(rows), "utf-8")
    args = ("train", "classify", directory / "a.csv", "-o", directory / "m", *TINY, 150)
    run(*args, "--seed", 3, "-q").done()
    return directory / "m"


@pytest.fixture
def copied(sure_classifier: Path, tmp_path: Path) -> Path:
    """A classifier that a test may change."""
    return Path(shutil.copytree(sure_classifier, tmp_path / "model"))


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = REVIEWS.read_text("utf-8").splitlines(keepends=True)
    path = tmp_path_factory.mktemp("valid") / "v.csv"
    path.write_text("".join([rows[0], *rows[-80:]]), "utf-8")
    return path


@pytest.fixture(scope="module")
def span_tagger(run: Shell, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tagger of spans, whose metrics are precision, recall and f1, and its data. It has learned
    the tag of each word."""
    directory = tmp_path_factory.mktemp("spans")
    sentences = (f"Ann{n} NNP I-PER\nBo NNP B-PER\nin IN O\nUlm NNP I-LOC\n\n" for n in range(12))
    data = directory / "a.conll"
    data.write_text("".join(sentences), "utf-8")
    args = ("train", "tag", data, "--valid", data, "-o", directory / "m", *TINY, 100, "--seed", 3)
    run(*args, "-q").done()
    return directory / "m", data


def config_of(directory: Path) -> Any:
    return json.loads((directory / "config.json").read_text("utf-8"))


def tree(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}


# One file and its sidecar


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_classifier_elsewhere(
    precision: str, run: Shell, classifier: Path, tmp_path: Path
) -> None:
    path = tmp_path / "x.onnx"
    option = ["--int8"] * (precision == "int8")
    before = tree(classifier)
    facts = run("export", classifier, "-o", path, *option).done().pairs
    assert facts == {
        "file": str(path),
        "precision": precision,
        "bytes": str(path.stat().st_size),
        "sidecar": str(tmp_path / "x.json"),
        "lacks": "ngrams.safetensors",
    }
    assert tree(classifier) == before
    model = reference().Model(path)
    assert model.about["precision"] == precision
    args = ("classify", "-m", classifier, *ONE, "--json")
    wanted = run(*args, *(arg for text in TEXTS for arg in ("--text", text))).done().objects
    for text, answer in zip(TEXTS, wanted, strict=True):
        tolerance = 1e-5 if precision != "int8" else 0.02
        assert model.classify(text) == pytest.approx(answer["labels"], abs=tolerance)


def test_a_language_model_elsewhere(run: Shell, lm: Path, tmp_path: Path) -> None:
    run("export", lm, "-o", tmp_path / "x.onnx", "--float32").done()
    model = reference().Model(tmp_path / "x.onnx")
    assert (model.task, model.labels) == ("lm", [])
    for text in TEXTS:
        (line,) = run("score", "-m", lm, *ONE, "--json", "--text", text).done().objects
        found = model.score(text)
        assert found["tokens"] == line["tokens"]
        assert found["bits"] == pytest.approx(line["bits"], rel=1e-5)


def test_a_tagger_elsewhere(run: Shell, tagger: Path, tmp_path: Path) -> None:
    run("export", tagger, "-o", tmp_path / "x.onnx").done()
    model = reference().Model(tmp_path / "x.onnx")
    assert model.splitter is not None
    for text in ("Mara lit it.", "The gulls were awake", SAMPLE):
        (wanted,) = run("tag", "-m", tagger, *ONE, "--json", "--text", text).done().objects
        found = model.tag(text)
        assert (found["words"], found["tags"]) == (wanted["words"], wanted["tags"])
        assert found["probabilities"] == pytest.approx(wanted["probabilities"], abs=1e-5)


def test_the_file_describes_itself(run: Shell, tagger: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    run("export", tagger, "-o", path).done()
    described = onnx.load(str(path))
    onnx.checker.check_model(described)
    for value in (*described.graph.input, *described.graph.output):
        assert re.search(rf"\b{value.name}\b", described.doc_string)
    about = {entry.key: entry.value for entry in described.metadata_props}
    text = DOCUMENTATION.read_text("utf-8")
    assert set(re.findall(r"^\| `(rnntext\.[a-z_.]+)` \|", text, re.MULTILINE)) == set(about)
    assert about["rnntext.tokenizer.json"] == (tagger / "tokenizer.json").read_text("utf-8")
    # The labels are text, not numbers of characters.
    assert json.loads(about["rnntext.labels"]) == config_of(tagger)["model"]["labels"]


def test_the_documentation_s_commands(run: Shell, classifier: Path, tmp_path: Path) -> None:
    """Word for word, but for where the script is, and JavaScript, which needs its packages."""
    text = DOCUMENTATION.read_text("utf-8")
    (block,) = re.findall("```sh\n(.*?)```", text, re.DOTALL)
    exported, asked = block.splitlines()[:2]
    shutil.copytree(classifier, tmp_path / "sentiment")
    _, *words = shlex.split(exported)
    run(*words, cwd=tmp_path).done()
    _, script, *arguments = shlex.split(asked)
    command = [sys.executable, DOCUMENTATION.parents[1] / script, *arguments]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    args = ("classify", "-m", classifier, *ONE, "--json", "--text", arguments[-1])
    (wanted,) = run(*args).done().objects
    assert json.loads(ran.stdout) == pytest.approx(wanted["labels"], abs=1e-5)


def test_an_existing_file_is_replaced(run: Shell, classifier: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(b"old")
    run("export", classifier, "-o", path, "--json").done()
    assert sorted(os.listdir(tmp_path)) == ["x.json", "x.onnx"]
    one = tree(tmp_path)
    run("export", classifier, "-o", "x.onnx", cwd=tmp_path).done()
    assert tree(tmp_path) == one


def test_another_json_file_is_not_replaced(run: Shell, copied: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text('{"format": "mine"}')
    (tmp_path / "none.json").mkdir()
    os.mkfifo(tmp_path / "pipe.json")
    before = os.listdir(tmp_path)
    for path in (tmp_path / "mine.onnx", tmp_path / "none", tmp_path / "pipe.onnx"):
        sidecar = str(path.with_suffix(".json"))
        run("export", copied, "-o", path).failed(2, sidecar, "is there and is none of rnntext's")
    run("export", copied, "-o", copied / "config.onnx").failed(2, "config.json")
    assert os.listdir(tmp_path) == before
    assert (tmp_path / "mine.json").read_text() == '{"format": "mine"}'
    # A name that ends in .json is that of the graph.
    run("export", copied, "-o", tmp_path / "x.json").done()
    assert (tmp_path / "x.json.json").is_file()


def test_a_device_has_no_sidecar(run: Shell, classifier: Path) -> None:
    (facts,) = run("export", classifier, "-o", "/dev/null", "--json").done().objects
    assert "sidecar" not in facts
    assert not Path("/dev/null.json").exists()


# The directory itself


def test_int8_and_back(run: Shell, copied: Path) -> None:
    args = ("classify", "-m", copied, *ONE, "--json", *(a for t in TEXTS for a in ("--text", t)))
    before, files = run(*args).done().objects, tree(copied)
    assert [answer["label"] for answer in before[1:]] == ["pos", "neg"]
    facts = run("export", copied, "--int8").done().pairs
    small = (copied / "model.onnx").stat().st_size
    assert facts == {"model": str(copied), "precision": "int8", "bytes": str(small)}
    assert small < 0.45 * len(files["model.onnx"])
    assert run("info", copied).done().pairs["precision"] == "int8"
    config = config_of(copied)
    assert config["precision"] == "int8"
    assert "quantization" not in config  # nothing was measured
    assert config["files"]["model.onnx"]["size"] == small
    after = run(*args).done().objects
    for one, two in zip(before, after, strict=True):
        assert two["labels"] == pytest.approx(one["labels"], abs=0.05)
    assert [answer["label"] for answer in after[1:]] == ["pos", "neg"]
    assert [answer["labels"] for answer in after] != [answer["labels"] for answer in before]
    # A second conversion writes the same graph.
    graph = (copied / "model.onnx").read_bytes()
    run("export", copied, "--int8").done()
    assert (copied / "model.onnx").read_bytes() == graph
    run("export", copied, "--float32").done()
    assert {n: b for n, b in tree(copied).items() if n != "config.json"} == {
        name: content for name, content in files.items() if name != "config.json"
    }
    assert config_of(copied) == json.loads(files["config.json"])
    assert run(*args).done().objects == before


@pytest.mark.parametrize("task", ["lm", "tag"])
def test_int8_of_other_tasks(
    task: str, run: Shell, lm: Path, span_tagger: tuple[Path, Path], tmp_path: Path
) -> None:
    model, data = span_tagger
    if task == "lm":
        model, data = lm, tmp_path / "v.txt"
        lines = (CORPORA / "stories.txt").read_text("utf-8").splitlines(keepends=True)
        data.write_text("".join(lines[:100]), "utf-8")
    directory = shutil.copytree(model, tmp_path / "model")
    args = ("evaluate", "-m", directory, *ONE, "--json", data)
    (before,) = run(*args).done().objects
    (facts,) = run("export", directory, "--int8", "--valid", data, "--json").done().objects
    (after,) = run(*args).done().objects
    name = {"lm": "perplexity", "tag": "accuracy"}[task]
    assert "temperature" not in facts
    assert (facts[f"before_{name}"], facts[name]) == (before[name], after[name])
    assert after[name] == pytest.approx(before[name], rel=0.05)
    assert config_of(Path(directory))["quantization"]["temperature"] is None


def test_a_language_model_draws_in_either(run: Shell, lm: Path, tmp_path: Path) -> None:
    """A model that was saved without a graph that samples gets one."""
    directory = Path(shutil.copytree(lm, tmp_path / "model"))
    files = tree(directory)
    args = ("generate", "-m", directory, "The", "--length", 60, "--seed", 1)
    text = run(*args).done().text
    run("export", directory, "--int8").done()
    assert tree(directory)["generation.onnx"] != files["generation.onnx"]
    small = run(*args).done().text
    assert small.startswith("The")
    assert run(*args).done().text == small
    # Its weights are rounded.
    assert (run("score", "-m", directory, "--text", text).done().text) != (
        run("score", "-m", lm, "--text", text).done().text
    )
    saved = checkpoint.load(directory)
    contents = {name: saved.file(name) for name in saved.config["files"]}
    del contents["generation.onnx"]
    checkpoint.save(directory, contents, saved.config, force=True)
    run("export", directory, "--float32").done()
    assert tree(directory) == files
    assert run(*args).done().text == text


def test_int8_is_measured_and_calibrated(run: Shell, copied: Path, valid: Path) -> None:
    evaluate = ("evaluate", "-m", copied, *ONE, "--json", valid)
    (before,) = run(*evaluate).done().objects
    args = ("export", copied, "--int8", "--valid", valid, *ONE)
    (facts,) = run(*args, "--json").done().objects
    (after,) = run(*evaluate).done().objects
    names = ["accuracy", "macro_f1", "log_loss", "ece", "majority"]
    assert [facts[f"before_{name}"] for name in names] == [before[name] for name in names]
    assert [facts[name] for name in names] == [after[name] for name in names]
    assert (facts["model"], facts["precision"]) == (str(copied), "int8")
    assert 1 / 8 <= facts["temperature"] <= 8
    assert facts["temperature"] != 1
    known = config_of(copied)["quantization"]
    assert known["valid"] == [str(valid)]
    assert known["temperature"] == pytest.approx(facts["temperature"], abs=1e-6)
    assert known["metrics"]["accuracy"] == pytest.approx(facts["accuracy"], abs=1e-6)
    assert known["before"]["ece"] == pytest.approx(facts["before_ece"], abs=1e-6)
    # A pipe gets the same, as lines.
    run("export", copied, "--float32").done()
    pairs = run(*args).done().pairs
    assert list(pairs) == list(facts)
    assert pairs.pop("model") == facts.pop("model")
    assert pairs.pop("precision") == facts.pop("precision")
    assert {name: float(value) for name, value in pairs.items()} == facts
    # Conversion to float32 and back restores the calibration.
    graph = (copied / "model.onnx").read_bytes()
    run("export", copied, "--float32", "--valid", valid).done()
    assert config_of(copied)["precision"] == "float32"
    run("export", copied, "--int8").done()
    assert (copied / "model.onnx").read_bytes() == graph
    assert config_of(copied)["quantization"]["temperature"] == known["temperature"]


@pytest.fixture
def wrong(run: Shell, copied: Path, tmp_path: Path) -> tuple[Path, list[str]]:
    """Data whose labels are all wrong for the model, and the model's answers to its texts."""
    (tmp_path / "t.txt").write_text("".join(f"{text}\n" for text in LABELS), "utf-8")
    answers = run("classify", "-m", copied, *ONE, tmp_path / "t.txt").done().lines
    assert [answer.split("\t")[0] for answer in answers] == [*LABELS.values()]
    rows = zip(LABELS, reversed(LABELS.values()), strict=True)
    path = tmp_path / "wrong.jsonl"
    lines = (json.dumps({"text": text, "label": label}) + "\n" for text, label in rows)
    path.write_text("".join(lines) * 400, "utf-8")
    return path, answers


def test_calibration_fits_the_data(
    run: Shell, copied: Path, wrong: tuple[Path, list[str]], tmp_path: Path
) -> None:
    """If every answer is wrong, the best probability of an answer is 0.5."""
    data, before = wrong
    args = ("export", copied, "--int8", "--valid", data, *ONE, "--json")
    (facts,) = run(*args).done().objects
    assert facts["accuracy"] == facts["before_accuracy"] == 0
    assert facts["temperature"] > 2
    after = run("classify", "-m", copied, *ONE, tmp_path / "t.txt").done().lines
    for one, two in zip(after, before, strict=True):
        assert one.split("\t")[0] == two.split("\t")[0]
        assert 0.5 <= float(one.split("\t")[1]) < float(two.split("\t")[1])


def test_a_file_answers_as_the_calibrated_directory_does(
    run: Shell, copied: Path, wrong: tuple[Path, list[str]], tmp_path: Path
) -> None:
    run("export", copied, "--int8", "--valid", wrong[0], *ONE).done()
    run("export", copied, "--int8", "-o", tmp_path / "x.onnx").done()
    (answer,) = run("classify", "-m", copied, *ONE, "--json", "--text", SAMPLE).done().objects
    assert reference().Model(tmp_path / "x.onnx").classify(SAMPLE) == pytest.approx(
        answer["labels"], abs=1e-5
    )


def test_precision_of_numbers_and_of_spans(
    run: Shell, span_tagger: tuple[Path, Path], tmp_path: Path
) -> None:
    directory, data = span_tagger
    model = Path(shutil.copytree(directory, tmp_path / "model"))
    facts = run("info", model).done().pairs
    assert facts["precision"] == "float32"
    assert 0 <= float(facts["metrics.precision"]) <= 1
    (found,) = run("export", model, "--int8", "--valid", data, "--json").done().objects
    (measured,) = run("evaluate", "-m", model, "--json", data).done().objects
    assert found["precision"] == "int8"
    assert found["metrics.precision"] == measured["precision"]
    assert found["recall"] == measured["recall"]
    assert 0 <= found["before_precision"] <= 1
    pairs = run("info", model).done().pairs
    assert pairs["precision"] == "int8"
    assert pairs["metrics.precision"] == facts["metrics.precision"]


# Errors


def test_there_must_be_something_to_do(run: Shell, classifier: Path, valid: Path) -> None:
    before = tree(classifier)
    run("export", classifier).failed(2, "-o FILE.onnx", "--int8")
    run("export", classifier, "--valid", valid).failed(2, "-o FILE.onnx", "--int8")
    assert tree(classifier) == before


def test_what_does_not_go_together(
    run: Shell, classifier: Path, valid: Path, tmp_path: Path
) -> None:
    out = tmp_path / "x.onnx"
    run("export", classifier, "-o", out, "--valid", valid).failed(2, "--valid", "-o")
    run("export", classifier, "--int8", "--valid", "-", stdin=b"a").failed(2, "--valid")
    assert os.listdir(tmp_path) == []


def test_other_files_are_not_replaced(run: Shell, copied: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    before = tree(tmp_path)
    run("export", copied, "-o", copied / "model.onnx").failed(2, "part of a checkpoint")
    (copied / "generation.onnx").write_bytes(b"a part of a language model")
    before = tree(tmp_path)
    run("export", copied, "-o", copied / "generation.onnx").failed(2, "part of a checkpoint")
    for path in (copied / "config.json", tmp_path / "notes.txt"):
        run("export", copied, "-o", path).failed(2, str(path), "no ONNX file")
    assert tree(tmp_path) == before


def test_a_file_that_cannot_be_written(run: Shell, classifier: Path, tmp_path: Path) -> None:
    run("export", classifier, "-o", tmp_path / "no" / "x.onnx").failed(
        1, f"cannot write {tmp_path}/no/x.onnx: No such file or directory; choose another place"
    )
    (tmp_path / "x.onnx").mkdir()
    run("export", classifier, "-o", tmp_path / "x.onnx").failed(2, "x.onnx is a directory")
    assert os.listdir(tmp_path) == ["x.onnx"]
    assert os.listdir(tmp_path / "x.onnx") == []


@pytest.mark.parametrize("name", [".", "..", "/", "", "a" * 300 + ".onnx"])
def test_a_name_that_no_file_can_have(
    name: str, run: Shell, classifier: Path, tmp_path: Path
) -> None:
    found = run("export", classifier, "-o", name, cwd=tmp_path)
    found.failed(found.status if found.status in (1, 2) else 1)
    assert os.listdir(tmp_path) == []


def test_what_is_no_checkpoint(run: Shell, copied: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.onnx"
    for option in (("-o", out), ("--int8",)):
        run("export", tmp_path / "none", *option).failed(1, "none does not exist")
        run("export", tmp_path, *option).failed(1, "has no config.json")
    weights = copied / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    before = tree(copied)
    for option in (("-o", out), ("--int8",)):
        run("export", copied, *option).failed(1, "model.safetensors is damaged")
    assert tree(copied) == before
    assert os.listdir(tmp_path) == ["model"]


def test_validation_data_that_is_none(run: Shell, copied: Path, tmp_path: Path) -> None:
    before = tree(copied)
    (tmp_path / "v.csv").write_text("text,label\na,unheard of\n")
    args = ("export", copied, "--int8", "--valid")
    run(*args, tmp_path / "none.csv").failed(1, "none.csv")
    run(*args, tmp_path / "v.csv").failed(1, "v.csv has no text with a label that the model knows")
    assert tree(copied) == before
