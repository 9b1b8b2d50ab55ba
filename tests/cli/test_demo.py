"""`rnntext demo`: the models of the package, and models that are trained on the sample text."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import rnntext.cli.demo
import rnntext.cli.train
from rnntext.checkpoint import load
from rnntext.cli.commands import click_command
from rnntext.cli.demo import find_corpora
from rnntext.errors import UsageError
from rnntext.training.events import Saved
from rnntext.training.execution_options import ExecutionOptions
from rnntext.training.options import TrainingOptions
from tests.conftest import Shell

CHECK = Path(__file__).parents[2] / ".ci" / "check_demo.py"


class Trained:
    """Stands for training: what it was asked, and a tiny model in place of one that it trains."""

    def __init__(self, models: dict[str, Path]) -> None:
        self._models = models
        self.runs: list[tuple[TrainingOptions, Path]] = []
        self.settings: list[dict[str, Any]] = []

    def train(
        self, options: TrainingOptions, out: Path, execution: ExecutionOptions, **settings: Any
    ) -> tuple[None, Saved]:
        assert execution == ExecutionOptions(cache=False)
        self.runs.append((options, out))
        self.settings.append(settings)
        shutil.copytree(self._models[options.task], out)
        metrics: dict[str, Any] = load(out).config["results"]["metrics"]
        return None, Saved(out, options.task, metrics, 1, 1, 1.0, 1.0, 1.0, 1, "done")


@pytest.fixture
def trained(lm: Path, classifier: Path, tagger: Path, monkeypatch: pytest.MonkeyPatch) -> Trained:
    found = Trained({"lm": lm, "classify": classifier, "tag": tagger})
    monkeypatch.setattr(rnntext.cli.train, "train", found.train)
    monkeypatch.setenv("RAYON_NUM_THREADS", "1")  # the command sets it
    return found


@pytest.fixture
def out(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What the command writes."""
    texts = io.StringIO()
    monkeypatch.setattr(rnntext.cli.demo.output, "write", texts.write)
    return texts


def command(*words: str) -> None:
    built = click_command(rnntext.cli.demo.command, "demo")
    built(list(words), prog_name="demo", standalone_mode=False)


def shown(text: str) -> list[str]:
    """The commands that an output shows."""
    return re.findall(r"^  \$ (.*)$", text, re.MULTILINE)


def uses(*names: str) -> list[list[str]]:
    """What is shown of three models that commands call by these names."""
    lm, classifier, tagger = names
    return [
        [
            f'rnntext generate -m {lm} "The heron" -n 70 --temperature 0.6 --seed 1',
            f'rnntext generate -m {lm} "Mara said" -n 70 --temperature 0.6 --seed 1',
            f'rnntext predict -m {lm} -k 3 --text "The heron stood in the"',
        ],
        [
            f'rnntext classify -m {classifier} --text "{review}"'
            for review in (
                "A warm and funny book. I enjoyed every page.",
                "Lovely people, beautiful music, a perfect evening.",
                "The soup was cold and the service was poor.",
                "It broke on the second day, and nobody answered my letters.",
            )
        ],
        [
            f'rnntext tag -m {tagger} --text "{sentence}"'
            for sentence in (
                "Captain Quill can't light the old lamp before Tobias rows home.",
                "Water the plant, and plant the beans by the water.",
            )
        ],
    ]


def test_the_models_of_the_package_are_shown(out: io.StringIO) -> None:
    command("--threads", "1")
    stories, reviews, tags = uses("demo:stories", "demo:reviews", "demo:tags")
    assert shown(out.getvalue()) == [*stories, *reviews, *tags]
    checked = subprocess.run(
        [sys.executable, CHECK, "packaged"], input=out.getvalue(), text=True, check=False
    )
    assert checked.returncode == 0


def test_what_is_shown_is_what_a_command_prints(out: io.StringIO, run: Shell) -> None:
    command("--threads", "1")
    lines = out.getvalue().splitlines()
    text = "The soup was cold and the service was poor."
    at = lines.index(f'  $ rnntext classify -m demo:reviews --text "{text}"')
    assert run("classify", "-m", "demo:reviews", "--text", text).lines == [lines[at + 1][2:]]


def test_each_model_is_trained_and_shown(trained: Trained, out: io.StringIO) -> None:
    command("--train")
    wanted = [
        ("lm", "stories.txt", "word", 0.9),
        ("classify", "reviews.csv", "word", 0.4),
        ("tag", "tagged.conllu", "bpe", 0.3),
    ]
    assert [options for options, _ in trained.runs] == [
        TrainingOptions(
            task, (str(find_corpora() / file),), tokenizer=tokenizer, minutes=minutes, seed=1
        )
        for task, file, tokenizer, minutes in wanted
    ]
    commands = []
    for (task, file, tokenizer, minutes), use in zip(
        wanted, uses("lm", "classify", "tag"), strict=True
    ):
        commands.append(
            f"rnntext train {task} {file} --tokenizer {tokenizer} --minutes {minutes} --seed 1 "
            f"-o {task}"
        )
        commands += use
    assert shown(out.getvalue()) == commands
    results = re.findall(r"^  (\w+) .* on text it has not seen$", out.getvalue(), re.MULTILINE)
    assert results == ["perplexity", "accuracy", "accuracy"]
    # A signal ends it: there is no run to continue. The time of each counts from its own start.
    assert {(s["stoppable"], s["quiet"]) for s in trained.settings} == {(False, False)}
    began = [settings["began"] for settings in trained.settings]
    assert began == sorted(began)
    # Nobody asked for the models.
    (parent,) = {place.parent for _, place in trained.runs}
    assert parent.name.startswith("rnntext-demo-")
    assert not parent.exists()


@pytest.mark.parametrize("name", ["new", "empty"])
@pytest.mark.usefixtures("out")
def test_with_a_directory_they_are_trained_and_kept(
    name: str, trained: Trained, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    command("-o", str(tmp_path / name), "-q", "--threads", "1")
    places = [place for _, place in trained.runs]
    assert places == [tmp_path / name / task for task in ("lm", "classify", "tag")]
    assert all(place.is_dir() for place in places)
    assert {options.threads for options, _ in trained.runs} == {1}
    assert {settings["quiet"] for settings in trained.settings} == {True}


def test_a_directory_that_is_not_empty_is_refused(
    trained: Trained, out: io.StringIO, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    for place in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(UsageError) as error:
            command("-o", str(place))
        assert str(error.value) == (
            f"{place} exists and is not empty: name another directory with -o"
        )
    assert trained.runs == []
    assert out.getvalue() == ""
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_demo_is_a_training_or_a_tour(run: Shell) -> None:
    run("demo", "--train", "--tour").failed(2, "--train and --tour exclude each other")


@pytest.mark.parametrize("inside", [True, False])
def test_the_sample_text_is_in_the_package_or_beside_it(
    inside: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "rnntext"
    place = (package if inside else tmp_path) / "corpora"
    place.mkdir(parents=True)
    monkeypatch.setattr(rnntext.cli.demo, "__file__", str(package / "cli" / "demo.py"))
    with pytest.raises(UsageError) as error:
        find_corpora()
    assert str(error.value) == f"the sample corpora are not in {package}: install rnntext again"
    (place / "stories.txt").write_text("text")
    assert find_corpora() == place
