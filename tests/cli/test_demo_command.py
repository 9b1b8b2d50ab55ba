"""What `demo` trains, shows and keeps; training and the models are fakes."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import rnntext.cli.classify
import rnntext.cli.demo
import rnntext.cli.generate
import rnntext.runtime.tagger
from rnntext.cli.commands import click_command
from rnntext.cli.demo import find_corpora
from rnntext.cli.options import RecordSource
from rnntext.errors import UsageError
from rnntext.runtime.generate import GenerationOptions
from rnntext.runtime.sampling import SamplingOptions
from rnntext.runtime.tagger import TaggedSentence
from rnntext.training.events import Saved
from rnntext.training.execution_options import ExecutionOptions
from rnntext.training.options import TrainingOptions

SHOWN = """
A language model of stories from a harbour town
  $ rnntext train lm stories.txt --tokenizer word --minutes 0.9 --seed 1 -o lm
  perplexity 12.3 on text it has not seen

  $ rnntext generate -m lm "The heron" -n 70 --temperature 0.6 --seed 3
  The heron flew
  home

  $ rnntext generate -m lm "Mara said" -n 70 --temperature 0.6 --seed 3
  Mara said flew
  home


A classifier of reviews
  $ rnntext train classify reviews.csv --tokenizer word --minutes 0.4 --seed 1 -o classify
  accuracy 45.7% on text it has not seen

  $ rnntext classify -m classify --with-text
  pos A warm and funny book. I enjoyed every page.
  pos Lovely people, beautiful music, a perfect evening.
  pos The soup was cold and the service was poor.
  pos It broke on the second day, and nobody answered my letters.


A tagger of parts of speech
  $ rnntext train tag tagged.conllu --tokenizer bpe --minutes 0.3 --seed 1 -o tag
  accuracy 45.7% on text it has not seen

  $ rnntext tag -m tag
  Captain/T Quill/T can't/T light/T the/T old/T lamp/T before/T Tobias/T rows/T home./T
  Water/T the/T plant,/T and/T plant/T the/T beans/T by/T the/T water!/T
"""


class Fakes:
    """Stands for training and for the models; notes what it was asked."""

    def __init__(self) -> None:
        self.trained: list[tuple[TrainingOptions, Path]] = []
        self.settings: list[dict[str, Any]] = []
        self.used: list[tuple[Any, ...]] = []

    def train(
        self, options: TrainingOptions, out: Path, execution: ExecutionOptions, **settings: Any
    ) -> tuple[None, Saved]:
        assert execution == ExecutionOptions(cache=False)
        assert out.parent.is_dir() or out.parent.name == "new"
        self.trained.append((options, out))
        self.settings.append(settings)
        metrics = {"perplexity": 12.345, "accuracy": 0.4567}
        return None, Saved(out, options.task, metrics, 1, 1, 1.0, 1.0, 1.0, 1, "done")

    def generate(
        self, directory: Path, batches: Sequence[Sequence[str]], options: GenerationOptions
    ) -> Iterator[str]:
        self.used.append((directory.name, options))
        ((prompt,),) = batches
        yield from (prompt, " fl", "ew\nhome", "\n")

    def classify(self, directory: Path, source: RecordSource, *, with_text: bool) -> Iterator[str]:
        self.used.append((directory.name, with_text))
        yield "".join(f"pos {text}\n" for text in source.texts or ())

    def load(self, directory: Path) -> Fakes:
        self.used.append((directory.name,))
        return self

    def tag(self, texts: Sequence[str]) -> list[TaggedSentence]:
        found = ((text, text.split()) for text in texts)
        return [TaggedSentence(t, words, ["T"] * len(words), []) for t, words in found]


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Fakes:
    found = Fakes()
    monkeypatch.setattr(rnntext.cli.demo, "train", found.train)
    monkeypatch.setattr(rnntext.cli.generate, "generate", found.generate)
    monkeypatch.setattr(rnntext.cli.classify, "classify", found.classify)
    monkeypatch.setattr(rnntext.runtime.tagger, "Tagger", found)
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


def test_each_model_is_trained_and_shown(fakes: Fakes, out: io.StringIO) -> None:
    command()
    assert out.getvalue().splitlines() == SHOWN.splitlines()
    corpora = find_corpora()
    wanted = [
        ("lm", "stories.txt", "word", 0.9),
        ("classify", "reviews.csv", "word", 0.4),
        ("tag", "tagged.conllu", "bpe", 0.3),
    ]
    assert [options for options, _ in fakes.trained] == [
        TrainingOptions(task, (str(corpora / file),), tokenizer=tokenizer, minutes=minutes, seed=1)
        for task, file, tokenizer, minutes in wanted
    ]
    sampling = GenerationOptions(70, SamplingOptions(temperature=0.6), seed=3)
    assert fakes.used == [("lm", sampling), ("lm", sampling), ("classify", True), ("tag",)]
    # A signal ends it: there is no run to continue. The time of each counts from its own start.
    assert [sorted(settings) for settings in fakes.settings] == [
        ["began", "quiet", "stoppable"]
    ] * 3
    assert {(s["stoppable"], s["quiet"]) for s in fakes.settings} == {(False, False)}
    began = [settings["began"] for settings in fakes.settings]
    assert began == sorted(began)


def test_options(fakes: Fakes, out: io.StringIO, tmp_path: Path) -> None:
    command("-o", str(tmp_path / "new"), "-q", "--threads", "1")
    assert {options.threads for options, _ in fakes.trained} == {1}
    assert {settings["quiet"] for settings in fakes.settings} == {True}


@pytest.mark.parametrize("name", ["new", "empty"])
def test_the_models_are_kept_where_that_is_asked(
    name: str, fakes: Fakes, out: io.StringIO, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    command("-o", str(tmp_path / name))
    places = [place for _, place in fakes.trained]
    assert places == [tmp_path / name / task for task in ("lm", "classify", "tag")]


def test_otherwise_they_are_deleted(fakes: Fakes, out: io.StringIO) -> None:
    command()
    (parent,) = {place.parent for _, place in fakes.trained}
    assert parent.name.startswith("rnntext-demo-")
    assert not parent.exists()


def test_a_directory_that_is_not_empty_is_refused(
    fakes: Fakes, out: io.StringIO, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    for place in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(UsageError) as error:
            command("-o", str(place))
        assert str(error.value) == (
            f"{place} exists and is not empty: name another directory with -o"
        )
    assert fakes.trained == []
    assert out.getvalue() == ""


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
