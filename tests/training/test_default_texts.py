"""What the help says of a default is what a run chooses."""

from __future__ import annotations

import itertools
import re
from dataclasses import fields
from typing import Any

import pytest

from rnntext.tasks import TASKS
from rnntext.text.formats import DataOptions
from rnntext.text.tokenizer import Tokenizer
from rnntext.training import recipes
from rnntext.training.data.prepare import VALID_SHARE
from rnntext.training.declaration import declarations
from rnntext.training.default_texts import default_text
from rnntext.training.execution_options import ExecutionOptions
from rnntext.training.options import PRESETS, TOKENIZERS, TrainingOptions
from rnntext.training.persistence import saver
from rnntext.training.recipes import Recipe
from rnntext.training.tasks.base import get_task

CHARACTERS = (1_000, 99_999, 100_000, 399_999, 400_000, 49_999_999, 50_000_000, 10**9)
EXAMPLES = (10, 1_999, 2_000, 10**6)
BUDGETS: tuple[dict[str, Any], ...] = ({}, {"minutes": 1.0})

each_task = pytest.mark.parametrize("task", TASKS)


def text(name: str, task: str | None) -> str:
    for cls in (TrainingOptions, ExecutionOptions):
        for item in fields(cls):
            if item.name == name:
                return default_text(name, item.default, declarations(cls)[name], task)
    raise AssertionError(name)


def options(task: str, **given: Any) -> TrainingOptions:
    return TrainingOptions(task=task, data=("text",), **given)


def chosen(task: str) -> list[tuple[str, Recipe]]:
    """Preset and recipe of runs of all kinds."""
    found = []
    for characters, examples, budget in itertools.product(CHARACTERS, EXAMPLES, BUDGETS):
        for preset in (None, *PRESETS):
            run = options(task, preset=preset, **budget)
            recipe = get_task(task).choose_recipe(run, characters, examples)
            found.append((preset or get_task(task).choose_preset(run, characters), recipe))
    return found


def listed(values: Any) -> str:
    """Numbers in order, as the texts list them: 16, 32 or 64."""
    *others, last = (f"{value:g}" for value in sorted(set(values)))
    return f"{', '.join(others)} or {last}" if others else last


@each_task
def test_numbers_are_those_of_the_recipes(task: str) -> None:
    found = [recipe for _, recipe in chosen(task)]
    numbers = {
        "layers": "layers", "hidden": "hidden", "embed": "embed", "batch_size": "batch_size",
        "lr": "learning_rate", "dropout": "dropout",
    }  # fmt: skip
    for name, field in numbers.items():
        values = listed(getattr(recipe, field) for recipe in found)
        if (task, name) == ("lm", "embed"):
            assert all(recipe.embed == recipe.hidden for recipe in found)
            given = options("lm", hidden=50)
            assert get_task("lm").choose_recipe(given, 1000, 10).embed == 50
            values = "that of --hidden"
        assert re.fullmatch(
            re.escape(values) + "(, by the (preset|size of the data))?", text(name, task)
        )
    assert {recipe.cell for recipe in found} == {text("cell", task)}
    if task == "lm":
        assert {recipe.bptt for recipe in found} == {int(text("bptt", task))}


@each_task
def test_what_grows_with_the_data_is_told_from_what_the_preset_says(task: str) -> None:
    for name, field in (("layers", "layers"), ("hidden", "hidden"), ("batch_size", "batch_size")):
        by_preset = {preset: set() for preset in PRESETS}  # type: dict[str, set[int]]
        for preset, recipe in chosen(task):
            by_preset[preset].add(getattr(recipe, field))
        says_preset = text(name, task).endswith("by the preset")
        assert says_preset == all(len(values) == 1 for values in by_preset.values())


@each_task
def test_the_presets(task: str) -> None:
    runs = itertools.product(CHARACTERS, BUDGETS)
    found = {get_task(task).choose_preset(options(task, **budget), n) for n, budget in runs}
    *others, last = (preset for preset in PRESETS if preset in found)
    assert text("preset", task) == f"{', '.join(others)} or {last}, by the size of the data"


@each_task
def test_the_tokenizers(task: str) -> None:
    defaults = get_task(task).tokenizer_defaults

    def choose(kind: str | None, characters: int) -> tuple[str, int, bool]:
        return recipes.choose_tokenizer(options(task, tokenizer=kind), characters, defaults)

    assert choose(None, 1000)[0] == text("tokenizer", task)
    sizes = [choose(None, n)[1] for n in (1, *CHARACTERS, 10**12)]
    others = {choose(kind, n)[1] for kind in ("word", "char") for n in CHARACTERS}
    assert text("vocab_size", task) == (
        f"{min(sizes):,} to {max(sizes):,}, by the size of the data; of word and char "
        f"{others.pop():,}"
    )
    assert not others
    lower = {kind: choose(kind, 1000)[2] for kind in TOKENIZERS}
    exceptions = "".join(
        f", of the tokenizer {kind} lowercase" for kind in TOKENIZERS if lower[kind]
    )
    assert text("lowercase", task) == f"no-lowercase{exceptions}"


def test_the_rarest_words() -> None:
    lines = ["seldom often often", "often"]

    def size(kind: str, least: int | None) -> int:
        return Tokenizer.train(kind, iter(lines), vocab_size=100, min_frequency=least).vocab_size

    assert text("min_frequency", "lm") == "1, of the tokenizer word 2"
    for kind, least, other in (("char", 1, 2), ("word", 2, 1)):
        assert size(kind, None) == size(kind, least) != size(kind, other)


def test_how_data_are_read() -> None:
    reading = DataOptions()
    assert text("label_column", "classify") == reading.label_column
    for name in ("encoding", "encoding_errors", "split"):
        assert text(name, "lm") == getattr(reading, name)
    assert [text("text_column", task) for task in TASKS] == ["text", "text", "words"]
    assert text("valid", "lm").endswith("at most a tenth")
    assert VALID_SHARE == 0.1


def test_how_often_a_run_is_saved() -> None:
    assert text("save_every", "lm").partition(",")[0] == f"{saver._SAVE_INTERVAL:g}"


@each_task
def test_the_metric_that_chooses(task: str) -> None:
    assert text("select", task).partition(",")[0] in TASKS[task].selectors


def test_up_to_how_many_tags_there_is_a_random_field() -> None:
    numbers = list(map(int, re.findall("[0-9]+", text("crf", "tag"))))
    assert numbers == [recipes._CRF_TAGS, recipes._CRF_SPAN_TAGS]


def test_plain_defaults_are_those_of_the_fields() -> None:
    assert text("seed", "lm") == "0"
    assert text("device", "tag") == "auto"
    assert text("max_line", None) == "64M"
    assert (text("header", "lm"), text("cache", "lm")) == ("header", "cache")
    assert text("multi_label", "classify") == text("force", "lm") == ""
    assert (
        text("init", "lm") == text("distil", "classify") == text("unlabelled", "classify") == "none"
    )


def test_only_what_a_run_can_do_without_has_no_default() -> None:
    """A new option that is left to the run needs words of its own."""
    none = {
        name
        for cls in (TrainingOptions, ExecutionOptions)
        for name, declaration in declarations(cls).items()
        if declaration.help_text and {text(name, task) for task in declaration.tasks} == {"none"}
    }
    assert none == {
        "init", "unlabelled", "group_column", "class_weights", "distil", "tensorboard",
    }  # fmt: skip
