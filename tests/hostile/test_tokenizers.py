"""A stranger's `tokenizer.json`: parts that rnntext's tokenizers do not have."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rnntext.errors import DataError
from rnntext.text.tokenizer import Tokenizer
from tests.hostile.directories import forge, trained_tokenizer, write_model
from tests.hostile.running import answered, command, refused
from tests.hostile.test_config import JSON, places, put

KINDS = ("bpe", "word", "char", "byte")


def split(pattern: str) -> dict[str, Any]:
    return {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "Isolated",
        "invert": False,
    }


# What stands in the place of a part, for every kind.
PARTS: dict[str, tuple[str, Any]] = {
    "a catastrophic pattern": ("pre_tokenizer", split(r"(a|a|\w)*+(\w+\s?)+$")),
    "a pattern that grows text": (
        "normalizer",
        {"type": "Replace", "pattern": {"Regex": "."}, "content": "x" * 1000},
    ),
    "another normalizer": ("normalizer", {"type": "NFKC"}),
    "a text before every text": ("normalizer", {"type": "Prepend", "prepend": "x" * (1 << 20)}),
    "padding": (
        "padding",
        {
            "strategy": {"Fixed": 10**7},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "<eos>",
        },
    ),
    "truncation": (
        "truncation",
        {"direction": "Right", "max_length": 1, "strategy": "LongestFirst", "stride": 0},
    ),
    "a template": (
        "post_processor",
        {
            "type": "TemplateProcessing",
            "single": [{"Sequence": {"id": "A", "type_id": 0}}] * 1000,
            "pair": [],
            "special_tokens": {},
        },
    ),
    "a decoder": ("decoder", {"type": "ByteFallback"}),
    "added tokens": (
        "added_tokens",
        [
            {
                "id": 10**9,
                "content": " ",
                "single_word": False,
                "lstrip": True,
                "rstrip": True,
                "normalized": False,
                "special": True,
            }
        ],
    ),
    "something new": ("more", {"type": "Anything"}),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", PARTS)
def test_parts_that_rnntext_does_not_write(part: str, kind: str) -> None:
    tokenizer = trained_tokenizer(kind)
    content = json.loads(tokenizer.to_json())
    name, value = PARTS[part]
    content[name] = value
    with pytest.raises(DataError, match=f"tokenizer.json has a {name}"):
        Tokenizer.load(json.dumps(content), tokenizer.config)


def _swapped(model: dict[str, Any], name: str, value: Any) -> None:
    model[name] = value


MODELS: dict[str, Callable[[dict[str, Any]], object]] = {
    "another type": lambda model: _swapped(model, "type", "Unigram"),
    "random merges": lambda model: _swapped(model, "dropout", 0.5),
    "byte fallback": lambda model: _swapped(model, "byte_fallback", True),
    "no vocabulary": lambda model: _swapped(model, "vocab", {}),
    "a list": lambda model: _swapped(model, "vocab", ["a"]),
    "an id beyond": lambda model: model["vocab"].update({"\n": 1 << 31}),
    "a negative id": lambda model: model["vocab"].update({"\n": -1}),
    "an id twice": lambda model: model["vocab"].update({"\n": 1}),
    "an id that is no number": lambda model: model["vocab"].update({"\n": "0"}),
    "an empty token": lambda model: model["vocab"].update({"": model["vocab"].pop("a")}),
    "no line end": lambda model: model["vocab"].update({"xyz": model["vocab"].pop("\n")}),
    "a token of another kind": lambda model: model["vocab"].update({"日": model["vocab"].pop("a")}),
    "half a character": lambda model: model["vocab"].update({"\ud800": model["vocab"].pop("a")}),
    "merges of no token": lambda model: _swapped(model, "merges", [["q", "q"]]),
    "many merges": lambda model: _swapped(model, "merges", [["t", "h"]] * 1000),
    "merges of three": lambda model: _swapped(model, "merges", [["t", "h", "e"]]),
    "merges that are no strings": lambda model: _swapped(model, "merges", [[1, 2]]),
}


@pytest.mark.parametrize("change", MODELS)
def test_models_that_rnntext_does_not_write(change: str) -> None:
    tokenizer = trained_tokenizer()
    content = json.loads(tokenizer.to_json())
    MODELS[change](content["model"])
    with pytest.raises(DataError):
        Tokenizer.load(json.dumps(content), tokenizer.config)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", KINDS)
@pytest.mark.parametrize("lowercase", [False, True])
def test_only_the_kind_that_was_written_is_read(kind: str, other: str, lowercase: bool) -> None:
    written, read = trained_tokenizer(kind, lowercase), trained_tokenizer(other)
    if written.config == read.config:
        text = "Ein Tag am Meer, den don't forget.\n日本 x"
        loaded = Tokenizer.load(written.to_json(), read.config)
        assert [*loaded.encode([text])[0]] == [*written.encode([text])[0]]
        assert loaded.to_json() == written.to_json()
    else:
        with pytest.raises(DataError):
            Tokenizer.load(written.to_json(), read.config)


def test_parts_that_another_release_of_the_library_leaves_out_or_adds() -> None:
    tokenizer = trained_tokenizer()
    content = json.loads(tokenizer.to_json())
    del content["truncation"], content["model"]["ignore_merges"]
    content["new"] = None
    loaded = Tokenizer.load(json.dumps(content), tokenizer.config)
    assert loaded.to_json() == tokenizer.to_json()


@pytest.mark.parametrize("text", ["", "[]", "3", '{"model": 3}', "[" * 100_000, '{"model": {}}'])
def test_what_is_no_tokenizer(text: str) -> None:
    with pytest.raises(DataError, match=r"tokenizer\.json"):
        Tokenizer.load(text, trained_tokenizer().config)


def test_a_command_on_a_hostile_tokenizer(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", "classify")
    content = json.loads((model / "tokenizer.json").read_text("utf-8"))
    content["padding"] = PARTS["padding"][1]
    forge(model, "tokenizer.json", json.dumps(content).encode())
    command(model, "classify", "-m").failed(1, str(model / "tokenizer.json"), "padding")
    assert "padding" in refused(model)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("fuzz") / "model", "lm")


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_part_with_any_value(data: st.DataObject, model: Path) -> None:
    whole = (model / "tokenizer.json").read_bytes()
    content = json.loads(whole)
    put(content, data.draw(st.sampled_from(list(places(content)))), data.draw(JSON))
    try:
        answered(forge(model, "tokenizer.json", json.dumps(content).encode()))
    finally:
        forge(model, "tokenizer.json", whole)
