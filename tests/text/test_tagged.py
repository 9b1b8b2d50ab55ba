"""Tagged sentences: every format from every source, and what is wrong with a line."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from rnntext.errors import DataError, UsageError
from rnntext.text.formats import DataOptions
from rnntext.text.raw_text import RawText
from rnntext.text.tagged import Tagged, read_tagged, tagged_reader
from tests.text.test_source import piped, standard_input

WORDS = (("naïve", "café", "你好", "🙂"), ("#", "New York"))
TAGS = (("ADJ", "NOUN", "X", "SYM"), ("SYM", "PROPN"))


def conllu_line(number: str, word: str, upos: str, xpos: str = "_") -> str:
    return f"{number}\t{word}\tlemma\t{upos}\t{xpos}\tA=b\t0\troot\t_\t_\n"


CONTENT = {
    "conllu": "# newdoc\n# text = naïve café 你好 🙂\n"
    + conllu_line("1-2", "naïvecafé", "_")
    + "".join(
        conllu_line(str(n), *pair) for n, pair in enumerate(zip(WORDS[0], TAGS[0], strict=True), 1)
    )
    + conllu_line("4.1", "gone", "VERB")
    + "\n\n# text = ...\n"
    + conllu_line("1", "#", "SYM")
    + conllu_line("2", "New York", "PROPN"),
    "conll": "-DOCSTART- -X-\n\n"
    + "".join(f"{w}\tx\t{t}\n" for w, t in zip(WORDS[0], TAGS[0], strict=True))
    + " \t\n-DOCSTART-\n#\tx\tSYM\nNew York\tx\tPROPN",
    "jsonl": "".join(
        json.dumps({"words": w, "tags": t, "id": 1}) + "\n"
        for w, t in zip((*WORDS, ()), (*TAGS, ()), strict=True)
    ),
}
LINES = {"conllu": (4, 12), "conll": (3, 9), "jsonl": (1, 2)}


def read(path: Path | str, stdin: int = 0, **options: str) -> list[Tagged]:
    return list(read_tagged([str(path)], DataOptions(**options), stdin))


def test_standard_input_is_descriptor_0() -> None:
    with standard_input(b"a\tX\nb\tY\n"):
        (found,) = read_tagged(["-"], DataOptions())
        assert (list(found.words), list(found.tags)) == (["a", "b"], ["X", "Y"])


@pytest.mark.parametrize("where", ["named", "other name", "gz", "stdin", "format named"])
@pytest.mark.parametrize("format_name", CONTENT)
def test_every_format_from_every_source(format_name: str, where: str, tmp_path: Path) -> None:
    content = CONTENT[format_name].encode()
    path = tmp_path / f"data{f'.{format_name}' if where in ('named', 'gz') else '.tsv'}"
    name = str(path)
    if where == "stdin":
        stdin = piped(content)
        name = "standard input"
        got = read("-", stdin)
        os.close(stdin)
    elif where == "gz":
        name += ".gz"
        Path(name).write_bytes(gzip.compress(content))
        got = read(name)
    else:
        path.write_bytes(content)
        got = read(path, **({"format": format_name} if where == "format named" else {}))
    assert got == [
        Tagged(words, tags, name, line)
        for words, tags, line in zip(WORDS, TAGS, LINES[format_name], strict=True)
    ]


def tags(tmp_path: Path, name: str, content: str, **options: str) -> list[tuple[str, ...]]:
    path = tmp_path / name
    path.write_text(content)
    return [sentence.tags for sentence in read(path, **options)]


@pytest.mark.parametrize(
    ("column", "expected"),
    [("xpos", "NN"), ("XPOS", "NN"), ("lemma", "lemma"), ("feats", "A=b"), ("deprel", "root"),
     ("5", "NN"), ("7", "0")],
)  # fmt: skip
def test_the_columns_of_conllu(tmp_path: Path, column: str, expected: str) -> None:
    content = conllu_line("1", "a", "NOUN", "NN")
    assert tags(tmp_path, "a.conllu", content, tag_column=column) == [(expected,)]


def test_spaces_also_separate_columns_and_a_column_can_be_named(tmp_path: Path) -> None:
    content = "EU  NNP I-NP I-ORG \nno\u00a0break NN I-NP O\n"
    assert tags(tmp_path, "eng", content) == [("B-ORG", "O")]
    assert tags(tmp_path, "eng", content, tag_column="2") == [("NNP", "NN")]
    assert read(tmp_path / "eng")[0].words == ("EU", "no\u00a0break")


def test_the_columns_of_a_json_row(tmp_path: Path) -> None:
    content = '{"tokens": ["a", "b"], "ner": [1, "x"]}\n'
    assert tags(tmp_path, "a.jsonl", content, text_column="tokens", tag_column="ner") == [
        ("1", "x")
    ]


def test_sentences_have_the_group_that_a_column_names(tmp_path: Path) -> None:
    """Also where their span tags are converted."""
    path = tmp_path / "a.jsonl"
    rows = [{"words": ["a", "b"], "tags": ["B-x", "E-x"], "book": book} for book in ("one", None)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read(path, group_column="book")
    assert [(sentence.group, sentence.tags) for sentence in found] == [
        ("one", ("B-x", "I-x")),
        (None, ("B-x", "I-x")),
    ]
    with pytest.raises(DataError, match=r"line 1 has no column 'page'.*--group-column"):
        read(path, group_column="page")


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.conll", "a X\n", "CoNLL columns"),
        ("a.conllu", conllu_line("1", "a", "X") + "\n", "CoNLL-U"),
    ],
)
def test_columns_without_names_have_no_groups(
    name: str, content: str, kind: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(content)
    message = f"^--group-column book: {path} is {kind}, which has no columns with names: leave it"
    with pytest.raises(UsageError, match=message):
        read(path, group_column="book")
    assert [sentence.group for sentence in read(path)] == [None]


def test_span_tags_are_told_over_all_the_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x I-A\ny E-A\n\nz S-A\n")
    (tmp_path / "b").write_text("x B-B\n")
    (tmp_path / "c").write_text("x NOUN\n")

    def both(*names: str) -> list[tuple[str, ...]]:
        paths = [str(tmp_path / name) for name in names]
        return [sentence.tags for sentence in read_tagged(paths, DataOptions())]

    assert both("a", "b") == [("B-A", "I-A"), ("B-A",), ("B-B",)]
    assert both("a", "c") == [("I-A", "E-A"), ("S-A",), ("NOUN",)]


@pytest.mark.parametrize(
    ("content", "tags"),
    [
        ("x A-B\ny A-I\n\nz A-I\n", [("B-A", "I-A"), ("B-A",)]),
        ("x I\ny I\n\nz O\nw B\nv E\n", [("B", "I"), ("O", "B", "I")]),
    ],
)
def test_the_types_of_span_tags_stand_last_or_are_left_out(
    content: str, tags: list[tuple[str, ...]], tmp_path: Path
) -> None:
    path = tmp_path / "a.conll"
    path.write_text(content)
    assert [sentence.tags for sentence in read_tagged([str(path)], DataOptions())] == tags
    assert [s.tags for s in tagged_reader([str(path)], DataOptions())()] == tags


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.conllu", "1\ta\tb\n", "a.conllu, line 1 has 3 columns where CoNLL-U has 10"),
        ("a.conllu", "#\n" + conllu_line("x", "a", "X"), "line 2: 'x' is no CoNLL-U word number"),
        ("a.conllu", conllu_line("1", "", "X"), "a.conllu, line 1 has an empty word"),
        ("a.conllu", conllu_line("1", "a", ""), "a.conllu, line 1 has a word without a tag"),
        ("a.conllu", conllu_line("1", "a", "_"), "a.conllu has no tag in column upos, only '_'"),
        ("a.conllu", "# text\n\n", "a.conllu has no sentences in it"),
        ("a.conllu", "", "a.conllu is empty"),
        ("a.conll", "word\n", "a.conll, line 1 has one column"),
        ("a.conll", "a x y\n\nb x\n", "a.conll, line 3 has 2 columns where the lines before ha"),
        ("a.conll", "a\tb\t\n", "a.conll, line 1 has a word without a tag"),
        ("a.conll", "-DOCSTART- O\n\n", "a.conll has no sentences in it"),
        ("a.jsonl", '{"words": ["a", "b"], "tags": ["x"]}', "line 1 has 2 words and 1 tags"),
        ("a.jsonl", '{"words": "a b", "tags": ["x"]}', "a.jsonl, line 1: 'words' is not a list"),
        ("a.jsonl", '{"words": [1], "tags": ["x"]}', "line 1: a word is not a string"),
        ("a.jsonl", '{"words": ["a"], "tags": [null]}', "line 1 has a word without a tag"),
        ("a.jsonl", '{"words": ["a"], "tags": [[]]}', "a tag is neither a string nor a number"),
        ("a.jsonl", '{"words": ["a"]}', "has no column 'tags'; it has: words (name one with --t"),
        ("a.jsonl", '{"words": [], "tags": []}', "a.jsonl has no sentences in it"),
    ],
)
def test_what_cannot_be_used_is_named(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    with pytest.raises(DataError) as caught:
        tags(tmp_path, name, content)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "column", "message"),
    [
        ("a.conllu", conllu_line("1", "a", "X"), "head", "one of lemma, upos, xpos, feats, depr"),
        ("a.conllu", conllu_line("1", "a", "X"), "11", "a number from 1 to 10"),
        ("a.conll", "a b\n", "upos", "for CoNLL columns it is a column's number from 1"),
        ("a.conll", "a b\n", "0", "for CoNLL columns it is a column's number from 1"),
        ("a.conll", "a b\n", "3", "has 2 columns"),
    ],
)
def test_a_tag_column_that_cannot_be(
    tmp_path: Path, name: str, content: str, column: str, message: str
) -> None:
    with pytest.raises(UsageError, match=f"^--tag-column {column}: .*{message}"):
        tags(tmp_path, name, content, tag_column=column)


@pytest.mark.parametrize("tags", ["B-x I-x O", "I-x I-x O", "B-x E-x S-y", "ADJ NOUN X"])
def test_what_reads_again_reads_the_same(tags: str, tmp_path: Path) -> None:
    """Span tags become BIO, though nothing is held to tell what they are."""
    for name in ("a", "b"):
        words = zip(WORDS[0], tags.split(), strict=False)
        (tmp_path / name).write_text("".join(f"{w} {t}\n" for w, t in words), "utf-8")
    paths = [str(tmp_path / "a"), str(tmp_path / "b")]
    read = tagged_reader(paths, DataOptions())
    wanted = list(read_tagged(paths, DataOptions()))
    assert len(wanted) == 2
    assert list(read()) == list(read()) == wanted


def test_what_reads_again_refuses_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("\n\n")
    with pytest.raises(DataError, match="a has no sentences in it"):
        tagged_reader([str(path)], DataOptions())


def raw_texts(tmp_path: Path, *lines: str) -> list[RawText | None]:
    path = tmp_path / "raw.conllu"
    # Each line is an id, a form and what the last column says.
    rows = []
    for line in lines:
        number, form, misc = [*line.split(" "), "_", "_"][:3]
        rows.append("\t".join([number, form, *"_X_____", misc]) if number.strip("#") else line)
    path.write_text("\n".join([*rows, "", ""]), "utf-8")
    return [sentence.raw for sentence in read(path)]


def test_conllu_says_how_words_are_written(tmp_path: Path) -> None:
    (found,) = raw_texts(
        tmp_path,
        "# text = Naïve au  🙂.",
        "1 Naïve",
        "2-3 au",
        "2 à",
        "3 le",
        "3.1 x",
        "4 🙂",
        "5 .",
    )
    assert found == RawText("Naïve au  🙂.", ((0, 5), (6, 8), (10, 11), (11, 12)), (1, 2, 1, 1))


def test_without_a_text_spaces_say_it(tmp_path: Path) -> None:
    lines = ["1 a", "2-3 du SpaceAfter=No", "2 de", "3 le", "4 . X|SpaceAfter=No", "", "1 b", "2 c"]
    found = RawText("a du.", ((0, 1), (2, 4), (4, 5)), (1, 2, 1))
    assert raw_texts(tmp_path, *lines) == [found, None]


@pytest.mark.parametrize(
    "lines",
    [
        ["# text = other", "1 a"],
        ["# text = a b", "1-3 a", "1 a", "2 b"],  # a word of the range is missing
        ["# text = a b", "1-1 a", "1 a", "2 b"],  # a range of one word
        ["# text = a b", "2-1 a", "1 a", "2 b"],
    ],
)
def test_a_text_that_its_words_are_not_is_passed_over(tmp_path: Path, lines: list[str]) -> None:
    assert raw_texts(tmp_path, *lines) == [None]
