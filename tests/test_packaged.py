"""The models that the package carries: what they are, what made them, and how they are named."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

import rnntext
from rnntext.checkpoint import load
from rnntext.errors import UsageError
from rnntext.packaged import MODELS, PACKAGED, locate_model
from rnntext.training.options import TrainingOptions
from rnntext.training.setup import set_up
from tests.conftest import CORPORA, Shell

SCRIPT = Path(__file__).parents[1] / ".ci" / "make_models.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_models", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_they_are_small(script: ModuleType) -> None:
    assert sorted(path.name for path in MODELS.iterdir()) == sorted(PACKAGED)
    assert sum(script.size_of(MODELS / name) for name in PACKAGED) < 2_000_000


@pytest.mark.parametrize(("name", "task"), PACKAGED.items())
def test_the_script_made_them_from_the_corpora(name: str, task: str, script: ModuleType) -> None:
    config = load(MODELS / name).config
    file, options = script.RUNS[name]
    given = {"task": task, "data": [file], "quantize": True, "seed": 1, "threads": 1, **options}
    assert config["training"]["options"] == given
    assert (config["model"]["task"], config["precision"]) == (task, "int8")
    assert config["rnntext_version"] == rnntext.__version__


@pytest.mark.parametrize("name", PACKAGED)
def test_the_corpora_are_those_of_today(name: str, script: ModuleType) -> None:
    """A corpus that changed wants its model made anew."""
    file, options = script.RUNS[name]
    path = str(CORPORA / file)
    found = set_up(
        TrainingOptions(PACKAGED[name], (path,), seed=1, threads=1, **options), None, False
    )
    config = load(MODELS / name).config
    assert config["data"]["fingerprint"] == found.data.summary.fingerprint


def test_they_stay_as_they_are() -> None:
    with pytest.raises(UsageError, match="a model of the package stays as it is"):
        rnntext.export("demo:reviews", precision="int8")


def test_a_name_stands_for_the_path(run: Shell) -> None:
    assert locate_model("demo:tags") == MODELS / "tags"
    assert locate_model("./demo:tags") == Path("./demo:tags")
    with pytest.raises(UsageError) as error:
        locate_model("demo:tag")
    known = "demo:stories, demo:reviews, demo:tags"
    assert str(error.value) == f"demo:tag is no model of this package: it has {known}"
    run("classify", "-m", "demo:tag", "--text", "x").failed(2, known)
    assert "task\tclassify" in run("info", "demo:reviews").lines
    assert rnntext.load("demo:tags").directory == MODELS / "tags"
