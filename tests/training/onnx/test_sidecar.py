"""The sidecar of an exported graph: its fields, its patterns and its place."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from tokenizers import pre_tokenizers

from rnntext import ngrams
from rnntext.errors import CheckpointError
from rnntext.graphs.stored import StoredModel
from rnntext.splitting.ranges import Rule
from rnntext.splitting.splitter import SplitterWeights
from rnntext.text.word_splitting import split_words
from rnntext.training.onnx.from_checkpoint import sidecar_of
from rnntext.training.onnx.sidecar import is_sidecar, portable_word_pattern, sidecar_path
from tests.examples.exported import Kind, splitter, texts, write

DOCUMENTATION = Path(__file__).parents[3] / "docs" / "onnx.md"


def fields(directory: Path, *kind: Any, **more: Any) -> dict[str, Any]:
    path = write(Kind(*kind, **more), directory).path
    found: dict[str, Any] = json.loads(sidecar_path(path).read_bytes())
    assert found["graph"] == {
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    return found


def test_a_language_model(tmp_path: Path) -> None:
    found = fields(tmp_path, "lm", "bpe", "lstm", layers=2, int8=True)
    assert (found["format"], found["version"], found["precision"]) == ("rnntext-model", 2, "int8")
    assert (found["task"], found["labels"], found["max_length"]) == ("lm", [], 0)
    state = {"shape": [2, 1, 5], "value": 0}
    assert found["state"] == {"hidden": state, "cell": state}
    assert (found["path_scores"], found["empty"], found["linear"]) == ([], None, None)
    settings = found["tokenizer"]
    assert (settings["prefix"], settings["line_end"], settings["unknown"]) == (" ", 0, None)
    assert settings["json"]["model"]["vocab"]["\n"] == 0


def test_a_classifier(tmp_path: Path) -> None:
    found = fields(tmp_path, "classify", "word", "gru", multi_label=True, lowercase=True)
    assert (found["labels"], found["multi_label"]) == (["bad", "good", "né 🙂"], True)
    assert found["state"] == {
        "hidden": {"shape": [1, 1, 5], "value": 0},
        "largest": {"shape": [1, 5], "value": -10000},
        "total": {"shape": [1, 5], "value": 0},
        "count": {"shape": [1], "value": 0},
    }
    vocabulary = found["tokenizer"]["json"]["model"]["vocab"]
    assert found["empty"] == vocabulary["<eos>"]  # not that of an unknown word
    assert found["tokenizer"]["unknown"] == vocabulary["<unk>"] != found["empty"]
    assert found["tokenizer"]["lowercase"]


def test_a_tagger(tmp_path: Path) -> None:
    found = fields(tmp_path, "tag", "char", "rnn", linear=True)
    vocabulary = found["tokenizer"]["json"]["model"]["vocab"]
    assert found["tokenizer"]["between_words"] == [vocabulary[" "]]
    assert found["empty"] == found["tokenizer"]["unknown"] == vocabulary["<unk>"]
    assert found["path_scores"] == ["start", "transitions", "end"]
    tensor = found["linear"]["tensors"]["scale"]
    assert (tensor["dtype"], tensor["shape"]) == ("float32", [1])
    assert np.frombuffer(base64.b64decode(tensor["data"]), "<f4").tolist() == [0.625]
    assert found["linear"]["features"][:2] == [[-2, "lower"], [-1, "lower"]]
    assert fields(tmp_path, "tag", "byte", "rnn", bidirectional=True)["state"] == {}


def test_a_tagger_that_has_learned_to_split(tmp_path: Path) -> None:
    assert fields(tmp_path, "tag", "word", "rnn")["splitter"] is None
    found = fields(tmp_path, "tag", "word", "rnn", splitter=True)["splitter"]
    stored = SplitterWeights.parse(splitter()[0])
    assert stored.ranges is not None
    assert [Rule(**rule) for rule in found["rules"]] == [
        rule._replace(before=list(rule.before), after=list(rule.after))  # as JSON has them
        for rule in stored.ranges.rules
    ]
    wanted = {**stored.characters.tensors(), **stored.ranges.tensors()}
    del wanted["range_rules"]
    assert list(found["tensors"]) == list(wanted)
    for name, array in wanted.items():
        tensor = found["tensors"][name]
        assert (tensor["dtype"], tuple(tensor["shape"])) == (str(array.dtype), array.shape)
        assert base64.b64decode(tensor["data"]) == array.tobytes()


def test_what_is_stored_is_passed_on(tmp_path: Path) -> None:
    """A splitter without ranges, from a stored model."""
    exported = write(Kind("tag", "word", "rnn"), tmp_path)
    characters = SplitterWeights.parse(splitter()[0]).characters
    content = SplitterWeights(characters, None).serialize()
    config, tokenizer = exported.model.config, exported.model.tokenizer
    stored = StoredModel(
        tmp_path, config, tokenizer, "", None, None, content, dict, has_float32=True
    )
    found = json.loads(sidecar_of(stored, b"", "float32", "x.onnx"))["splitter"]
    assert found["rules"] is None
    assert list(found["tensors"]) == list(characters.tensors())
    with pytest.raises(CheckpointError, match="splitter"):
        sidecar_of(stored._replace(splitter=b"{}"), b"", "float32", "x.onnx")


def test_every_field_is_documented(tmp_path: Path) -> None:
    found = fields(tmp_path, "tag", "word", "lstm")
    sidecar, rest = DOCUMENTATION.read_text("utf-8").split("\nThe fields of `tokenizer`:\n")
    tokenizer = rest.split("\n## ")[0]

    def documented(text: str) -> list[str]:
        rows = re.findall(r"^\| (`[^|]*`) \|", text, re.MULTILINE)
        return [name for row in rows for name in re.findall(r"`(\w+)`", row)]

    assert documented(sidecar) == list(found)
    assert documented(tokenizer) == list(found["tokenizer"])


def test_the_portable_pattern_finds_the_words_of_the_rule() -> None:
    pattern = tokenizers.Regex(portable_word_pattern())
    splitter = pre_tokenizers.Split(pattern, "removed", invert=True)
    for text in (*texts(), "a.b+c@d.e", "a+b", ".a@b.c", "x@y", "u@v.w@x.y.", "1.2@3.4-"):
        assert [word for word, _ in splitter.pre_tokenize_str(text)] == split_words(text), text
    # Nothing is left that JavaScript reads otherwise.
    assert not re.search(r"\\[sSx\"]|\+\+", portable_word_pattern())


def test_the_pattern_of_n_grams_has_the_white_space_of_python() -> None:
    assert not re.search(r"\\[sS]", ngrams.WORD_PATTERN)
    everything = "".join(map(chr, range(0x10000)))  # beyond it there is none
    missing = set(everything) - set("".join(re.findall(ngrams.WORD_PATTERN, everything)))
    assert missing == {c for c in everything if c.isspace()}


@pytest.mark.parametrize(
    ("file", "place"),
    [("model.onnx", "model.json"), ("a.b", "a.b.json"), ("x", "x.json"), ("x.json", "x.json.json")],
)
def test_its_place(file: str, place: str) -> None:
    assert sidecar_path(Path("folder") / file) == Path("folder") / place


def test_only_a_sidecar_is_one(tmp_path: Path) -> None:
    path = sidecar_path(write(Kind("lm", "byte", "rnn"), tmp_path).path)
    assert is_sidecar(path)
    content = path.read_bytes()
    for other in (content[:20], b"", b'{"format": "rnntext-model"}', content.replace(b"\n", b"\r")):
        path.write_bytes(other)
        assert not is_sidecar(path)
    assert not is_sidecar(tmp_path)
