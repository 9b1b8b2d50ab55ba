"""rnntext from Python: train, evaluate and export with the command line's options."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

import pytest

import rnntext
from rnntext.api import ReadingKeywords, RunKeywords, TrainingKeywords
from rnntext.errors import CheckpointError, DataError, TrainingError, UsageError
from rnntext.text.formats import DataOptions
from rnntext.training.events import Evaluated, Prepared, Saved, Step, Stopped
from rnntext.training.execution_options import ExecutionOptions
from rnntext.training.options import TrainingOptions
from tests.conftest import CORPORA, Shell

REVIEWS = CORPORA / "reviews.csv"
TINY: TrainingKeywords = {"preset": "tiny", "steps": 20, "seed": 3, "threads": 1}


def kinds_of(annotations: object) -> dict[str, str]:
    """The type of each field by name, without None."""
    return {
        name: getattr(kind, "__name__", str(kind)).removesuffix(" | None")
        for name, kind in get_type_hints(annotations).items()
    }


def test_the_keywords_are_the_options() -> None:
    """Every option of the command line is a keyword of the same type."""
    options = kinds_of(TrainingOptions)
    # Arguments by position, and those that only repeat a run in minutes.
    repeating = (
        "part", "plans", "ngrams_texts", "unlabelled_part", "unlabelled_texts", "unanswered",
        "splitter_sentences",
    )  # fmt: skip
    for name in ("task", "data", *repeating):
        del options[name]
    assert options["unlabelled"] == "tuple"  # of what one name or several make
    options["unlabelled"] = kinds_of(TrainingKeywords)["unlabelled"]
    # None and not given are the same.
    assert {n: k.replace("Optional", "") for n, k in kinds_of(TrainingKeywords).items()} == options
    execution = kinds_of(RunKeywords).keys() - kinds_of(TrainingKeywords).keys()
    assert execution == {field.name for field in fields(ExecutionOptions)}
    assert kinds_of(ReadingKeywords).keys() <= {field.name for field in fields(DataOptions)}


def test_importing_rnntext_imports_no_other_module_of_it() -> None:
    code = "import sys, rnntext; print(*(name for name in sys.modules if 'rnntext' in name))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["rnntext"]


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'rnntext' has no attribute 'tain'"):
        rnntext.tain  # noqa: B018


def test_train_is_the_command(run: Shell, tmp_path: Path) -> None:
    """The same options give the same weights, to the byte."""
    saved = rnntext.train(
        "classify", REVIEWS, tmp_path / "a", preset="tiny", steps=20, seed=3, threads=1
    )
    assert isinstance(saved, Saved)
    flags = [word for name, value in TINY.items() for word in (f"--{name}", value)]
    found = run("train", "classify", REVIEWS, "-o", tmp_path / "b", *flags, "-q")
    assert (found.status, found.err) == (0, "")
    one, two = ((tmp_path / name / "model.safetensors").read_bytes() for name in "ab")
    assert one == two


def test_events_come_in_order_and_the_model_runs(tmp_path: Path) -> None:
    events = list(
        rnntext.train_events(
            "tag",
            str(CORPORA / "tagged.conllu"),
            tmp_path / "m",
            preset="tiny",
            steps=20,
            threads=1,
        )
    )
    kinds = [type(event) for event in events]
    assert (kinds[0], kinds[-1]) == (Prepared, Saved)
    assert Step in kinds
    assert Evaluated in kinds
    (sentence,) = rnntext.load(tmp_path / "m").tag(["Water the plant"])
    assert sentence.words == ["Water", "the", "plant"]


def test_a_run_that_is_stopped_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "m"
    with pytest.raises(TrainingError, match="resume=True"):
        rnntext.train(
            "classify", REVIEWS, out, preset="tiny", steps=20, threads=1, stop=lambda: True
        )
    *_, last = rnntext.train_events("classify", REVIEWS, out, resume=True, stop=lambda: True)
    assert isinstance(last, Stopped)
    assert rnntext.train("classify", REVIEWS, out, resume=True).steps == 20


def test_what_is_wrong_is_an_rnntext_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--bptt is for train lm"):
        rnntext.train("classify", REVIEWS, tmp_path / "m", bptt=9)
    with pytest.raises(CheckpointError):
        rnntext.evaluate(tmp_path / "m", REVIEWS)
    with pytest.raises(UsageError, match="int4"):
        rnntext.export(tmp_path / "m", precision="int4")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rnntext.train("lm", "", "m"), "data is empty: name a file"),
        (lambda: rnntext.train("lm", REVIEWS, ""), "output is empty: name a directory"),
        (lambda: rnntext.train("lm", REVIEWS, "m", epochs=2**31), "--epochs must be"),
        (lambda: rnntext.evaluate("", REVIEWS), "model is empty: name a directory"),
        (lambda: rnntext.evaluate("m", [REVIEWS, ""]), "data is empty: name a file"),
        (lambda: rnntext.evaluate("m", REVIEWS, threads=10**9), "threads must be"),
        (lambda: rnntext.evaluate("m", REVIEWS, errors=0), "errors must be"),
        (lambda: rnntext.evaluate("m", REVIEWS, predictions=""), "predictions is empty: name a"),
        (lambda: rnntext.evaluate("m", REVIEWS, output=""), "output is empty: name a file"),
        (lambda: rnntext.evaluate("m", REVIEWS, output="a.gif"), "-o a.gif: a picture's name"),
        (lambda: rnntext.export("m", threads=0), "threads must be"),
        (lambda: rnntext.export("m", ""), "output is empty: name a file"),
        (lambda: rnntext.load(""), "directory is empty: name a directory"),
        (lambda: rnntext.load("m", threads=-1), "threads must be"),
    ],
)  # fmt: skip
def test_numbers_out_of_range_and_empty_paths(call: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}"):
        call()


def test_evaluate_is_the_command(run: Shell, classifier: Path) -> None:
    (wanted,) = run("evaluate", "-m", classifier, REVIEWS, "--json").done().objects
    found = rnntext.evaluate(classifier, [REVIEWS], threads=1)
    assert found["accuracy"] == pytest.approx(wanted["accuracy"], abs=1e-6)
    assert found["confusion"] == wanted["confusion"]


def test_evaluate_gives_what_the_command_gives(
    run: Shell, classifier: Path, tagger: Path, lm: Path, tmp_path: Path
) -> None:
    # So that every model makes mistakes: no text is right for both rows, no noun is PUNCT.
    reviews, tags = tmp_path / "wrong.csv", tmp_path / "wrong.conllu"
    reviews.write_text("text,label\n" + "some text,pos\nsome text,neg\n" * 3, "utf-8")
    text = (CORPORA / "tagged.conllu").read_text("utf-8")
    tags.write_text(text.replace("\tNOUN\t", "\tPUNCT\t"), "utf-8")
    for model, data in ((classifier, reviews), (tagger, tags)):
        more = ("--errors", 3, "--threads", 1)
        asked = ("evaluate", "-m", model, data, *more, "--json")
        files = ("-o", tmp_path / "a.svg", "--predictions", tmp_path / "a.jsonl")
        (wanted,) = run(*asked, *files).done().objects
        found = rnntext.evaluate(
            model,
            data,
            errors=3,
            predictions=tmp_path / "b.jsonl",
            output=str(tmp_path / "b.svg"),
            threads=1,
        )
        assert [*found] == [*wanted]
        assert len(found["errors"]) == 3
        for ours, theirs in zip(found["errors"], wanted["errors"], strict=True):
            assert ours == pytest.approx(theirs, abs=1e-6)
        for suffix in ("svg", "jsonl"):
            one, two = ((tmp_path / f"{letter}.{suffix}").read_bytes() for letter in "ab")
            assert one == two
    assert "errors" not in rnntext.evaluate(classifier, REVIEWS, threads=1)
    (tmp_path / "a.txt").write_text("Mara lit the ovens.\n")
    for keywords in ({"errors": 1}, {"predictions": "p.csv"}, {"output": "p.png"}):
        with pytest.raises(UsageError, match=r"is a language model$"):
            rnntext.evaluate(lm, tmp_path / "a.txt", **keywords)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="is read by this command"):
        rnntext.evaluate(classifier, REVIEWS, predictions=REVIEWS)


def test_the_keywords_of_evaluate_are_the_options_of_the_command() -> None:
    from rnntext.cli.commands import click_command
    from rnntext.cli.evaluate import command

    options = {parameter.name for parameter in click_command(command, "evaluate").params}
    # What is printed, and what ends the command with a status.
    options -= {"minimum", "maximum", "json", "quiet"}
    given = {*inspect.signature(rnntext.evaluate).parameters, *kinds_of(ReadingKeywords)}
    # `output` is called `out` in the command.
    assert given - {"reading", "output"} == options - {"out"}


def test_evaluate_leaves_out_what_cannot_be_read(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "A warm book.", "label": "pos"}\n{"text": \n', "utf-8")
    with pytest.raises(DataError, match="line 2"):
        rnntext.evaluate("demo:reviews", rows)
    metrics = rnntext.evaluate("demo:reviews", rows, on_error="skip")
    assert metrics["unread"] == 1
    assert sum(map(sum, metrics["confusion"])) == 1
    with pytest.raises(UsageError, match="on_error"):
        rnntext.evaluate("demo:reviews", rows, on_error="never")
    with pytest.raises(UsageError, match="raw gives metrics alone"):
        rnntext.evaluate("demo:tags", rows, raw=True, errors=1)


def test_export_writes_a_file_or_converts(tmp_path: Path) -> None:
    out = tmp_path / "m"
    rnntext.train("classify", REVIEWS, out, **TINY)
    written = rnntext.export(out, tmp_path / "m.onnx")
    assert written.path.stat().st_size == written.size
    converted = rnntext.export(out, precision="int8", valid=REVIEWS, threads=1)
    assert converted.temperature is not None
    assert converted.metrics is not None
    assert converted.metrics_before is not None
    assert rnntext.evaluate(out, REVIEWS, threads=1) == converted.metrics
    with pytest.raises(UsageError, match="leave -o out"):
        rnntext.export(out, tmp_path / "n.onnx", valid=REVIEWS)
    (tmp_path / "text").write_text("mine", "utf-8")
    for path, reason in (
        (out / "model.onnx", "part of a checkpoint"),
        (tmp_path / "text", "no ONNX"),
    ):
        before = path.read_bytes()
        with pytest.raises(UsageError, match=reason):
            rnntext.export(out, path)
        assert path.read_bytes() == before
