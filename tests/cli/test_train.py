"""`rnntext train`: what it prints, every format it reads, and that runs can be repeated."""

from __future__ import annotations

import gzip
import json
import os
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rnntext.checkpoint import load
from tests.cli.test_streams import on_terminal
from tests.conftest import CORPORA, TINY, Outcome, Shell

SAMPLE = "naïve café 你好 🙂"
CLASSIFY = {"accuracy", "macro_f1", "log_loss", "ece", "majority"}
METRICS = {
    "lm": {"perplexity", "perplexity_known", "bits_per_byte", "tokens", "unknown_rate"},
    "classify": CLASSIFY,
    "several": CLASSIFY | {"micro_f1"},
    "tag": {"accuracy"},
    "spans": {"accuracy", "precision", "recall", "f1"},
}
RESULT = {"task", "model", "steps", "seconds", "tokens_per_second", "parameters"}
FILES = ["config.json", "model.onnx", "model.safetensors"]


def labelled(labels: list[str], count: int = 4) -> list[tuple[str, str]]:
    """Texts, all different, with each label `count` times."""
    return [(f"{SAMPLE} number {n}{label}", label) for label in labels for n in range(count)]


def conllu(sentences: int = 12) -> str:
    """Sentences with a multiword range, an empty node, and comments."""
    rest = "\t_" * 6
    return "".join(
        f"# text = don't go {n}\n"
        f"1-2\tdon't\t_\t_{rest}\n1\tdo\t_\tAUX{rest}\n2\tn't\t_\tPART{rest}\n"
        f"2.1\tghost\t_\tX{rest}\n3\tgo{n}\t_\tVERB{rest}\n\n"
        for n in range(sentences)
    )


def folders(tmp: Path) -> Path:
    for label in ("good", "bad"):
        (tmp / "data" / label).mkdir(parents=True)
        for number in range(6):
            text = f"{SAMPLE}\nthis one is {label} {number}\n"
            (tmp / "data" / label / f"{number}.txt").write_text(text, "utf-8")
        (tmp / "data" / label / "notes.md").write_text("not an example")
    return tmp / "data"


def documents(tmp: Path) -> Path:
    (tmp / "data" / "deep").mkdir(parents=True)
    for name in ("a.txt", "b.md", "deep/c"):
        lines = (f"{SAMPLE} in {name}, line {n}\n" for n in range(20))
        (tmp / "data" / name).write_text("".join(lines), "utf-8")
    (tmp / "data" / "picture.png").write_bytes(b"\x89PNG\0\0")
    (tmp / "data" / ".hidden").write_bytes(b"\xff")
    (tmp / "data" / "empty.txt").touch()
    return tmp / "data"


def table(rows: list[tuple[str, str]], separator: str) -> str:
    return "".join(separator.join(row) + "\n" for row in [("text", "label"), *rows])


def objects(rows: list[tuple[Any, Any]], names: tuple[str, str] = ("text", "label")) -> str:
    return "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows)


ODD = ["1", "NA", "null"]
SEVERAL: list[tuple[str, Any]] = [(f"text {n}", [["a"], ["a", "b"], []][n % 3]) for n in range(12)]
IOB1 = "-DOCSTART- -X- O\n\n" + "".join(
    f"Ann{n} NNP I-PER\nBo NNP B-PER\nin IN O\nUlm NNP I-LOC\n\n" for n in range(12)
)
Source = str | bytes | Callable[[Path], Path]

# Task, the data file's name and content, further options, and the labels that come out.
FORMATS: dict[str, tuple[str, str, Source, list[str], list[str]]] = {
    "csv": ("classify", "a.csv", table(labelled(ODD), ","), [], ODD),
    "csv quoted": (
        "classify",
        "a.csv",
        "id,label,text\r\n" + "".join(f'{n},"a,{n % 2}","x\n""{n}"""\r\n' for n in range(12)),
        [],
        ["a,0", "a,1"],
    ),
    "tsv": (
        "classify",
        "a.tsv",
        table([(f'"{n} open', 'say "a"' if n % 2 else '"') for n in range(12)], "\t"),
        [],
        ['"', 'say "a"'],
    ),
    "jsonl": (
        "classify",
        "a.jsonl",
        objects([(f"t {n}", [1, True, 1.5, "NA", "null"][n % 5]) for n in range(20)]),
        [],
        ["1", "1.5", "NA", "null", "true"],
    ),
    "columns": (
        "classify",
        "a.jsonl",
        objects([(f"t {n}", n % 2) for n in range(12)], ("review", "stars")),
        ["--text-column", "review", "--label-column", "stars"],
        ["0", "1"],
    ),
    "fastText": (
        "classify",
        "a.txt",
        "".join(f"__label__{label} {text}\n" for text, label in labelled(["a", "b"], 6)),
        [],
        ["a", "b"],
    ),
    "folders": ("classify", "", folders, [], ["bad", "good"]),
    "a class of three": (
        "classify",
        "a.csv",
        table([*labelled(["a", "b"], 10), *labelled(["rare"], 3)], ","),
        [],
        ["a", "b", "rare"],
    ),
    "classify gz": (
        "classify",
        "a.csv.gz",
        gzip.compress(table(labelled(ODD), ",").encode()),
        [],
        ODD,
    ),
    "classify stdin": ("classify", "-", table(labelled(ODD), "\t"), [], ODD),
    "format named": ("classify", "-", table(labelled(ODD), ","), ["--format", "csv"], ODD),
    "latin-1": (
        "classify",
        "a.csv",
        table([(f"é{n}", "ö" if n % 2 else "o") for n in range(12)], ",").encode("latin-1"),
        ["--encoding", "latin-1"],
        ["o", "ö"],
    ),
    "several": ("classify", "a.jsonl", objects(SEVERAL), ["--multi-label"], ["a", "b"]),
    "several csv": (
        "classify",
        "a.csv",
        table([(text, "|".join(labels)) for text, labels in SEVERAL], ","),
        ["--multi-label", "--label-separator", "|"],
        ["a", "b"],
    ),
    "conllu": ("tag", "a.conllu", conllu(), [], ["AUX", "PART", "VERB"]),
    "tag stdin": ("tag", "-", conllu(), [], ["AUX", "PART", "VERB"]),
    "tag gz": ("tag", "a.conllu.gz", gzip.compress(conllu().encode()), [], ["AUX", "PART", "VERB"]),
    "IOB1": ("tag", "a.conll", IOB1, [], ["B-LOC", "B-PER", "I-LOC", "I-PER", "O"]),
    "a column": ("tag", "a.conll", IOB1, ["--tag-column", "2"], ["IN", "NNP"]),
    "words and tags": (
        "tag",
        "a.jsonl",
        objects([(["a", f"b{n}"], ["NA", "1"]) for n in range(12)], ("words", "tags")),
        [],
        ["1", "NA"],
    ),
    "documents": ("lm", "", documents, [], []),
    "lm stdin": ("lm", "-", "".join(f"{SAMPLE} {n}\r\n" for n in range(40)), [], []),
    "lm gz": ("lm", "a.gz", gzip.compress((f"{SAMPLE}\n" * 40).encode()), [], []),
    "lm csv": (
        "lm",
        "a.csv",
        table(labelled(["a"], 40), ","),
        ["--text-column", "text"],
        [],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_every_format(name: str, run: Shell, tmp_path: Path) -> None:
    task, file, content, options, labels = FORMATS[name]
    stdin = b""
    if callable(content):
        data = str(content(tmp_path))
    else:
        raw = content if isinstance(content, bytes) else content.encode()
        data = file if file == "-" else str(tmp_path / file)
        if file == "-":
            stdin = raw
        else:
            Path(data).write_bytes(raw)
    out = tmp_path / "model"
    found = run("train", task, data, "-o", out, *TINY, 2, "-q", *options, stdin=stdin).done()
    kind = {"several": "several", "several csv": "several", "IOB1": "spans"}.get(name, task)
    assert set(found.pairs) >= RESULT | METRICS[kind]
    assert found.pairs["steps"] == "2"
    config = load(out).config
    assert config["model"]["labels"] == labels
    if name == "documents":
        assert config["data"]["train"] + config["data"]["valid"] == 60


def test_every_label_is_answered_as_it_was_in_the_file(run: Shell, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(table(labelled(ODD, 8), ","), "utf-8")
    args = ("train", "classify", tmp_path / "a.csv", "-o", tmp_path / "m", *TINY, 2, "-q")
    run(*args).done()
    found = run("classify", "-m", tmp_path / "m", "--json", "--text", "x").done().objects[0]
    assert set(found["labels"]) == set(ODD)


def test_many_labels(run: Shell, tmp_path: Path) -> None:
    """What a running model reads holds no table of them, and a terminal shows twenty."""
    labels = [f"label {number:03}" for number in range(300)]
    data, out = tmp_path / "a.csv", tmp_path / "m"
    data.write_text(table([*labelled(labels), *labelled(["label 123"], 9)], ","), "utf-8")
    args = ("train", "classify", data, "--valid", data, "-o", out, *TINY, 2, "-q")
    found = run(*args, "--json").done()
    told = found.objects[0]["metrics"]
    assert len(told["confusion"]) == len(told["per_label"]) == 300
    config = load(out).config
    assert config["results"]["metrics"].keys() == CLASSIFY
    assert config["model"]["labels"] == labels
    # Their list, and how often each occurs.
    assert (out / "config.json").stat().st_size < 20_000
    assert run(*args, "--resume", "--json").done().objects[0]["metrics"] == told
    assert "`label 019` and 280 more\n" in (out / "README.md").read_text("utf-8")
    shown = on_terminal(run, "info", out, size=(99, 3000))[1].decode()
    assert "label 019 and 280 more" in shown
    assert "label 299" in run("info", out).done().out.decode()
    dry = ("train", "classify", data, "--valid", data, "--dry-run", "-q", "--preset", "tiny")
    shown = on_terminal(run, *dry, size=(99, 200))[1].decode()
    assert shown.count("label label") == 20
    assert shown.index("label 123") < shown.index("label 000")
    assert "the 20 most frequent of 300 labels; --json gives all of them" in shown
    assert run(*dry).done().out.decode().count("label label") == 300


def test_the_result_as_json(run: Shell, tmp_path: Path) -> None:
    out = tmp_path / "m"
    args = ("train", "classify", CORPORA / "reviews.csv", "-o", out, *TINY, 3, "-q", "--json")
    (found,) = run(*args).done().objects
    assert set(found) >= RESULT | {"metrics"}
    assert (found["task"], found["model"], found["steps"]) == ("classify", str(out), 3)
    assert set(found["metrics"]) == CLASSIFY | {
        "accuracy_interval", "thresholds", "per_label", "confusion", "labels",
    }  # fmt: skip
    assert found["seconds"] > 0
    assert found["tokens_per_second"] > 0
    assert sum(map(sum, found["metrics"]["confusion"])) == 310


@pytest.mark.parametrize("task", ["lm", "classify", "tag"])
def test_evaluate_says_what_train_said(task: str, run: Shell, tmp_path: Path) -> None:
    whole = {
        "lm": (CORPORA / "stories.txt").read_text("utf-8").splitlines(keepends=True),
        "classify": (CORPORA / "reviews.csv").read_text("utf-8").splitlines(keepends=True),
        "tag": (CORPORA / "tagged.conllu").read_text("utf-8").split("\n\n")[:-1],
    }[task]
    name = {"lm": "v.txt", "classify": "v.csv", "tag": "v.conllu"}[task]
    head = whole[:1] if task == "classify" else []
    end = "\n\n" if task == "tag" else ""
    valid, data = tmp_path / name, tmp_path / f"t{name}"
    valid.write_text("".join(part + end for part in [*head, *whole[-60:]]), "utf-8")
    data.write_text("".join(part + end for part in whole[:-60]), "utf-8")
    args = ("train", task, data, "--valid", valid, "-o", tmp_path / "m", *TINY, 8, "-q", "--json")
    trained = run(*args).done().objects[0]["metrics"]
    args = ("evaluate", "-m", tmp_path / "m", "--threads", "1", valid)
    (measured,) = run(*args, "--json").done().objects
    assert list(measured) == list(trained)
    single = {name: value for name, value in trained.items() if isinstance(value, int | float)}
    assert {name: measured[name] for name in single} == pytest.approx(single, rel=1e-4, abs=1e-6)
    tables = ("confusion", "labels")
    assert {k: v for k, v in measured.items() if k in tables} == {
        k: v for k, v in trained.items() if k in tables
    }
    for one, two in zip(*(each.get("thresholds", []) for each in (measured, trained)), strict=True):
        # A confidence that is rounded in another way may reach one threshold more.
        rates = {name: one[name] for name in ("threshold", "recall", "coverage")}
        assert rates == pytest.approx({name: two[name] for name in rates}, abs=1.5 / 60)
    pairs = {name: float(value) for name, value in run(*args).done().pairs.items()}
    labels = trained.get("per_label", {})
    of_labels = {f"{name}.{la}": v for la, row in labels.items() for name, v in row.items()}
    assert list(pairs) == [*single, *of_labels]
    assert pairs == pytest.approx({**single, **of_labels}, rel=1e-4, abs=1e-6)


def test_a_dry_run_leaves_nothing(run: Shell, tmp_path: Path) -> None:
    data = tmp_path / "a.csv"
    rows = labelled(["a", "b"], 100)
    data.write_text(table(rows, ","), "utf-8")
    args = ("train", "classify", data, "--dry-run", "--threads", "1", "-q", "--preset", "tiny")
    found = run(*args, "--valid", data, "--json").done().objects[0]
    assert (found["train_documents"], found["valid_documents"]) == (200, 200)
    assert found["duplicates"] == 200
    assert found["labels"] == {"a": 100, "b": 100}
    assert found["seconds_per_epoch"] > 0
    assert os.listdir(tmp_path) == ["a.csv"]


# Starting from another model


@pytest.mark.parametrize("task", ["classify", "tag"])
def test_a_language_model_starts_another(task: str, run: Shell, lm: Path, tmp_path: Path) -> None:
    file = {"classify": "reviews.csv", "tag": "tagged.conllu"}[task]
    args = ("--init", lm, "--steps", 2, "--threads", "1", "-q")
    run("train", task, CORPORA / file, "-o", tmp_path / "m", *args).done()
    assert (tmp_path / "m/tokenizer.json").read_bytes() == (lm / "tokenizer.json").read_bytes()
    one, two = (load(path).config["model"]["encoder"] for path in (lm, tmp_path / "m"))
    for name in ("cell", "vocab_size", "embed_size", "hidden_size", "num_layers"):
        assert one[name] == two[name]
    run(task, "-m", tmp_path / "m", "--text", SAMPLE).done()


def test_a_language_model_with_two_encoders_starts_both_directions(
    run: Shell, tmp_path: Path
) -> None:
    """It answers as any other, with the weights of its first encoder alone."""
    base, args = tmp_path / "base", ("--steps", 2, "--threads", "1", "-q")
    run("train", "lm", CORPORA / "stories.txt", "-o", base, "--direction", "both", *args).done()
    assert run("info", base).pairs["direction"] == "both"
    run("score", "-m", base, "--text", SAMPLE).done()
    run("export", base, "-o", tmp_path / "base.onnx").done()
    reviews = CORPORA / "reviews.csv"
    run("train", "classify", reviews, "-o", tmp_path / "m", "--init", base, *args).done()
    assert load(tmp_path / "m").config["model"]["encoder"]["bidirectional"]


# Repeating a run


def same(one: Path, two: Path) -> bool:
    names = [*FILES[1:], *(path.name for path in one.glob("generation.onnx"))]
    return all((one / name).read_bytes() == (two / name).read_bytes() for name in names)


@pytest.mark.parametrize("task", ["lm", "classify", "tag"])
def test_the_same_command_gives_the_same_bytes(
    task: str, run: Shell, lm: Path, classifier: Path, tagger: Path, tmp_path: Path
) -> None:
    """The command is the one in the model card."""
    model = {"lm": lm, "classify": classifier, "tag": tagger}[task]
    card = (model / "README.md").read_text("utf-8")
    (line,) = re.findall("^    rnntext (train .*)$", card, re.MULTILINE)
    args = shlex.split(line)
    args[args.index("-o") + 1] = str(tmp_path / "m")
    # One of the three in an interpreter of its own.
    found = (run.fresh if task == "classify" else run)(*args, "-q").done()
    assert same(model, tmp_path / "m")
    name, value = next(iter(load(model).config["results"]["metrics"].items()))
    assert float(found.pairs[name]) == pytest.approx(value, abs=1e-6)


def test_very_long_sentences_are_learned_in_pieces(run: Shell, tmp_path: Path) -> None:
    """A trained tagger reads them in the same pieces, and no word is lost."""
    lines = (CORPORA / "tagged.conllu").read_text("utf-8").splitlines()
    words = ["\t".join(line.split("\t")[1:4:2]) for line in lines if line[:1].isdigit()]
    data = tmp_path / "long.conll"
    data.write_text("\n\n".join("\n".join(words[n::3] * 2) for n in range(3)), "utf-8")
    out = tmp_path / "m"
    args = ("train", "tag", data, "--valid", data, "-o", out, *TINY, 30)
    said = run(*args)
    assert said.status == 0, said.err
    assert json.loads((out / "config.json").read_bytes())["data"]["train"] == 3
    found = re.search(r"the sentences are read in (\d+) pieces of at most 512 tokens", said.told)
    assert found is not None, said.err
    assert int(found[1]) >= 2 * len(words) // 512
    measured = run("evaluate", "-m", out, data).done().pairs
    assert measured["accuracy"] == said.pairs["accuracy"]


def test_another_seed_gives_other_bytes(run: Shell, tagger: Path, tmp_path: Path) -> None:
    args = ("train", "tag", CORPORA / "tagged.conllu", "-o", tmp_path / "m", *TINY, 20, "-q")
    run(*args, "--seed", "4").done()
    assert not same(tagger, tmp_path / "m")


def test_a_config_repeats_its_run(run: Shell, classifier: Path, tmp_path: Path) -> None:
    config = classifier / "config.json"
    found = run("train", "classify", "--config", config, "-o", tmp_path / "m", "-q").done()
    assert same(classifier, tmp_path / "m")
    repeated = load(tmp_path / "m").config
    assert repeated["training"]["options"] == load(classifier).config["training"]["options"]
    assert found.pairs["steps"] == "20"
    # Options on the command line override those of the config.
    args = ("train", "classify", "--config", config, "-o", tmp_path / "n", "-q", "--epochs", "1")
    found = run(*args, "--batch-size", "128").done()
    assert found.pairs["steps"] == "22"  # 2,788 reviews in batches of 128
    assert found.pairs["epochs"] == "1"


def test_a_run_in_minutes_is_repeated(run: Shell, tmp_path: Path) -> None:
    """By its config and by its number of steps, if the run was planned once."""
    data = tmp_path / "few.conllu"
    sentences = (CORPORA / "tagged.conllu").read_text("utf-8").split("\n\n")[:60]
    data.write_text("\n\n".join(sentences) + "\n\n", "utf-8")
    args = ("train", "tag", data, "--preset", "tiny", "--threads", "1", "-q")
    # Enough for the largest number of epochs: how fast the machine is does not matter.
    found = run(*args, "--minutes", "60", "-o", tmp_path / "m", timeout=600).done()
    results = load(tmp_path / "m").config["results"]
    assert results["steps"] == int(found.pairs["steps"])
    assert len(results.get("plans", ())) < 2
    run(*args, "--steps", found.pairs["steps"], "-o", tmp_path / "n").done()
    assert same(tmp_path / "m", tmp_path / "n")
    again = ("train", "tag", "--config", tmp_path / "m/config.json", "-q")
    run(*again, "-o", tmp_path / "o").done()
    assert same(tmp_path / "m", tmp_path / "o")


# Where the model goes


def tree(directory: Path) -> dict[str, bytes]:
    files = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def short_run(run: Shell, out: object, *more: object) -> Outcome:
    return run("train", "classify", CORPORA / "reviews.csv", "-o", out, *TINY, 2, "-q", *more)


def test_an_existing_model_is_kept_without_force(
    run: Shell, classifier: Path, tmp_path: Path
) -> None:
    out = tmp_path / "m"
    shutil.copytree(classifier, out)
    (out / "notes.txt").write_text("mine")
    before = tree(out)
    short_run(run, out).failed(2, f"{out} exists and is not empty", "--force")
    assert tree(out) == before
    short_run(run, out, "--force").done()
    after = tree(out)
    assert after["notes.txt"] == b"mine"
    assert after.keys() == before.keys()
    assert after["model.onnx"] != before["model.onnx"]
    run("classify", "-m", out, "--text", "x").done()


@pytest.mark.parametrize("force", [(), ("--force",)])
def test_a_folder_of_other_files_is_never_replaced(
    force: tuple[str, ...], run: Shell, tmp_path: Path
) -> None:
    (tmp_path / "photo.txt").write_text("mine")
    short_run(run, tmp_path, *force).failed(2, str(tmp_path))
    assert tree(tmp_path) == {"photo.txt": b"mine"}


def test_an_empty_folder_is_taken_and_a_missing_one_is_made(run: Shell, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for out in ("empty", "not/there/yet"):
        short_run(run, tmp_path / out).done()
        assert sorted(os.listdir(tmp_path / out)) == sorted(
            [
                *FILES,
                ".gitattributes",
                "README.md",
                "evaluation.json",
                "metrics.jsonl",
                "ngrams.safetensors",
                "tokenizer.json",
            ]
        )


def test_a_relative_name(run: Shell, tmp_path: Path) -> None:
    args = ("train", "tag", CORPORA / "tagged.conllu", "-o", "m", *TINY, 2, "-q")
    assert run(*args, cwd=tmp_path).done().pairs["model"] == "m"
    assert os.listdir(tmp_path) == ["m"]
