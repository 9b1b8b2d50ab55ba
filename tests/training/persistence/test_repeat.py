"""A run told so that it can be done again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from rnntext.cli import main, train
from rnntext.errors import UsageError
from rnntext.training.options import TrainingOptions
from rnntext.training.persistence.repeat import command_of, repeated_options

OPTIONS = {
    "plain": TrainingOptions("lm", ("text.txt",)),
    "lm": TrainingOptions(
        "lm",
        ("naïve café.txt", "你好 🙂/*.txt", "it's"),
        valid="valid file.txt",
        format="text",
        encoding="latin-1",
        encoding_errors="replace",
        preset="small",
        cell="gru",
        layers=2,
        hidden=96,
        embed=64,
        tokenizer="word",
        vocab_size=5000,
        min_frequency=3,
        lowercase=False,
        minutes=1.5,
        batch_size=8,
        lr=0.0025,
        dropout=0.0,
        bptt=20,
        seed=7,
        device="cpu",
        threads=2,
    ),
    "classify": TrainingOptions(
        "classify",
        ("hf:some/thing",),
        text_column="the text",
        label_column="$label",
        multi_label=True,
        label_separator=" | ",
        group_column="the film",
        split="train[:10%]",
        lowercase=True,
        steps=300,
        class_weights="balanced",
    ),
    "distilled": TrainingOptions(
        "classify", ("x.tsv",), distil="models/the teacher", unlabelled=("u.txt", "it's.txt")
    ),
    "tag": TrainingOptions("tag", ("a.conllu",), tag_column="xpos", init="models/my lm", epochs=4),
}


def parsed(words: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> tuple[TrainingOptions, Path]:
    """What the command line makes of these words."""
    found: list[Any] = []

    def instead(chosen: TrainingOptions, out: Path, *_: object, **__: object) -> tuple[None, None]:
        found.append((chosen, out))
        return None, None

    monkeypatch.setattr(train, "train", instead)
    monkeypatch.setattr(train, "print_result", lambda *_: None)
    main.make_app()(list(words), standalone_mode=False)
    (result,) = found
    return result


@pytest.mark.parametrize("name", OPTIONS)
def test_the_command_parses_back(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options, directory = OPTIONS[name], Path("models/it's new")
    words = shlex.split(command_of(options, directory))
    assert words[0] == "rnntext"
    assert parsed(words[1:], monkeypatch) == (options, directory)


def test_commands_word_for_word() -> None:
    assert command_of(OPTIONS["plain"], Path("out")) == "rnntext train lm -o out text.txt"
    assert command_of(OPTIONS["tag"], Path("out")) == (
        "rnntext train tag -o out --tag-column xpos --init 'models/my lm' --epochs 4 a.conllu"
    )
    options = TrainingOptions("classify", ("x",), lowercase=False, multi_label=True)
    assert command_of(options, Path("m")) == (
        "rnntext train classify -o m --multi-label --no-lowercase x"
    )


def test_a_name_that_looks_like_a_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    options = TrainingOptions("lm", ("-odd name.txt", "other"))
    words = shlex.split(command_of(options, Path("-out")))
    assert parsed(words[1:], monkeypatch) == (options, Path("-out"))


def config_file(path: Path, options: TrainingOptions, steps: int = 1234, **results: object) -> Path:
    summary = {
        "unit": "lines",
        "train": 70,
        "valid": 7,
        "characters": 900,
        "duplicates": 0,
        "fingerprint": "",
        "read": 700,
        "cut_short": bool(results),
    }
    measured = {"metrics": {}, "epochs": 2.5, "seconds": 60.0, "tokens_per_second": 1000}
    machine = {"recipe": {}, "machine": "cpu", "threads": 2, "torch_version": "2.6"}
    content = {
        "training": {"options": options.to_json(), **machine},
        "results": {"steps": steps, "best_step": 99, **measured, **results},
        "data": summary,
    }
    path.write_text(json.dumps(content), "utf-8")
    return path


@pytest.mark.parametrize("name", OPTIONS)
def test_a_config_is_repeated(name: str, tmp_path: Path) -> None:
    options = OPTIONS[name]
    found = repeated_options(config_file(tmp_path / "config.json", options))
    differs = {
        field.name: getattr(found, field.name)
        for field in fields(options)
        if getattr(found, field.name) != getattr(options, field.name)
    }
    # Minutes are another number of steps on another day; the steps taken are the run.
    assert differs == ({"minutes": None, "steps": 1234} if name == "lm" else {})


def test_options_over_those_of_a_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = config_file(tmp_path / "config.json", OPTIONS["lm"])
    words = ["train", "lm", "--config", str(path), "-o", "new", "--seed", "8", "--epochs", "2"]
    chosen, _ = parsed(words, monkeypatch)
    assert (chosen.seed, chosen.epochs, chosen.steps, chosen.minutes) == (8, 2, None, None)
    assert chosen.data == OPTIONS["lm"].data
    assert chosen.lowercase is False


def test_n_grams_are_learned_from_as_many_texts_unless_time_or_data_are_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    halves = {"network_accuracy": 0.5, "ngrams_texts": 1234}
    timed = replace(OPTIONS["classify"], minutes=2.0, steps=None)
    path = config_file(tmp_path / "config.json", timed, halves=halves)
    start = ["train", "classify", "--config", str(path), "-o", "new"]
    for more, texts in (
        ([], 1234),
        (["--steps", "9"], 1234),
        (["--minutes", "3"], None),
        (["other.csv"], None),
    ):
        chosen, _ = parsed([*start, *more], monkeypatch)
        assert chosen.ngrams_texts == texts
        assert "ngrams-texts" not in command_of(chosen, tmp_path)


def test_the_teacher_answers_as_many_texts_unless_time_or_texts_are_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = replace(OPTIONS["distilled"], minutes=2.0)
    path = config_file(tmp_path / "config.json", timed)
    content = json.loads(path.read_text("utf-8"))
    content["training"]["distilled"] = {"teacher": "t", "digest": "", "unlabelled": 30,
                                        "unanswered": 6}  # fmt: skip
    content["data"] |= {"unlabelled": 40, "unlabelled_read": 50, "unlabelled_cut": True}
    path.write_text(json.dumps(content), "utf-8")
    start = ["train", "classify", "--config", str(path), "-o", "new"]
    for more, texts, part in (
        ([], 30, (50, 40)),
        (["--steps", "9"], 30, (50, 40)),
        (["--unlabelled", "u.txt", "--unlabelled", "it's.txt"], 30, (50, 40)),
        (["--minutes", "3"], None, None),
        (["other.csv"], None, None),
        (["--unlabelled", "u.txt"], None, None),
    ):
        chosen, _ = parsed([*start, *more], monkeypatch)
        assert (chosen.unlabelled_texts, chosen.unlabelled_part) == (texts, part), more
        left = None if more in (["--minutes", "3"], ["other.csv"]) else 6
        assert chosen.unanswered == left, more
        assert "unlabelled-" not in command_of(chosen, tmp_path)
        assert "unanswered" not in command_of(chosen, tmp_path)
    # All that were encoded were answered.
    content["data"] |= {"unlabelled": 30, "unlabelled_cut": False}
    content["training"]["distilled"]["unanswered"] = 0
    path.write_text(json.dumps(content), "utf-8")
    chosen, _ = parsed(start, monkeypatch)
    assert (chosen.unlabelled_texts, chosen.unlabelled_part) == (None, None)
    assert chosen.unanswered is None


@pytest.mark.parametrize(
    ("more", "plans", "part"),
    [
        ([], ((0, 9000), (500, 1234)), (700, 70, 0)),
        (["--seed", "8"], ((0, 9000), (500, 1234)), (700, 70, 0)),
        (["--steps", "5000"], (), (700, 70, 0)),
        (["--epochs", "2"], (), (700, 70, 0)),
        (["--minutes", "3"], (), None),  # it may be time enough for all of the data
        (["other.txt"], ((0, 9000), (500, 1234)), None),
    ],
)
def test_another_budget_does_without_the_old_plans(
    more: list[str],
    plans: tuple[tuple[int, int], ...],
    part: tuple[int, int, int] | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = config_file(tmp_path / "config.json", OPTIONS["lm"], plans=[[0, 9000], [500, 1234]])
    chosen, _ = parsed(["train", "lm", "--config", str(path), "-o", "new", *more], monkeypatch)
    assert (chosen.plans, chosen.part) == (plans, part)
    if plans:
        assert (chosen.steps, chosen.epochs, chosen.minutes) == (1234, None, None)
    else:
        asked = {"--steps": chosen.steps, "--epochs": chosen.epochs, "--minutes": chosen.minutes}
        assert asked.pop(more[0]) == float(more[1])
        assert set(asked.values()) == {None}


def test_a_run_that_kept_its_plan_is_repeated_by_its_steps_alone(tmp_path: Path) -> None:
    path = config_file(tmp_path / "config.json", OPTIONS["lm"], plans=[[0, 1234]])
    assert (repeated_options(path).plans, repeated_options(path).steps) == ((), 1234)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "no JSON",
        "[]",
        "null",
        "{}",
        '{"training": 3, "results": {}}',
        '{"training": {"options": {}}, "results": {"steps": 1}}',
        '{"training": {"options": {"task": "lm", "data": ["x"]}}, "results": {}}',
        '{"training": {"options": {"task": "lm", "data": 5}}, "results": {"steps": 1}}',
        '{"training": {"options": {"task": "lm"}}, "results": {"steps": 1}}',
    ],
)
def test_another_file_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(UsageError, match="--config"):
        repeated_options(path)


def test_a_file_that_is_not_there_and_one_that_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--config .*nowhere: No such file"):
        repeated_options(tmp_path / "nowhere")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"--config .*binary is not a checkpoint"):
        repeated_options(tmp_path / "binary")


@pytest.mark.parametrize(
    ("section", "changed", "reason"),
    [
        ("options", {"epochs": -2, "minutes": None},
         "--epochs must be a whole number from 1 to 1,000,000, not -2"),
        ("options", {"dropout": 1}, "--dropout must be from 0 to 0.999, not 1"),
        ("options", {"cell": "LSTM"}, "--cell is one of rnn, gru, lstm, not 'LSTM'"),
        ("options", {"speed": 1}, "there is no option speed"),
        ("options", {"seed": "7"},
         "the file does not describe a training run (seed must be an integer, not \"7\")"),
        ("options", {"part": [1, -2, 3]},
         "part[1] must be a whole number from 0 to 1,099,511,627,776, not -2"),
        ("options", {"plans": [[0, 5], [7, 9]]},
         "plans[1] must be made during the plan before it, not after 7"),
        ("results", {"steps": 0}, "--steps must be a whole number from 1 to 1,000,000,000, not 0"),
        ("results", {"plans": [[0, 5], [3, 3]]}, "plans[1] must have steps left, not 3 of 3 taken"),
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_told_with_its_file(
    section: str, changed: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    path = config_file(tmp_path / "config.json", OPTIONS["lm"])
    content = json.loads(path.read_text("utf-8"))
    part = content["training"]["options"] if section == "options" else content["results"]
    part.update(changed)
    path.write_text(json.dumps(content), "utf-8")
    with pytest.raises(UsageError) as caught:
        repeated_options(path)
    assert str(caught.value) == f"--config {path}: {reason}"


def test_a_part_of_the_data_that_no_run_reads(tmp_path: Path) -> None:
    path = config_file(tmp_path / "config.json", OPTIONS["lm"])
    content = json.loads(path.read_text("utf-8"))
    content["data"]["read"] = 2**63
    path.write_text(json.dumps(content), "utf-8")
    with pytest.raises(UsageError) as caught:
        repeated_options(path)
    assert str(caught.value) == (
        f"--config: {path} is damaged (data.read must be a whole number from 0 to "
        f"1,099,511,627,776, not {2**63}): restore it or train it again"
    )
