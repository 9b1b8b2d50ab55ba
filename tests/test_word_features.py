"""The linear model of words, compared with scores that are added up feature by feature."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from rnntext import word_features
from rnntext.word_features import Forms, Weights, WordIndex, WordModel, word_shape
from tests.training.models import Array

TAGS = 3
SENTENCES = [
    ["The", "cat", "sat", "on", "the", "mat", "."],
    ["Straße"],
    ["İYİ", "ΣΟΦΟΣ", "你好", "🙂🙂🙂🙂", "de\u0301ja\u0300", "x"],
    ["the", "the", "the"],
    ["1,234.50", "McDonald's", "カタカナ", "e-mail"],
]
LONG = "ab" * 150 + "cd"


def spread(h: int) -> int:
    h = (h ^ h >> 16) * 0x7FEB352D % 2**32
    h = (h ^ h >> 15) * 0x846CA68B % 2**32
    return h ^ h >> 16


def of_string(string: str) -> int:
    total = sum((ord(c) + 1) * pow(0x9E3779B1, i, 2**32) for i, c in enumerate(string))
    return spread((total + len(string) * 0xC2B2AE3D) % 2**32)


def of_pair(first: int, second: int) -> int:
    return spread((first * 0x9E3779B1 + second * 0x85EBCA77 + 1) % 2**32)


def features(words: Sequence[str], place: int) -> Iterator[int]:
    """Yield the hashes of the features of one word of a sentence."""
    near = ["lower", "shape", "prefix 3", "suffix 2", "suffix 3"]
    affixes = [f"{kind} {size}" for kind in ("prefix", "suffix") for size in range(1, 6)]
    wanted = [(-2, "lower")] + [(-1, form) for form in near]
    wanted += [(0, form) for form in ["word", "lower", "shape", *affixes]]
    wanted += [(1, form) for form in near] + [(2, "lower")]

    def word_at(offset: int) -> str:
        inside = 0 <= place + offset < len(words)
        word = words[place + offset] if inside else ""
        return word if len(word) <= 200 else word[:100] + word[-100:]

    for number, (offset, form) in enumerate(wanted):
        word = word_at(offset)
        lower = word.lower()[:200]
        kind, _, size = form.partition(" ")
        if size and len(lower) < int(size):
            continue
        string = {
            "word": word,
            "lower": lower,
            "shape": word_shape(word),
            "prefix": lower[: int(size or 1)],
            "suffix": lower[-int(size or 1) :],
        }[kind]
        yield of_pair(of_string(string), number)
    before, here, after = (of_string(word_at(o).lower()[:200]) for o in (-1, 0, 1))
    yield of_pair(of_pair(before, here), len(wanted))
    yield of_pair(of_pair(here, after), len(wanted) + 1)


def own_features(hashes: Sequence[int]) -> Sequence[int]:
    """Of a long word's features in a sentence of its own, those of the word itself: after two empty
    words before, which have a lower case and a shape, come 13, and after it two empty words."""
    return hashes[3:-5]


def random_model(sentences: Sequence[Sequence[str]], scale: float = 1.0) -> WordModel:
    """A model that has weights for two of three features of the sentences."""
    found = {h for words in sentences for n in range(len(words)) for h in features(words, n)}
    known = sorted(h for h in found if zlib.crc32(str(h).encode()) % 3)
    random = np.random.default_rng(1)
    weights = random.normal(size=(len(known), TAGS)).astype(np.float16)
    bias, *paths = (random.normal(size=size).astype(np.float32) for size in (3, 3, (3, 3), 3))
    return WordModel(Weights(np.array(known, np.uint32), weights, bias, tuple(paths), scale), TAGS)


def expected_emissions(model: WordModel, words: Sequence[str]) -> Array:
    weights = model.weights
    rows = dict(zip(weights.features.tolist(), weights.weights.astype(float), strict=True))
    nothing = np.zeros(TAGS)
    return weights.scale * np.array(
        [
            weights.bias + sum((rows.get(h, nothing) for h in features(words, place)), nothing)
            for place in range(len(words))
        ]
    )


@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_a_word_has_the_sum_of_its_features(scale: float) -> None:
    sentences = [*SENTENCES, [LONG, "and", LONG[1:]]]
    model = random_model(sentences, scale)
    expected = np.concatenate([expected_emissions(model, words) for words in sentences])
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(model.emissions(sentences), expected, atol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_shares_of_words_are_those_of_the_emissions(scale: float) -> None:
    model = random_model(SENTENCES, scale)
    for words in SENTENCES:
        emissions = model.emissions([words])
        for place in range(len(words)):
            shares, without = model.shares(words, place)
            assert shares.shape == (len(words), TAGS)
            np.testing.assert_allclose(shares.sum(0) + without, emissions[place], atol=1e-5)
            # Only two words on either side are looked at.
            far = [n for n in range(len(words)) if abs(n - place) > 2]
            assert not shares[far].any()


def test_a_share_is_of_the_features_that_a_word_gives() -> None:
    model = random_model(SENTENCES)
    rows = dict(zip(model.weights.features.tolist(), model.weights.weights, strict=True))

    def weights(*hashes: int) -> Array:
        return sum((rows[h].astype(float) for h in hashes if h in rows), np.zeros(TAGS))

    words = SENTENCES[0]
    cat = list(features(words, 1))
    before, after = cat[-2:]  # the pairs with "The" and with "sat"
    # The word's own features, and half of each pair.
    own = cat[6:15]  # it has no affixes of four or five letters
    shares, without = model.shares(words, 1)
    np.testing.assert_allclose(
        shares[1], weights(*own) + (weights(before) + weights(after)) / 2, atol=1e-6
    )
    np.testing.assert_allclose(shares[0], weights(*cat[1:6]) + weights(before) / 2, atol=1e-6)
    np.testing.assert_allclose(shares[3], weights(cat[20]), atol=1e-6)
    # What stands before the sentence is no word, and a pair with it is the word's own.
    np.testing.assert_allclose(without, weights(cat[0]) + model.weights.bias, atol=1e-6)
    alone, _ = model.shares(["Straße"], 0)
    hashes = list(features(["Straße"], 0))
    assert weights(*hashes[-2:]).any()
    np.testing.assert_allclose(alone[0], weights(*own_features(hashes), *hashes[-2:]), atol=1e-6)


def test_words_that_were_never_seen_are_scored_by_what_they_share() -> None:
    model = random_model(SENTENCES)
    words = ["Cats", "sat", "near", "Straßen", "."]
    np.testing.assert_allclose(
        model.emissions([words]), expected_emissions(model, words), atol=1e-5
    )


def test_a_sentence_does_not_depend_on_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    together = random_model(SENTENCES).emissions(SENTENCES)
    # Words are scored in parts, and forgotten after each call.
    monkeypatch.setattr(word_features, "_PART", 2)
    monkeypatch.setattr(word_features, "_MAX_SCORES", 0)
    model = random_model(SENTENCES)
    for _ in range(2):
        alone = np.concatenate([model.emissions([words]) for words in SENTENCES])
        assert np.array_equal(alone, together)


def test_words_that_are_known_are_not_scored_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model(SENTENCES)
    first = model.emissions(SENTENCES)
    monkeypatch.setattr(word_features, "Forms", None)
    assert np.array_equal(model.emissions(SENTENCES[::-1])[-len(SENTENCES[0]) :], first[:7])


def test_scores_are_whole_after_an_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    model, whole = random_model(SENTENCES), random_model(SENTENCES).emissions(SENTENCES)

    def interrupted(words: object) -> Forms:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(word_features, "Forms", interrupted)
        with pytest.raises(KeyboardInterrupt):
            model.emissions(SENTENCES)
    assert np.array_equal(model.emissions(SENTENCES), whole)


def test_threads_share_a_model() -> None:
    sentences = [[f"word{n % 50}x{k}" for n in range(k, k + 6)] for k in range(40)]
    model, expected = random_model(sentences), random_model(sentences).emissions(sentences)
    found: dict[int, Array] = {}

    def score(part: int) -> None:
        found[part] = np.concatenate([model.emissions([words]) for words in sentences[part::4]])

    threads = [threading.Thread(target=score, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = expected.reshape(40, 6, TAGS)
    for part in range(4):
        assert np.array_equal(found[part].reshape(-1, 6, TAGS), rows[part::4])


def test_no_sentences_and_no_features() -> None:
    model = random_model(SENTENCES)
    assert model.emissions([]).shape == (0, TAGS)
    bare = WordModel(
        model.weights._replace(
            features=np.zeros(0, np.uint32), weights=np.zeros((0, TAGS), np.float16)
        ),
        TAGS,
    )
    assert np.array_equal(bare.emissions([["a", "b"]]), [model.weights.bias] * 2)


def test_the_scores_of_paths_have_the_scale_too() -> None:
    model = random_model(SENTENCES, 0.5)
    found = model.path_scores()
    for scores, own in zip(found, model.weights.paths, strict=True):
        assert np.array_equal(scores, own / 2)


@pytest.mark.parametrize(
    ("word", "shape"),
    [
        ("McDonald's-1995", "XxXxx'x-dd"),
        ("USA", "XX"),
        ("a", "x"),
        ("", ""),
        ("ひらカタ漢字", "hhkkaa"),
        ("ぁんァー", "hhkk"),
        ("กี่", "aa"),
        ("ǅ٣é", "Xdx"),
        ("....", ".."),
        ("\n\n\n\n", "\n\n"),
    ],
)
def test_shapes(word: str, shape: str) -> None:
    assert word_shape(word) == shape


def test_the_index_puts_empty_words_around_sentences() -> None:
    index = WordIndex()
    numbers = index.read([["a", "b"], ["a"]]).tolist()
    assert numbers == [0, 0, 1, 2, 0, 0, 1, 0, 0]
    places = word_features.places_of_words(np.array([2, 1]))
    assert places.tolist() == [2, 3, 6]
    assert index.words() == ["", "a", "b"]
    assert index.words(2) == ["b"]


def test_weights_are_read_as_they_were_written() -> None:
    weights = random_model(SENTENCES, 0.75).weights
    found = Weights.parse(weights.serialize())
    assert found.scale == 0.75
    pairs = [
        (getattr(weights, name), getattr(found, name)) for name in ("features", "weights", "bias")
    ]
    for written, read in [*pairs, *zip(weights.paths, found.paths, strict=True)]:
        assert written.dtype == read.dtype
        assert np.array_equal(written, read)


def paths(*shapes: int | tuple[int, int]) -> tuple[Array, ...]:
    """Scores of the first tag, of transitions and of the last tag, of these shapes."""
    return tuple(np.zeros(shape, np.float32) for shape in shapes)


@pytest.mark.parametrize(
    "changes",
    [
        {"features": np.array([3, 2], np.uint32)},
        {"features": np.array([2, 2], np.uint32)},
        {"features": np.array([1, 2, 3], np.uint32)},
        {"weights": np.zeros((2, 2), np.float16)},
        {"weights": np.zeros(2, np.float16)},
        {"weights": np.zeros(2, np.float16), "paths": ()},
        {"paths": paths(2, (3, 3), 3)},
        {"paths": paths(3, (3, 3), (3, 1))},
        {"paths": paths(3, (3, 2), 3)},
        {"bias": np.zeros((3, 3), np.float32)},
        {"bias": np.zeros((3, 3), np.float32), "paths": ()},
    ],
)
def test_weights_that_do_not_fit_each_other_are_refused(changes: dict[str, Array]) -> None:
    good = Weights(
        np.array([1, 2], np.uint32),
        np.zeros((2, 3), np.float16),
        np.zeros(3, np.float32),
        paths(3, (3, 3), 3),
    )
    assert Weights.parse(good.serialize()).scale == 1
    with pytest.raises(ValueError, match=r"shape|order"):
        Weights.parse(good._replace(**changes).serialize())


def test_a_file_of_something_else_is_refused() -> None:
    from safetensors.numpy import save

    weights = random_model(SENTENCES).weights
    with pytest.raises(ValueError, match="not the weights"):
        Weights.parse(save({"bias": weights.bias}))
    with pytest.raises(ValueError, match="no safetensors"):
        Weights.parse(b"nothing")
    with pytest.raises(ValueError, match="3 columns for 4 tags"):
        WordModel(weights, 4)


def bundles() -> tuple[WordModel, WordModel]:
    """A model of two parts of which three tags are bundles, without transitions, and the model with
    the same scores that has weights for the tags."""
    whole = random_model(SENTENCES, 0.5)
    parts = np.array([[1, 0, 1], [0, 1, 1]], np.float32)
    random = np.random.default_rng(2)
    rows = random.integers(-8, 9, (len(whole.weights.features), 2)).astype(np.float16) / 8
    of_parts = whole.weights._replace(weights=rows, paths=())
    of_tags = of_parts._replace(weights=(rows @ parts).astype(np.float16))
    return WordModel(of_parts, TAGS, parts), WordModel(of_tags, TAGS)


def test_the_score_of_a_bundle_is_the_sum_of_its_parts_scores_and_its_bias() -> None:
    of_parts, of_tags = bundles()
    expected = of_tags.emissions(SENTENCES)
    assert np.ptp(expected) > 1
    np.testing.assert_allclose(of_parts.emissions(SENTENCES), expected, atol=1e-5)
    for found, wanted in zip(
        of_parts.shares(SENTENCES[0], 1), of_tags.shares(SENTENCES[0], 1), strict=True
    ):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_weights_without_transitions_are_read_as_they_were_written() -> None:
    of_parts, _ = bundles()
    found = Weights.parse(of_parts.weights.serialize())
    assert found.paths == ()
    assert WordModel(found, TAGS, of_parts._parts).path_scores() == ()
    np.testing.assert_array_equal(found.weights, of_parts.weights.weights)
    with pytest.raises(ValueError, match="2 columns for 3 tags"):
        WordModel(found, TAGS)
