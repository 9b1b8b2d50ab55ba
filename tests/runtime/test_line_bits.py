"""Quantiles of the bits a token of lines: those of `score`, against counting."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from rnntext.checkpoint import CONFIG, WEIGHTS
from rnntext.checkpoint_config import CheckpointConfig, LineBits
from rnntext.errors import UsageError
from rnntext.runtime.language_model import LanguageModel
from rnntext.runtime.line_bits import bits_above, measure_lines
from rnntext.runtime.score import Scorer
from tests.conftest import CORPORA
from tests.runtime.models import fixed_language_model

MODEL = fixed_language_model(with_sampler=False)
STORIES = (CORPORA / "stories.txt").read_text("utf-8").splitlines()
DOCUMENTS = [STORIES[:120], ["", *STORIES[120:199]]]  # 200 lines, some of them empty


def measured(documents: list[list[str]], most_tokens: int) -> LineBits | None:
    ids = [np.concatenate(MODEL.tokenizer.encode_lines(lines)) for lines in documents]
    return measure_lines(MODEL, ids, most_tokens)


def scored(carry: bool) -> list[float]:
    """The bits a token of all lines, as `score` gives them for two files."""
    scorer = Scorer(MODEL, carry=carry)
    found = []
    for lines in DOCUMENTS:
        scorer.restart()
        found += [line.bits / line.tokens for line in scorer.score(lines)]
    return found


@pytest.mark.parametrize("carry", [False, True])
def test_so_many_lines_have_more_bits(carry: bool) -> None:
    found = measured(DOCUMENTS, 1_000_000)
    assert found is not None
    assert found.lines == 200
    bits = np.array(scored(carry))
    for percent, more in ((99, 2), (99.5, 1), (95, 10), (50, 100), (100, 0)):
        # Another batch may round the quantile's own line up.
        limit = bits_above(found, percent, carry=carry) * (1 + 1e-6)
        assert (bits > limit).sum() == more
    assert bits_above(found, 0, carry=carry) == pytest.approx(bits.min(), rel=1e-6)
    # Between two that are recorded.
    low, high = (bits_above(found, percent, carry=carry) for percent in (50, 75))
    assert bits_above(found, 60, carry=carry) == pytest.approx(low + 0.4 * (high - low))


def test_the_state_makes_a_difference() -> None:
    found = measured(DOCUMENTS, 1_000_000)
    assert found is not None
    assert bits_above(found, 50, carry=True) != bits_above(found, 50, carry=False)


def test_a_part_of_a_long_text_is_read() -> None:
    whole = measured(DOCUMENTS, 1_000_000)
    tokens = sum(len(ids) for lines in DOCUMENTS for ids in MODEL.tokenizer.encode_lines(lines))
    part = measured(DOCUMENTS, tokens // 4)
    assert whole is not None
    assert part is not None
    assert part.lines == 50  # every fourth
    every_fourth = np.array(scored(False))[::4]
    assert part.reset[-1] == pytest.approx(every_fourth.max(), rel=1e-6)
    first = [*scored(True)[:30], *scored(True)[120:140]]
    assert part.carry[-1] == pytest.approx(max(first), rel=1e-6)


def test_a_text_without_lines_has_no_quantiles() -> None:
    assert measure_lines(MODEL, [], 100) is None
    assert measure_lines(MODEL, [np.array([], np.int64)], 100) is None
    assert measured([[""]], 1) is not None


def test_of_one_line_every_quantile_is_that_line() -> None:
    found = measured([["the heron"]], 100)
    assert found is not None
    assert len(set(found.reset)) == len(set(found.carry)) == 1
    assert replace(found, carry=found.reset).carry == pytest.approx(found.carry, rel=1e-6)


@pytest.mark.parametrize(
    "damage",
    [{"reset": [1.0]}, {"percent": [1, 0]}, {"carry": [3.0, 2.0]}, {"lines": "x"},
     {"reset": [], "percent": [], "carry": []}, {"reset": None}],
)  # fmt: skip
def test_damaged_quantiles_are_refused(damage: dict[str, object]) -> None:
    from rnntext.errors import CheckpointError

    good = {"lines": 3, "percent": [0, 100], "reset": [1.0, 2.0], "carry": [1.0, 2.0]}
    assert CheckpointConfig(CORPORA / "config.json", {"line_bits": good}).line_bits is not None
    config = CheckpointConfig(CORPORA / "config.json", {"line_bits": {**good, **damage}})
    with pytest.raises(CheckpointError, match=r"config.json is damaged \(line_bits"):
        _ = config.line_bits


@pytest.mark.parametrize("has_weights", [True, False])
def test_the_way_to_measure_them_is_one_that_there_is(has_weights: bool, tmp_path: Path) -> None:
    """A directory of int8 alone cannot be exported anew."""
    if has_weights:
        (tmp_path / WEIGHTS).touch()
    saved = SimpleNamespace(line_bits=None, precision="int8", path=tmp_path / CONFIG)
    model = LanguageModel(replace(MODEL._model, saved=saved))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="give --above in bits") as error:
        model.line_bits()
    assert ("--int8 --valid FILE" in str(error.value)) == has_weights
