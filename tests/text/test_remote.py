"""Parquet files, read without a network, and `hf:` names through a stand-in for `datasets`."""

from __future__ import annotations

import importlib.util
import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from rnntext.errors import DataError, UsageError
from rnntext.text import remote
from rnntext.text.formats import DataOptions
from rnntext.text.labelled import read_labelled
from rnntext.text.lines import read_lines
from rnntext.text.remote import read_remote
from rnntext.text.tagged import read_tagged

SAMPLE = "naïve café 你好 🙂"
CLASSES = {"names": ["neg", "pos"], "_type": "ClassLabel"}
FEATURES: dict[str, Any] = {
    "text": {"dtype": "string", "_type": "Value"},
    "label": CLASSES,
    "words": {"feature": {"dtype": "string", "_type": "Value"}, "_type": "List"},
    "tags": {"feature": {"names": ["O", "B-X"], "_type": "ClassLabel"}, "_type": "List"},
}
ROWS: list[dict[str, Any]] = [
    {"text": SAMPLE, "label": 1, "words": ["a", "b"], "tags": [1, 0]},
    {"text": "b\nc", "label": 0, "words": ["c"], "tags": [0]},
]


class FakeDataset:
    def __init__(self, rows: list[dict[str, Any]], features: dict[str, Any]) -> None:
        self.rows = rows
        self.features = SimpleNamespace(to_dict=lambda: features)
        self.column_names = list(features)

    def select_columns(self, names: list[str]) -> FakeDataset:
        rows = [{name: row[name] for name in names} for row in self.rows]
        return FakeDataset(rows, {name: {} for name in names})

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)


class FakeDatasets(ModuleType):
    """Stands for the package `datasets`, which knows one data set, and for `huggingface_hub`."""

    def __init__(self) -> None:
        super().__init__("datasets")
        self.DatasetsError = type("DatasetsError", (Exception,), {})
        self.exceptions = SimpleNamespace(DatasetsError=self.DatasetsError)
        self.__spec__ = ModuleSpec("datasets", None)
        self.constants = SimpleNamespace(HF_HUB_OFFLINE=True, ENDPOINT="https://hub.invalid")
        self.calls: list[tuple[str, str | None, str]] = []

    def disable_progress_bars(self) -> None:
        pass

    def load_dataset(self, name: str, config: str | None, *, split: str) -> FakeDataset:
        self.calls.append((name, config, split))
        if name == "org/none":
            raise self.DatasetsError("Dataset 'org/none'\ndoes not exist")
        if split not in ("train", "test"):
            raise ValueError(f"Unknown split {split!r}.")
        return FakeDataset(ROWS, FEATURES)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> FakeDatasets:
    fake = FakeDatasets()
    monkeypatch.setitem(sys.modules, "datasets", fake)
    monkeypatch.setitem(sys.modules, "huggingface_hub", fake)
    return fake


@pytest.fixture
def endpoint(hub: FakeDatasets, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a Hub that takes connections; no proxy is set."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        hub.constants.HF_HUB_OFFLINE = False
        hub.constants.ENDPOINT = f"http://127.0.0.1:{server.getsockname()[1]}"
        yield hub.constants.ENDPOINT


def test_a_hub_that_can_be_reached_is_read(endpoint: str, hub: FakeDatasets) -> None:
    list(read_remote("hf:imdb", {}))
    assert hub.calls == [("imdb", None, "train")]


@pytest.mark.parametrize("refusing", ["hub", "proxy"])
def test_without_a_network_one_line_comes_at_once(
    refusing: str, endpoint: str, hub: FakeDatasets, monkeypatch: pytest.MonkeyPatch
) -> None:
    if refusing == "hub":
        hub.constants.ENDPOINT = "http://127.0.0.1:9"
    else:
        monkeypatch.setenv("http_proxy", "127.0.0.1:9")
    with pytest.raises(DataError) as error:
        list(read_remote("hf:imdb", {}))
    assert str(error.value) == (
        f"hf:imdb cannot be loaded: {hub.constants.ENDPOINT} cannot be reached (Connection "
        "refused): connect to the network, or set HF_HUB_OFFLINE=1 to read what was downloaded "
        "before"
    )
    assert hub.calls == []
    hub.constants.HF_HUB_OFFLINE = True
    list(read_remote("hf:imdb", {}))
    assert hub.calls == [("imdb", None, "train")]


def test_a_proxy_is_asked_in_place_of_the_hub(
    endpoint: str, hub: FakeDatasets, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.constants.ENDPOINT = "https://hub.invalid"
    monkeypatch.setenv("all_proxy", endpoint)
    list(read_remote("hf:imdb", {}))
    assert len(hub.calls) == 1


def test_a_network_that_does_not_answer_is_not_waited_for(
    endpoint: str, hub: FakeDatasets, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()
    monkeypatch.setattr(remote, "_CONNECTING", 0.01)

    def hang(*_: object) -> None:
        ended.wait()
        raise OSError

    monkeypatch.setattr(socket, "create_connection", hang)
    with pytest.raises(DataError, match=r"cannot be reached \(no answer\)"):
        list(read_remote("hf:imdb", {}))
    ended.set()


@pytest.mark.parametrize("wrong", ["http://localhost:99999", "http://[hub"])
def test_an_address_that_is_none(
    wrong: str, endpoint: str, hub: FakeDatasets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", wrong)
    with pytest.raises(UsageError, match=rf"^{re.escape(wrong)} is no address \(.*: correct"):
        list(read_remote("hf:imdb", {}))
    monkeypatch.delenv("http_proxy")
    hub.constants.ENDPOINT = wrong
    with pytest.raises(UsageError, match=rf"^{re.escape(wrong)} is no address"):
        list(read_remote("hf:imdb", {}))
    assert hub.calls == []


def test_without_a_network_the_package_is_not_even_imported(
    endpoint: str, hub: FakeDatasets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its import takes seconds."""
    hub.constants.ENDPOINT = "http://127.0.0.1:9"
    monkeypatch.delitem(sys.modules, "datasets")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: hub.__spec__)
    with pytest.raises(DataError, match="cannot be reached"):
        list(read_remote("hf:imdb", {}))
    assert "datasets" not in sys.modules


def test_a_folder_needs_no_network(endpoint: str, hub: FakeDatasets, tmp_path: Path) -> None:
    hub.constants.ENDPOINT = "http://127.0.0.1:9"
    list(read_remote(f"hf:{tmp_path}", {}))
    assert len(hub.calls) == 1


@pytest.fixture
def parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    described = json.dumps({"info": {"features": FEATURES}})
    table = pyarrow.Table.from_pylist(ROWS).replace_schema_metadata({"huggingface": described})
    path = tmp_path / "data.parquet"
    write_table(table, path)

    def refuse(*args: object) -> None:
        raise AssertionError("a Parquet file needs no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return path


@pytest.fixture(params=["parquet", "hub"])
def source(request: pytest.FixtureRequest) -> str:
    made = request.getfixturevalue(request.param)
    return str(made) if request.param == "parquet" else "hf:org/some:config"


def test_every_task_reads_both(source: str) -> None:
    options = DataOptions()
    labelled = list(read_labelled([source], options))
    assert [(e.text, e.labels, e.line) for e in labelled] == [
        (SAMPLE, ("pos",), 1),
        ("b\nc", ("neg",), 2),
    ]
    assert [(line.document, line.text) for line in read_lines([source], options)] == [
        (0, SAMPLE),
        (1, "b"),
        (1, "c"),
    ]
    tagged = list(read_tagged([source], options))
    assert [(s.words, s.tags) for s in tagged] == [(("a", "b"), ("B-X", "O")), (("c",), ("O",))]


def test_a_missing_column_lists_those_there(source: str) -> None:
    with pytest.raises(DataError, match=r"no column 'x'; it has: text, label, words, tags \(name"):
        list(read_labelled([source], DataOptions(label_column="x")))


def test_the_name_the_configuration_and_the_split_are_passed_on(hub: FakeDatasets) -> None:
    list(read_lines(["hf:imdb"], DataOptions()))
    list(read_lines(["hf:org/name:plain:text"], DataOptions(split="test")))
    assert hub.calls == [("imdb", None, "train"), ("org/name", "plain:text", "test")]


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        (
            "hf:org/none",
            "train",
            "hf:org/none cannot be loaded (Dataset 'org/none' does not exist)",
        ),
        ("hf:imdb", "dev", "hf:imdb cannot be loaded (Unknown split 'dev'.)"),
    ],
)
def test_a_data_set_that_is_not_there(
    hub: FakeDatasets, name: str, split: str, message: str
) -> None:
    with pytest.raises(DataError) as caught:
        list(read_remote(name, {"text": "--text-column"}, split))
    assert str(caught.value) == f"{message}: check name, split and connection"


def test_a_hub_name_must_be_one(hub: FakeDatasets) -> None:
    with pytest.raises(UsageError, match="hf: names no data set"):
        list(read_remote("hf:", {}))


def test_without_the_extra_the_message_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module, path, extra in (
        ("datasets", "hf:imdb", "train"),
        ("pyarrow.parquet", "a.parquet", "parquet"),
    ):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(UsageError) as caught:
            list(read_remote(path, {}))
        assert str(caught.value).startswith(f"{path} needs an extra that is not installed: ")
        assert f"pip install 'rnntext[{extra}]'" in str(caught.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-1, "row 1 has no label"),
        (2, "class 2 is none of the 2 in the data"),
        (-2, "class -2 is none"),
    ],
)
def test_class_indices_that_are_no_class(
    hub: FakeDatasets, monkeypatch: pytest.MonkeyPatch, value: int, message: str
) -> None:
    monkeypatch.setitem(ROWS[0], "label", value)
    with pytest.raises(DataError, match=message):
        list(read_labelled(["hf:imdb"], DataOptions()))


def test_numbers_that_are_no_classes_stay_numbers(
    hub: FakeDatasets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FEATURES, "label", {"dtype": "int64", "_type": "Value"})
    monkeypatch.setitem(FEATURES, "tags", [{"names": ["N", "V"], "_type": "ClassLabel"}])
    assert [e.labels for e in read_labelled(["hf:imdb"], DataOptions())] == [("1",), ("0",)]
    tags = [sentence.tags for sentence in read_tagged(["hf:imdb"], DataOptions())]
    assert tags == [("V", "N"), ("N",)]  # how older data sets describe a list


def test_reading_plain_files_imports_neither_datasets_nor_pyarrow(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\na,b\n")
    program = (
        "import sys; from rnntext.text import records, labelled, formats\n"
        "list(labelled.read_labelled([sys.argv[1]], formats.DataOptions()))\n"
        "print([m for m in ('datasets', 'pyarrow', 'torch') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
