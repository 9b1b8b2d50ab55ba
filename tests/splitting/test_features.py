"""Features of characters."""

from __future__ import annotations

import numpy as np

from rnntext.splitting.features import (
    FEATURES,
    LONGEST_KNOWN,
    SLOTS,
    Characters,
    known_slots,
    known_tokens,
)

TEXTS = ["naïve café", "", "你好世界🙂", "  10 000 €", "đại học Bách khoa", "x"]
NONE = known_tokens(np.zeros(0, np.uint32))


def features(texts: list[str], known: np.ndarray = NONE) -> np.ndarray:
    characters = Characters(texts)
    return characters.features(np.arange(int(characters.lengths.sum())), known)


def test_a_text_has_the_same_features_alone_and_among_others() -> None:
    known = known_tokens(known_slots(["café", "世界", "đại học"]))
    together = features(TEXTS, known)
    assert together.shape == (FEATURES, sum(map(len, TEXTS)))
    assert together.min() >= 0
    assert together.max() < SLOTS
    alone = np.concatenate([features([text], known) for text in TEXTS], axis=1)
    assert (together == alone).all()


def test_only_the_nodes_that_are_asked_for_have_features() -> None:
    characters = Characters(TEXTS)
    assert (characters.features(np.array([3, 12]), NONE) == features(TEXTS)[:, [3, 12]]).all()


def test_a_character_beside_changes_features_and_a_far_one_none() -> None:
    base = features(["abcdefghij klm nop qrs"])
    far, near = features(["abcdefghij klm nop qrX"]), features(["abcdefghij klm nop Xrs"])
    assert (base[:, 2] == far[:, 2]).all()
    assert (base[:, 18] != near[:, 18]).any()


def test_known_tokens_change_the_features_where_they_stand() -> None:
    known = known_tokens(known_slots(["CDE"]))  # case does not count
    changed = (features(["abcdefgh"], known) != features(["abcdefgh"])).any(axis=0)
    assert np.flatnonzero(changed).tolist() == [2, 3, 4, 5]


def test_tokens_of_one_character_and_long_ones_are_not_looked_up() -> None:
    assert known_slots(["a", "b" * (LONGEST_KNOWN + 1), ""]).tolist() == []
    assert len(known_slots(["ab", "b" * LONGEST_KNOWN, "ab"])) == 2


def test_white_space_is_told_from_other_characters() -> None:
    assert Characters(["a \u3000b", "\t"]).is_space().tolist() == [False, True, True, False, True]
