"""Models that travel: one file, a slim directory, and a directory that has lost what it need not
have answer as the model's directory does."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import shutil
from pathlib import Path

import onnx
import pytest

from rnntext.errors import CheckpointError
from rnntext.graphs import model_file
from rnntext.runtime.model import open_model
from tests.conftest import CORPORA, Shell

TEXT = "The heron can't light the lamp,\nnaïve 你好 🙂"
# Of each task: commands that run a model, without `-m DIR`.
COMMANDS = {
    "lm": [
        ("score", "--text", TEXT, "--words"),
        ("predict", "--text", "The heron", "--json"),
        ("generate", "The heron", "-n", "20", "--seed", "1"),
        ("evaluate", CORPORA / "stories.txt", "--json"),
    ],
    "classify": [
        ("classify", "--text", TEXT, "--json"),
        ("evaluate", CORPORA / "reviews.csv", "--json"),
    ],
    "tag": [
        ("tag", "--text", TEXT, "--json"),
        ("evaluate", CORPORA / "tagged.conllu", "--json"),
    ],
}


@pytest.fixture
def model(request: pytest.FixtureRequest, task: str) -> Path:
    name = {"lm": "lm", "classify": "classifier", "tag": "tagger"}[task]
    directory: Path = request.getfixturevalue(name)
    return directory


def answers(run: Shell, model: Path, task: str) -> list[bytes]:
    found = []
    for name, *arguments in COMMANDS[task]:
        found.append(run(name, "-m", model, *arguments, "--threads", "1").done().out)
    return found


@pytest.mark.parametrize("task", COMMANDS)
def test_one_file_and_a_slim_directory_answer_alike(
    run: Shell, model: Path, task: str, tmp_path: Path
) -> None:
    expected = answers(run, model, task)
    run("export", model, "-o", tmp_path / "one.onnx").done()
    assert answers(run, tmp_path / "one.onnx", task) == expected
    (slim,) = run("export", model, "--slim", "-o", tmp_path / "slim", "--json").done().objects
    assert answers(run, tmp_path / "slim", task) == expected
    assert slim["bytes"] == sum(path.stat().st_size for path in (tmp_path / "slim").iterdir())
    assert not {path.name for path in (tmp_path / "slim").iterdir()} & {
        "README.md",
        "metrics.jsonl",
    }
    assert (tmp_path / "slim" / "model.safetensors").exists() == (task == "lm")
    assert run("info", tmp_path / "slim").done().pairs["task"] == task


@pytest.mark.parametrize("task", ["classify", "tag"])
def test_what_running_does_not_need_may_change_or_go(
    run: Shell, model: Path, task: str, tmp_path: Path
) -> None:
    expected = answers(run, model, task)
    copy = Path(shutil.copytree(model, tmp_path / "copy"))
    with (copy / "README.md").open("a", encoding="utf-8") as card:
        card.write("A line of our own.\r\n")
    (copy / "metrics.jsonl").unlink()
    run("info", copy).done()
    (copy / "model.safetensors").unlink()
    assert answers(run, copy, task) == expected
    assert "model.safetensors is missing" in run("embed", "-m", copy, "--text", "x").err


def test_a_slim_directory_is_new(run: Shell, classifier: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "notes").touch()
    run("export", classifier, "--slim", "-o", tmp_path / "there").failed(
        2, "is not empty: name another directory with -o"
    )
    run("export", classifier, "--slim", "--int8", "-o", tmp_path / "a").failed(2, "--int8")
    run("export", classifier, "--slim").failed(2, "say what to do")
    run("export", tmp_path / "there", "--slim", "-o", tmp_path / "a").failed(1, "config.json")
    assert not (tmp_path / "a").exists()


def test_one_file_answers_the_lines_of_a_table(
    run: Shell, classifier: Path, tmp_path: Path
) -> None:
    """It does not say with which columns its model was trained."""
    (tmp_path / "a.csv").write_text("text\ngood\n")
    run("export", classifier, "-o", tmp_path / "one.onnx").done()
    found = run("classify", "-m", tmp_path / "one.onnx", "--json", tmp_path / "a.csv")
    assert [answer["text"] for answer in found.objects] == ["text", "good"]
    assert (found.status, "is read line by line" in found.err) == (0, True)


def test_a_model_s_name_that_no_file_can_have(run: Shell) -> None:
    run("classify", "-m", "a" * 300, "--text", "x").failed(1, "File name too long")


def exported(run: Shell, model: Path, tmp_path: Path) -> onnx.ModelProto:
    run("export", model, "-o", tmp_path / "m.onnx").done()
    return onnx.load(tmp_path / "m.onnx")


def failure(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_model(path, "classify", 1)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (model_file.MODEL, None, "lacks 'rnntext.model' in its metadata"),
        (model_file.MODEL, "{", "cannot be read"),
        (model_file.MODEL, '{"task": "classify"}', "does not describe a model"),
        (model_file.TOKENIZER, '{"kind": 3}', "cannot be read"),
        (model_file.TOKENIZER, "[" * 100_000, "cannot be read"),
        (model_file.TOKENIZER_FILE, "{}", "cannot be read"),
        (model_file.LINEAR_MODEL, "%%%", "cannot be read"),
        (model_file.LINEAR_MODEL, base64.b64encode(b"none").decode(), "cannot be read"),
    ],
)
def test_a_file_with_other_metadata(
    name: str, value: str | None, message: str, run: Shell, classifier: Path, tmp_path: Path
) -> None:
    graph = exported(run, classifier, tmp_path)
    about = {entry.key: entry.value for entry in graph.metadata_props}
    about.pop(name, None)
    if value is not None:
        about[name] = value
    del graph.metadata_props[:]
    onnx.helper.set_model_props(graph, about)
    onnx.save(graph, tmp_path / "m.onnx")
    assert message in failure(tmp_path / "m.onnx")


def test_a_file_whose_parts_disagree(run: Shell, classifier: Path, tmp_path: Path) -> None:
    graph = exported(run, classifier, tmp_path)
    (entry,) = [each for each in graph.metadata_props if each.key == model_file.MODEL]
    model = json.loads(entry.value)
    entry.value = json.dumps({**model, "labels": ["a", "b", "c"]})
    onnx.save(graph, tmp_path / "m.onnx")
    assert "m.onnx is not the graph of the model" in failure(tmp_path / "m.onnx")
    model["encoder"]["vocab_size"] += 1
    entry.value = json.dumps(model)
    onnx.save(graph, tmp_path / "m.onnx")
    assert "has a tokenizer of" in failure(tmp_path / "m.onnx")


@pytest.mark.parametrize("content", [b"", b"# a text\n", b"\x08", b"\x08\x0a" * 100])
def test_a_file_that_is_no_model(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    message = failure(tmp_path / "file")
    assert ("not an ONNX file" in message) == (not content.startswith(b"\x08"))


def test_a_file_of_another_task(run: Shell, tagger: Path, tmp_path: Path) -> None:
    run("export", tagger, "-o", tmp_path / "m.onnx").done()
    assert "is a tagger, and this needs a classifier" in failure(tmp_path / "m.onnx")


# What reads the weights. Of each task: commands without `-m DIR`.
VIEWS = {
    "lm": [
        ("inspect", "unroll", "--text", "The heron"),
        ("inspect", "states", "--text", "The heron"),
    ],
    "classify": [
        ("inspect", "explain", "--text", "A dull book."),
        ("inspect", "states", "--text", "A dull book."),
        ("classify", "--explain", "--text", "A dull book."),
    ],
    "tag": [
        ("inspect", "neighbours", "--word", "the"),
        ("inspect", "gates", "--text", "Mara waited."),
        ("embed", "--text", "Mara waited."),
    ],
}


def numbers(line: str) -> list[float]:
    """The numbers of a line, words left out."""
    found = []
    for field in re.split(r"[\t :]", line):
        with contextlib.suppress(ValueError):
            found.append(float(field))
    return found


@pytest.mark.parametrize("task", COMMANDS)
def test_what_reads_the_weights_takes_them_from_the_graph(
    run: Shell, model: Path, task: str, tmp_path: Path
) -> None:
    run("export", model, "-o", tmp_path / "one.onnx").done()
    run("export", model, "--slim", "-o", tmp_path / "slim").done()
    for name, *arguments in VIEWS[task]:
        expected = run(name, *arguments, "-m", model).done().lines
        assert any(map(numbers, expected))
        for other in ("one.onnx", "slim"):
            found = run(name, *arguments, "-m", tmp_path / other).done().lines
            assert len(found) == len(expected)
            for one, two in zip(found, expected, strict=True):
                # The sum of two biases is rounded once.
                assert numbers(one) == pytest.approx(numbers(two), abs=2e-3), (name, other)


def test_one_file_is_described_and_exported_again(
    run: Shell, classifier: Path, tmp_path: Path
) -> None:
    run("export", classifier, "-o", tmp_path / "one.onnx").done()
    whole, found = (run("info", m).done().pairs for m in (classifier, tmp_path / "one.onnx"))
    assert found.pop("bytes") == str((tmp_path / "one.onnx").stat().st_size)
    assert found.items() < whole.items()
    assert {"task", "parameters", "labels", "vocabulary"} <= found.keys()
    run("export", tmp_path / "one.onnx", "-o", tmp_path / "two.onnx").done()
    for suffix in ("onnx", "json"):
        one, two = ((tmp_path / f"{name}.{suffix}").read_text("latin-1") for name in ("one", "two"))
        assert one.replace("one.onnx", "two.onnx") == two
    run("export", tmp_path / "one.onnx", "--int8").failed(1, "is not a directory")
    run("export", tmp_path / "one.onnx", "--slim", "-o", tmp_path / "s").failed(
        1, "is not a directory"
    )
    run("plot", tmp_path / "one.onnx").failed(1, "is not a directory")
