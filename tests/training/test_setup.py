"""What is said of a tokenizer before the first step."""

from __future__ import annotations

from pathlib import Path

import pytest

from rnntext.checkpoint_config import DataSummary
from rnntext.training.options import TrainingOptions
from rnntext.training.setup import set_up, tokenizer_remarks

CHINESE = "我们今天去公园里面散步看花，后来又去了图书馆看书学习。"
ENGLISH = "the heron counted the boats."


def remarks(tmp_path: Path, tokenizer: str, train: str, valid: str) -> str:
    (tmp_path / "train.txt").write_text(f"{train}\n" * 30, "utf-8")
    (tmp_path / "valid.txt").write_text(f"{valid}\n" * 3, "utf-8")
    names = (str(tmp_path / name) for name in ("train.txt", "valid.txt"))
    data, named = names
    options = TrainingOptions(
        "lm", (data,), valid=named, tokenizer=tokenizer, preset="tiny", steps=1, threads=1
    )
    return "\n".join(set_up(options, None, cache=False).prepared.remarks)


@pytest.mark.parametrize(
    ("tokenizer", "train", "valid", "spaces", "unknown"),
    [
        ("word", CHINESE, CHINESE, True, None),
        ("word", CHINESE, CHINESE[::-1], True, "50%"),
        ("word", "我们 今天 去 公园", "我们 今天 去 公园", False, None),
        ("word", ENGLISH, ENGLISH, False, None),
        ("word", ENGLISH, "the keeper counted two lamps", False, "50%"),
        ("char", CHINESE, CHINESE, False, None),
        ("char", ENGLISH, "xyz", False, "75%"),
        ("bpe", CHINESE, ENGLISH, False, None),
        ("byte", ENGLISH, CHINESE, False, None),
    ],
)
def test_a_tokenizer_that_does_not_suit_the_data(
    tokenizer: str, train: str, valid: str, spaces: bool, unknown: str | None, tmp_path: Path
) -> None:
    said = remarks(tmp_path, tokenizer, train, valid)
    assert ("not separated by spaces" in said) == spaces
    assert ("use --tokenizer char or bpe" in said) == spaces
    assert ("of the validation tokens are unknown" in said) == (unknown is not None)
    if unknown is not None:
        assert f"{unknown} of the validation tokens" in said
        assert "--vocab-size" in said


def test_a_tenth_of_unknown_tokens_is_not_many() -> None:
    def summary(rate: float) -> DataSummary:
        return DataSummary("lines", 9, 9, 99, 0, "", unknown_rate=rate)

    assert list(tokenizer_remarks("char", summary(0.1))) == []
    (said,) = tokenizer_remarks("char", summary(0.101))
    assert said == (
        "10% of the validation tokens are unknown to the tokenizer char: use --tokenizer bpe or "
        "byte, or a larger --vocab-size"
    )
