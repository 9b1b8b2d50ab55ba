"""`rnntext evaluate` and `rnntext info`: numbers for scripts."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

import rnntext
from tests.cli.test_streams import on_terminal
from tests.conftest import CORPORA, TINY, Shell

ONE = ("--threads", "1")


@pytest.mark.parametrize(
    ("bounds", "status"),
    [
        (["--min", "accuracy=0"], 0),
        (["--min", "accuracy=0.0", "--max", "accuracy=1"], 0),
        (["--min", "accuracy=1.01"], 3),
        (["--max", "majority=0.4"], 3),
        (["--min", "accuracy=0", "--min", "macro_f1=2"], 3),
    ],
)
def test_bounds(bounds: list[str], status: int, run: Shell, classifier: Path) -> None:
    args = ("evaluate", "-m", classifier, *ONE, CORPORA / "reviews.csv")
    found = run(*args, *bounds)
    assert found.status == status
    # The metrics are printed in either case, and a bound that is not met on stderr.
    assert found.out == run(*args).done().out
    assert len(found.err.splitlines()) == (1 if status else 0)
    assert run(*args, *bounds, "--json").status == status
    quiet = run(*args, *bounds, "-q")
    assert (quiet.status, quiet.out, quiet.err) == (status, found.out, "")


@pytest.mark.parametrize(
    ("bound", "part"),
    [
        (["--min", "bleu=1"], "accuracy, macro_f1, log_loss, ece, majority"),
        (["--max", "per_label=1"], "per_label"),
        (["--min", "accuracy"], "METRIC=VALUE"),
        (["--min", "accuracy=much"], "METRIC=VALUE"),
    ],
)
def test_bounds_that_cannot_be(bound: list[str], part: str, run: Shell, classifier: Path) -> None:
    args = ("evaluate", "-m", classifier, *ONE, CORPORA / "reviews.csv")
    run(*args, *bound).failed(2, part)
    # Nothing is measured for that.
    run(*args[:-1], "none.csv", *bound).failed(2, part)


@pytest.mark.parametrize("task", ["lm", "classifier", "several", "tagger", "spans"])
def test_every_metric_may_be_bounded(
    task: str, request: pytest.FixtureRequest, run: Shell, tmp_path: Path
) -> None:
    data = {"lm": "stories.txt", "classifier": "reviews.csv", "tagger": "tagged.conllu"}.get(task)
    if data is not None:
        model, file = request.getfixturevalue(task), CORPORA / data
    else:
        model, file = tmp_path / "m", tmp_path / "data.jsonl"
        rows: list[dict[str, object]] = [
            {"words": ["a", f"b{n}"], "tags": ["O", "B-x"]}
            if task == "spans"
            else {"text": f"a b{n}", "label": ["x", "y"][: 1 + n % 2]}
            for n in range(20)
        ]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        kind = ("tag",) if task == "spans" else ("classify", "--multi-label")
        run("train", *kind, file, "-o", model, *TINY, 2, "-q").done()
    args = ("evaluate", "-m", model, *ONE, file)
    found = run(*args).done().pairs
    known = [name for name, value in found.items() if value]
    bounds = [word for name in known for word in ("--min", f"{name}=-1", "--max", f"{name}=1e9")]
    assert run(*args, *bounds).done().pairs == found


def test_rates_are_those_of_the_answers(run: Shell, classifier: Path) -> None:
    data = CORPORA / "reviews.csv"
    with data.open(encoding="utf-8", newline="") as file:
        gold = [row["label"] for row in csv.DictReader(file)]
    answers = run("classify", "-m", classifier, *ONE, "--text-column", "text", data).done().lines
    right = [line.split("\t")[0] == label for line, label in zip(answers, gold, strict=True)]
    (found,) = run("evaluate", "-m", classifier, *ONE, "--json", data).done().objects
    assert found["accuracy"] == pytest.approx(sum(right) / len(right), abs=1e-6)
    assert found["majority"] == 0.5
    assert found["labels"] == ["neg", "pos"]
    assert sum(map(sum, found["confusion"])) == len(gold)
    assert {label: found["per_label"][label]["support"] for label in ("neg", "pos")} == {
        "neg": gold.count("neg"),
        "pos": gold.count("pos"),
    }


def test_data_from_a_pipe(run: Shell, lm: Path, classifier: Path, tagger: Path) -> None:
    for model, file in (
        (lm, "stories.txt"),
        (classifier, "reviews.csv"),
        (tagger, "tagged.conllu"),
    ):
        args = ("evaluate", "-m", model, *ONE)
        piped = run(*args, "-", stdin=(CORPORA / file).read_bytes()).done()
        assert piped.out == run(*args, CORPORA / file).done().out


def test_columns_and_labels_of_another_file(run: Shell, classifier: Path, tmp_path: Path) -> None:
    data = tmp_path / "a.tsv"
    data.write_text('review\tstars\nsome text\tneg\nmore "text\tunheard of\n')
    args = ("evaluate", "-m", classifier, "--text-column", "review", "--label-column", "stars")
    answer = run(*args, "--json", data)
    assert answer.status == 0
    assert answer.err == (
        "rnntext: the model does not know this label of the data, and misses it: unheard of (1)\n"
    )
    (found,) = answer.objects
    assert found["labels"] == ["neg", "pos", "unheard of"]
    assert found["per_label"]["unheard of"]["support"] == 1


def test_data_are_read_like_the_training_data(run: Shell, tmp_path: Path) -> None:
    """By the command and by the library."""
    data = tmp_path / "a.dat"
    rows = [f"{n};naïve caf{'é' * (n % 3)};{'x' if n % 2 else 'y'}\n" for n in range(20)]
    data.write_text(("id;review;stars\n" + "".join(rows)).replace(";", ","), "latin-1")
    how = (
        "--format", "csv", "--text-column", "review", "--label-column", "stars",
        "--encoding", "latin-1",
    )  # fmt: skip
    model = tmp_path / "m"
    run("train", "classify", data, *how, "-o", model, *TINY, 2, "-q").done()
    args = ("evaluate", "-m", model, *ONE, "--json", data)
    (found,) = run(*args).done().objects
    assert found["labels"] == ["x", "y"]
    assert run(*args, *how).done().objects == [found]
    assert rnntext.evaluate(model, data, threads=1)["confusion"] == found["confusion"]
    run(*args, "--encoding", "utf-8").failed(1, "is not UTF-8")
    run(*args, "--text-column", "text").failed(1, "has no column 'text'")


def test_a_terminal_shows_twenty_of_many_labels(
    run: Shell, classifier: Path, tmp_path: Path
) -> None:
    data = tmp_path / "a.tsv"
    rows = [f"text {n}\tlabel {n:02}\n" for n in range(30)]
    data.write_text("text\tlabel\n" + "".join(rows) + rows[29])
    args = ("evaluate", "-m", classifier, *ONE, data)
    shown, confused = on_terminal(run, *args, size=(99, 200))[1].decode().split("most frequent con")
    assert confused.count("label ") == 20
    assert shown.count("label ") == 21  # and the head of the column
    assert shown.index("label 29") < shown.index("label 00")
    assert "the 20 most frequent of 32 labels; --json gives all of them" in shown
    assert len(run(*args, "--json", "-q").done().objects[0]["per_label"]) == 32


def test_many_labels_have_no_matrix(run: Shell, classifier: Path, tmp_path: Path) -> None:
    data = tmp_path / "a.tsv"
    rows = [f"text {n}\tlabel {n:04}\n" for n in range(999)]
    data.write_text("text\tlabel\n" + "".join(rows))
    args = ("evaluate", "-m", classifier, *ONE, "--json", "-q", data)
    (found,) = run(*args).done().objects
    assert list(found)[-3:] == ["per_label", "confusion_pairs", "labels"]
    assert len(found["labels"]) == 1001
    # Every text has a label that the model does not know, and is taken for one of its two.
    assert {gold for gold, _, _ in found["confusion_pairs"]} == set(range(2, 1001))
    assert {taken for _, taken, _ in found["confusion_pairs"]} <= {0, 1}
    data.write_text("text\tlabel\n" + "".join(rows[:998]))
    (found,) = run(*args).done().objects
    assert len(found["confusion"]) == 1000
    assert "confusion_pairs" not in found


def test_the_worst_mistakes_are_those_of_classify(
    run: Shell, classifier: Path, tagger: Path, lm: Path, tmp_path: Path
) -> None:
    with (CORPORA / "reviews.csv").open(encoding="utf-8", newline="") as file:
        reviews = list(csv.DictReader(file))
    # Some labels are wrong, so that a classifier that has learned all of them makes mistakes.
    for review in reviews[:40]:
        review["label"] = {"pos": "neg", "neg": "pos"}[review["label"]]
    data = tmp_path / "reviews.csv"
    with data.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["text", "label"])
        writer.writeheader()
        writer.writerows(reviews)
    answers = run("classify", "-m", classifier, *ONE, "--text-column", "text", data).done().lines
    given = [line.split("\t") for line in answers]
    wrong = [
        {"gold": row["label"], "predicted": label, "text": row["text"], "probability": float(p)}
        for row, (label, p) in zip(reviews, given, strict=True)
        if label != row["label"]
    ]
    assert wrong
    args = ("evaluate", "-m", classifier, *ONE, "--errors", 10_000, data)
    (found,) = run(*args, "--json").done().objects
    surest = sorted((each["probability"] for each in wrong), reverse=True)
    assert [each["probability"] for each in found["errors"]] == pytest.approx(surest, abs=1e-4)
    names = ("gold", "predicted", "text")
    said = [tuple(each[name] for name in names) for each in found["errors"]]
    assert sorted(said) == sorted(tuple(each[name] for name in names) for each in wrong)
    lines = run(*args).done().lines
    assert len(lines[lines.index("") + 1 :]) == len(wrong)
    tagged = ("evaluate", "-m", tagger, *ONE, CORPORA / "tagged.conllu", "--errors", 3, "--json")
    errors = run(*tagged).done().objects[0]["errors"]
    assert all(each["word"] in each["text"].split(" ") for each in errors)
    run("evaluate", "-m", lm, "no file", "--errors", 1).failed(2, "--errors", "language model")


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_predictions_keep_the_rows(
    suffix: str, run: Shell, classifier: Path, tmp_path: Path
) -> None:
    rows = [
        {"id": f"{n}", "text": f'naïve "café", {n} 你好 🙂', "label": label, "line": "own"}
        for n, label in enumerate(["pos", "neg", "unheard of"] * 3)
    ]
    data, file = tmp_path / "a.jsonl", tmp_path / f"p.{suffix}"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    args = ("evaluate", "-m", classifier, *ONE, data, "--predictions")
    found = run(*args, file, "-q").done()
    assert found.out == run(*args[:-1], "-q").done().out
    with file.open(encoding="utf-8", newline="") as lines:
        delimiter = "\t" if suffix == "tsv" else ","
        quoting = csv.QUOTE_NONE if suffix == "tsv" else csv.QUOTE_MINIMAL
        written: list[dict[str, object]] = (
            [json.loads(line) for line in lines]
            if suffix == "jsonl"
            else list(csv.DictReader(lines, delimiter=delimiter, quoting=quoting))
        )
    assert [{name: row[name] for name in rows[0]} for row in written] == rows
    assert [row["gold"] for row in written] == [row["label"] for row in rows]
    answers = run("classify", "-m", classifier, *ONE, "--text-column", "text", data).done().lines
    given = [line.split("\t") for line in answers]
    assert [row["predicted"] for row in written] == [label for label, _ in given]
    likely = [float(str(row["probability"])) for row in written]
    assert likely == pytest.approx([float(p) for _, p in given], abs=1e-4)
    assert [int(str(row["rnntext_line"])) for row in written] == list(range(1, 10))
    # An error in the data leaves the file as it was, and nothing beside it.
    before = file.read_bytes()
    with data.open("a") as more:
        more.write("{}\n")
    run(*args, file).failed(1, "line 10 has no column")
    assert file.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["a.jsonl", file.name])
    run(*args, data).failed(2, "is read by this command")
    run(*args, classifier / "metrics.jsonl").failed(2, "is read by this command")


def test_predictions_of_a_tagger(run: Shell, tagger: Path, tmp_path: Path) -> None:
    data, file = CORPORA / "tagged.conllu", tmp_path / "p.jsonl"
    args = ("evaluate", "-m", tagger, *ONE, "--json", data, "--predictions", file)
    (found,) = run(*args).done().objects
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    pairs = [
        pair
        for row in rows
        for pair in zip(row["gold"], row["predicted"], row["words"], strict=True)
    ]
    right = sum(gold == predicted for gold, predicted, _ in pairs)
    assert right / len(pairs) == pytest.approx(found["accuracy"], abs=1e-6)


def texts_of(picture: Path) -> set[str]:
    tree = ElementTree.fromstring(picture.read_text("utf-8"))  # noqa: S314
    return {"".join(text.itertext()) for text in tree.iter() if "text" in text.tag}


def test_pictures(run: Shell, classifier: Path, tagger: Path, lm: Path, tmp_path: Path) -> None:
    """What is printed stays as it is; the picture shows the numbers that are printed."""
    out = tmp_path / "a.svg"
    args = ("evaluate", "-m", classifier, *ONE, CORPORA / "reviews.csv")
    found = run(*args, "-o", out).done()
    assert found.out == run(*args).done().out
    (metrics,) = run(*args, "--json", "-o", out).done().objects
    texts = texts_of(out)
    count = sum(scores["support"] for scores in metrics["per_label"].values())
    assert f"{classifier}: {count:,} texts" in texts
    (ece,) = (text for text in texts if text.startswith("reliability: ECE "))
    assert float(ece.split()[2]) == pytest.approx(metrics["ece"], rel=1e-3, abs=1e-6)
    labels = {f"{label} ({s['support']:,})" for label, s in metrics["per_label"].items()}
    assert labels <= texts
    args = ("evaluate", "-m", tagger, *ONE, CORPORA / "tagged.conllu")
    (metrics,) = run(*args, "--json", "-o", out).done().objects
    count = sum(scores["support"] for scores in metrics["per_label"].values())
    assert f"{tagger}: {count:,} words" in texts_of(out)
    run(*args, "-o", tmp_path / "b.PNG").done()
    assert (tmp_path / "b.PNG").read_bytes().startswith(b"\x89PNG")
    run("evaluate", "-m", lm, "no file", "-o", out).failed(2, "-o is for", "language model")
    run(*args, "-o", "x.pdf").failed(2, "-o x.pdf: a picture's name ends in .png or .svg")
    run(*args, "-o", "none/x.png").failed(1, "cannot write none/x.png: No such file")


def test_a_picture_on_a_disk_that_fills(run: Shell, classifier: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.svg"
    out.write_text("the old one")
    before = """
    import resource, signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
    """
    args = ("evaluate", "-m", classifier, *ONE, CORPORA / "reviews.csv", "-o", out)
    found = run(*args, before=before).failed(1, f"cannot write {out}: File too large; free some")
    assert found.out == b""
    assert out.read_text() == "the old one"
    assert [*tmp_path.iterdir()] == [out]


def test_a_language_model_starts_each_file_anew(run: Shell, lm: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Mara lit the ovens.\nThe gulls woke.\n")
    args = ("evaluate", "-m", lm, *ONE, "--json")
    (one,) = run(*args, tmp_path / "a.txt").done().objects
    (two,) = run(*args, tmp_path / "a.txt", tmp_path / "a.txt").done().objects
    assert two["tokens"] == 2 * one["tokens"]
    assert two["perplexity"] == pytest.approx(one["perplexity"], rel=1e-5)
    assert one["unknown_rate"] == 0
    assert one["bits_per_byte"] > 0


def test_info(run: Shell, lm: Path, classifier: Path, tagger: Path) -> None:
    for model, task in ((lm, "lm"), (classifier, "classify"), (tagger, "tag")):
        pairs = run("info", model).done().pairs
        assert (pairs["task"], pairs["cell"], pairs["steps"]) == (task, "lstm", "20")
        assert ("labels" in pairs) == (task != "lm")
        (found,) = run("info", "--json", model).done().objects
        assert list(found) == list(pairs)
        assert found["bytes"] == sum(
            f.stat().st_size
            for f in model.iterdir()
            if f.name not in ("config.json", ".gitattributes")
        )
    assert run("info", classifier).pairs["labels"] == "neg, pos"


def test_records_that_cannot_be_read(run: Shell, classifier: Path, tmp_path: Path) -> None:
    """The metrics are of the others, and the command fails at the end."""
    rows = (CORPORA / "reviews.csv").read_text("utf-8").splitlines(keepends=True)[:60]
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text("".join(rows), "utf-8")
    bad.write_text("".join([*rows[:9], "one field\n", *rows[9:], "a,b,c\n"]), "utf-8")
    command = ("evaluate", "-m", classifier, *ONE)
    wanted = run(*command, good).done().out
    run(*command, bad).failed(1, "line 10 has 1 fields")
    for on_error in ("null", "skip"):
        found = run(*command, bad, "--on-error", on_error)
        assert found.failed(1, "2 records could not be read; the first: ", "line 10").out == wanted
        assert run(*command, good, "--on-error", on_error).done().out == wanted
    found = run(*command, bad, "--on-error", "skip", "--min", "accuracy=2")
    assert (found.status, found.out, len(found.err.splitlines())) == (3, wanted, 2)
    run(*command, good, "--on-error", "stop").failed(2, "fail, null, skip")
