"""How `train` prints the result of a run, and of a dry run."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

import rnntext.cli.output
import rnntext.cli.train
from rnntext.cli.commands import click_command
from rnntext.cli.train import print_result
from rnntext.training.search import Trial
from tests.cli.run_events import PREPARED, SAVED, TIMED
from tests.cli.screens import pipe, screen, written


def test_the_result_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = pipe(monkeypatch)
    print_result(PREPARED, SAVED, False)
    assert written(reader) == (
        "accuracy\t0.666667\n"
        "bits\t\n"
        "task\ttag\n"
        "model\tout\n"
        "steps\t30\n"
        "best_step\t20\n"
        "epochs\t2.5\n"
        "seconds\t9.5\n"
        "preparation_seconds\t1.5\n"
        "training_seconds\t6.5\n"
        "evaluation_seconds\t0.5\n"
        "tokens_per_second\t99\n"
        "parameters\t98765\n"
    )


def test_the_trials_of_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = Trial(1, 1, 0, {"lr": 0.002}, 0.1, metrics={"accuracy": 0.5})
    reader = pipe(monkeypatch)
    print_result(None, replace(SAVED, trials=(trial,)), True)
    assert json.loads(written(reader))["trials"] == [trial.to_json()]
    reader = pipe(monkeypatch)
    print_result(None, replace(SAVED, trials=(trial,)), False)
    plain = written(reader)
    reader = pipe(monkeypatch)
    print_result(None, SAVED, False)
    assert plain == written(reader)


def test_the_result_of_a_run_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = pipe(monkeypatch)
    print_result(None, SAVED, True)
    rates = {"precision": 0.5, "recall": 0.25, "f1": 0.333333, "support": 4}
    wanted = {
        "task": "tag",
        "model": "out",
        "metrics": {"accuracy": 0.666667, "bits": None, "per_label": {"[N]": rates}},
        "steps": 30,
        "best_step": 20,
        "epochs": 2.5,
        "seconds": 9.5,
        "preparation_seconds": 1.5,
        "training_seconds": 6.5,
        "evaluation_seconds": 0.5,
        "tokens_per_second": 99.0,
        "parameters": 98_765,
    }
    found = json.loads(written(reader))
    assert found == wanted
    assert list(found) == list(wanted)


def test_the_result_of_a_dry_run(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = pipe(monkeypatch)
    print_result(PREPARED, TIMED, False)
    assert written(reader) == (
        "task\ttag\n"
        "train_sentences\t123\n"
        "valid_sentences\t45\n"
        "characters\t6789\n"
        "duplicates\t2\n"
        "near_duplicates\t0\n"
        "vocabulary\t432\n"
        "parameters\t98765\n"
        "steps_per_epoch\t10\n"
        "seconds_per_epoch\t2.5\n"
        "label N\t70\n"
        "label V\t53\n"
    )
    reader = pipe(monkeypatch)
    print_result(PREPARED, TIMED, True)
    found = json.loads(written(reader))
    assert (found["labels"], found["seconds_per_epoch"]) == ({"N": 70, "V": 53}, 2.5)
    assert "metrics" not in found
    assert "shared_groups" not in found
    assert "unseen_labels" not in found
    assert "unlabelled" not in found
    prepared = replace(PREPARED, summary=replace(PREPARED.summary, shared_groups=0))
    reader = pipe(monkeypatch)
    print_result(prepared, TIMED, False)
    assert "\nshared_groups\t0\n" in written(reader)
    prepared = replace(PREPARED, summary=replace(PREPARED.summary, unseen_labels=3))
    reader = pipe(monkeypatch)
    print_result(prepared, TIMED, False)
    assert "\nunseen_labels\t3\n" in written(reader)
    summary = replace(PREPARED.summary, unlabelled=0, unlabelled_read=2)
    reader = pipe(monkeypatch)
    print_result(replace(PREPARED, summary=summary), TIMED, False)
    assert "\nunlabelled\t0\n" in written(reader)
    # Those of a language model are not counted.
    prepared = replace(PREPARED, summary=replace(PREPARED.summary, labels={}))
    reader = pipe(monkeypatch)
    print_result(prepared, TIMED, False)
    assert "near_duplicates" not in written(reader)


def test_a_terminal_shows_the_rates_of_each_label(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = screen(monkeypatch)
    print_result(PREPARED, SAVED, False)
    lines = [line.split() for line in terminal.shown.splitlines()]
    assert lines[0] == ["out"]
    assert ["│", "accuracy", "│", "0.666667", "│"] in lines
    assert ["by", "label"] in lines
    assert "[N]" in terminal.shown
    # Where there are none, there is no table of them.
    terminal = screen(monkeypatch)
    print_result(PREPARED, replace(SAVED, metrics={"accuracy": 0.5}), False)
    assert "by label" not in terminal.shown


def test_a_terminal_shows_twenty_of_many_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = {f"L{number}": number for number in range(1, 22)}
    prepared = replace(PREPARED, summary=replace(PREPARED.summary, labels=labels))
    terminal = screen(monkeypatch)
    writing: list[str] = []
    monkeypatch.setattr(rnntext.cli.output, "write", writing.append)
    print_result(prepared, TIMED, False)
    assert terminal.shown.splitlines()[0].strip() == "dry run"
    assert "label L21 " in terminal.shown
    assert "label L2 " in terminal.shown
    assert "label L1 " not in terminal.shown
    assert writing == ["the 20 most frequent of 21 labels; --json gives all of them\n"]
    terminal = screen(monkeypatch)
    writing.clear()
    print_result(PREPARED, TIMED, False)
    assert "label N " in terminal.shown
    assert writing == []


def test_results_are_printed_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rnntext.cli.train, "train", lambda *_, **__: (PREPARED, SAVED))
    for options, start in (([], "accuracy\t0.666667\n"), (["--json"], '{"task": "tag", ')):
        reader = pipe(monkeypatch)
        built = click_command(rnntext.cli.train.command, "train")
        built(["tag", "a.conllu", "-o", "m", *options], standalone_mode=False)
        assert written(reader).startswith(start)
