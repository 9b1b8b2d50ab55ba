"""The ids of a stranger's vocabulary; hostile files as a whole are in `tests/hostile/`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rnntext.errors import DataError
from rnntext.text.saved_tokenizer import _check_ids
from rnntext.text.tokenizer import Tokenizer
from tests.hostile.directories import trained_tokenizer


@pytest.mark.parametrize("kind", ["bpe", "word", "char", "byte"])
def test_the_vocabulary_may_stand_in_any_order(kind: str) -> None:
    tokenizer = trained_tokenizer(kind)
    content = json.loads(tokenizer.to_json())
    vocabulary = content["model"]["vocab"]
    content["model"]["vocab"] = dict(reversed(vocabulary.items()))
    loaded = Tokenizer.load(json.dumps(content), tokenizer.config)
    assert [loaded.token(index) for index in range(len(vocabulary))] == list(vocabulary)
    assert loaded.to_json() == tokenizer.to_json()


@pytest.mark.parametrize("merge", [["t", "z"], ["t", "ħ"], ["ħ", "t"], ["t", "\ud800"], ["", "t"]])
def test_each_merge_gives_a_token_of_two(merge: list[str]) -> None:
    tokenizer = trained_tokenizer()
    content = json.loads(tokenizer.to_json())
    assert "tz" not in content["model"]["vocab"]
    content["model"]["merges"][-1] = merge
    with pytest.raises(DataError, match="merges that give no token"):
        Tokenizer.load(json.dumps(content), tokenizer.config)


@pytest.mark.parametrize("kind", ["word", "char", "byte"])
def test_only_bpe_has_merges(kind: str) -> None:
    tokenizer = trained_tokenizer(kind)
    content = json.loads(tokenizer.to_json())
    content["model"]["merges"] = [["a", "b"]]
    content["model"]["vocab"]["ab"] = len(content["model"]["vocab"])
    with pytest.raises(DataError):
        Tokenizer.load(json.dumps(content), tokenizer.config)


@pytest.mark.parametrize(
    "vocabulary",
    [
        {"a": False, "b": True},
        {"a": 0.0, "b": 1.0},
        {"a": "0", "b": "1"},
        {"a": 0, "b": 2},
        {"a": 0, "b": -1},
        {"a": 0, "b": 0},
        {"": 0, "b": 1},
    ],
)
def test_ids_that_are_not_the_numbers_from_zero_on(vocabulary: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - it has no message of its own
        _check_ids(vocabulary)
