"""Span tags to BIO, worked out by hand and against spans written in every scheme."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnntext.text.bio import FIRST, LAST, NONE, place_of_types, to_bio

# A sentence as its runs: a type and a length, None being no span.
RUNS = st.lists(
    st.tuples(st.sampled_from([None, "PER", "LOC", "a-b"]), st.integers(1, 4)), max_size=7
)


def written(runs: list[tuple[str | None, int]], scheme: str) -> list[str]:
    """Write the runs in `scheme`, from its definition."""
    tags: list[str] = []
    before: str | None = None
    for kind, length in runs:
        if kind is None:
            tags += ["O"] * length
        elif scheme == "iob1":
            tags += [f"{'B' if before == kind else 'I'}-{kind}"] + [f"I-{kind}"] * (length - 1)
        elif scheme == "bio":
            tags += [f"B-{kind}"] + [f"I-{kind}"] * (length - 1)
        else:
            single, last = ("S", "E") if scheme == "bioes" else ("U", "L")
            letters = single if length == 1 else "B" + "I" * (length - 2) + last
            tags += [f"{letter}-{kind}" for letter in letters]
        before = kind
    return tags


@pytest.mark.parametrize("scheme", ["iob1", "bio", "bioes", "bilou"])
@given(runs=RUNS)
def test_every_scheme_becomes_the_same_bio(scheme: str, runs: list[tuple[str | None, int]]) -> None:
    bio, tags = written(runs, "bio"), written(runs, scheme)
    assert list(to_bio(tags)) == bio
    turned = ["-".join(tag.split("-", 1)[::-1]) for tag in tags]
    assert list(to_bio(turned, FIRST)) == bio


@pytest.mark.parametrize("scheme", ["iob1", "bio", "bioes", "bilou"])
@given(lengths=st.lists(st.tuples(st.booleans(), st.integers(1, 4)), max_size=7))
def test_tags_without_a_type(scheme: str, lengths: list[tuple[bool, int]]) -> None:
    runs = [("PER" if is_span else None, length) for is_span, length in lengths]
    bare = [tag.removesuffix("-PER") for tag in written(runs, scheme)]
    assert list(to_bio(bare, NONE)) == [t.removesuffix("-PER") for t in written(runs, "bio")]


@pytest.mark.parametrize(
    ("tags", "bio"),
    [
        ("I-PER I-PER O I-LOC", "B-PER I-PER O B-LOC"),
        ("I-PER B-PER I-PER I-LOC", "B-PER B-PER I-PER B-LOC"),
        ("B-PER I-LOC", "B-PER B-LOC"),
        ("S-PER I-PER E-PER E-PER", "B-PER B-PER I-PER B-PER"),
        ("U-PER L-PER", "B-PER B-PER"),
        ("", ""),
    ],
)
def test_spans_by_hand(tags: str, bio: str) -> None:
    assert to_bio(tags.split()) == tuple(bio.split())


@pytest.mark.parametrize(
    ("sentences", "place"),
    [
        (["B-X I-X O", "B-Y"], LAST),
        (["B-X I-X", "O I-Y"], LAST),
        (["S-X"], LAST),
        (["B-X L-X U-Y"], LAST),
        (["B-B I-B"], LAST),
        (["X-B X-I O", "a-b-B"], FIRST),
        (["X-I Y-S"], FIRST),
        (["B I O", "B"], NONE),
        (["I I O"], NONE),
        (["B I E S O"], NONE),
        (["NOUN VERB"], None),
        (["B-X O", "NOUN"], None),
        (["B-X I"], None),
        (["X-B B-X"], None),
        (["X-S O"], None),
        (["S U O"], None),
        (["B I X"], None),
        (["E-mail S-bar NN"], None),
        (["B- O"], None),
        (["O O", "O"], None),
        ([], None),
    ],
)
def test_the_form_of_tags_is_told_over_the_whole(sentences: list[str], place: str | None) -> None:
    assert place_of_types([tags.split() for tags in sentences]) == place
