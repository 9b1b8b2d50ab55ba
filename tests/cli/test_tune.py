"""`train --tune` as a shell uses it: a search with trials that are as short as a test needs."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

import rnntext
from tests.cli.small_runs import Commands, at_message, send, write_small_data
from tests.conftest import Outcome, Shell

# Two trials, however short and however late on a slow machine.
SHORT = """
import rnntext.training.search as search
import rnntext.training.tuning as tuning
search._SIZES = ((2, 0.01),)
tuning._LATEST_SHARE = 1000.0
"""
BUDGET = ("--tune", "0.6")


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    folder = tmp_path_factory.mktemp("data")
    write_small_data(folder)
    return Commands(folder, ("--threads", "1", "--seed", "5"))


def succeeded(found: Outcome) -> Outcome:
    assert found.status == 0, found.err
    return found


@pytest.mark.parametrize("task", ["lm", "classify", "tag"])
def test_a_search_ends_with_a_model(
    task: str, command: Commands, run: Shell, tmp_path: Path
) -> None:
    out = tmp_path / "m"
    found = succeeded(run(*command(task, out, *BUDGET, "--json"), before=SHORT))
    (result,) = found.objects
    assert [row["trial"] for row in result["trials"]] == [1, 2]
    assert result["trials"][0]["options"] == {}
    assert result["trials"][1]["options"] != {}
    lines = found.told.splitlines()
    assert sum(line.startswith("trial 1/2  defaults: ") for line in lines) == 1
    assert sum(line.startswith("trial 2/2  --") for line in lines) == 1
    assert any(line.startswith("trial  minutes  options") for line in lines)
    assert not (out / ".tuning").exists()
    table = [json.loads(line) for line in (out / "tuning.jsonl").read_text().splitlines()]
    assert [row["options"] for row in table] == [row["options"] for row in result["trials"]]
    options = json.loads((out / "config.json").read_bytes())["training"]["options"]
    assert "tune" not in options
    assert "minutes" in options
    assert rnntext.load(out) is not None


def test_too_short_for_a_search(command: Commands, run: Shell, tmp_path: Path) -> None:
    found = succeeded(run(*command("classify", tmp_path / "m", "--tune", "0.05")))
    assert "0.05 minutes are too short for a search: trained with the defaults" in found.told
    assert not (tmp_path / "m" / "tuning.jsonl").exists()
    assert rnntext.load(tmp_path / "m").classify(["text"])


def test_ctrl_c_and_resume(command: Commands, run: Shell, tmp_path: Path) -> None:
    out = tmp_path / "m"
    words = command("classify", out, *BUDGET)
    stop = SHORT + at_message("trial 1/2", send(signal.SIGINT))
    found = run(*words, before=stop)
    assert found.status == 130, found.err
    assert "stopped and saved after 1 trial of the search" in found.told
    assert sorted(path.name for path in out.iterdir()) == [".tuning"]
    again = run(*words)
    again.failed(2, "holds a search that is not finished", "--resume")
    # Its data and options are those that it began with.
    rest = ("train", "classify", "--resume", "-o", out)
    found = succeeded(run(*rest, before=SHORT))
    assert "; done already: 1" in found.told
    assert "trial 1/2" not in found.told
    assert "trial 2/2" in found.told
    assert not (out / ".tuning").exists()
    repeated = succeeded(run(*rest))
    assert repeated.err == ""
    assert repeated.pairs["steps"] == found.pairs["steps"]


@pytest.mark.parametrize("budget", ["--epochs", "--steps", "--minutes"])
def test_one_budget(budget: str, command: Commands, run: Shell, tmp_path: Path) -> None:
    found = run(*command("lm", tmp_path / "m", "--tune", "1", budget, "1"))
    found.failed(2, f"--tune and {budget} exclude each other")
    assert not (tmp_path / "m").exists()


def test_no_dry_run(command: Commands, run: Shell, tmp_path: Path) -> None:
    found = run(*command("lm", tmp_path / "m", "--tune", "1", "--dry-run"))
    found.failed(2, "--tune and --dry-run exclude each other")


def test_a_run_that_a_search_found_is_repeated(
    command: Commands, run: Shell, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    succeeded(run(*command("classify", one, *BUDGET), before=SHORT))
    repeat = ("train", "classify", "--config", one / "config.json", "-o", two)
    succeeded(run(*repeat))
    first, second = (
        json.loads((place / "config.json").read_bytes())["training"] for place in (one, two)
    )
    assert first["recipe"] == second["recipe"]
    assert "steps" in second["options"]
    # With a budget for a search in place of its own.
    found = run(*repeat, "--force", "--tune", "0.05")
    assert "0.05 minutes are too short" in succeeded(found).err


def test_from_python(command: Commands, tmp_path: Path) -> None:
    data = command.folder / "reviews.csv"
    saved = rnntext.train("classify", data, tmp_path / "m", tune=0.05, threads=1)
    assert saved.trials == ()
