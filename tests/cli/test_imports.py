"""Imports that a command must not make, and files that it must not leave behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from rnntext.cli.main import COMMANDS
from tests.conftest import CORPORA, environment

DRIVER = """
import sys
from rnntext.cli.main import COMMANDS, main
used = set()
for line in sys.stdin.read().splitlines():
    sys.argv = ["rnntext", *line.split("\\t")]
    used.add(sys.argv[1])
    try:
        main()
    except SystemExit as error:
        print(sys.argv[1], error.code, file=sys.stderr)
    for name in ("torch", "onnx", "datasets", "pandas", "pyarrow", "transformers", "matplotlib"):
        assert name not in sys.modules, (sys.argv, name)
    if sys.argv[-1] == "--help":
        for name in ("numpy", "onnxruntime", "tokenizers"):
            assert name not in sys.modules, (sys.argv, name)
        imported = {name for name in COMMANDS if f"rnntext.cli.{name}" in sys.modules}
        assert imported == used & {*COMMANDS}, sys.argv
    # Only terminals need the first two.
    for name in ("rich.console", "prompt_toolkit", "concurrent.futures.thread", "safetensors"):
        # The graph that samples text reads its matrices from `safetensors`, which costs 1 ms, and
        # views and vectors the weights.
        if not {"-n", "inspect", "embed"} & {*sys.argv} or name != "safetensors":
            assert name not in sys.modules, (sys.argv, name)
"""


def test_running_a_model_does_not_import_torch(lm: Path, classifier: Path, tagger: Path) -> None:
    commands = [
        ["--help"],
        *([name, "--help"] for name in COMMANDS),
        ["train", "lm", "--help"],
        ["inspect", "states", "--help"],
        ["classify", "-m", classifier, "--text", "x"],
        ["tag", "-m", tagger, "--text", "x", "--json"],
        ["generate", "-m", lm, "--top-k", "5", "x"],
        ["score", "-m", lm, "--text", "x", "--words"],
        ["predict", "-m", lm, "--text", "x", "--json"],
        ["info", tagger],
        ["plot", tagger],
        ["evaluate", "-m", lm, CORPORA / "stories.txt", "--threads", "1"],
        ["evaluate", "-m", classifier, CORPORA / "reviews.csv", "--threads", "1"],
        ["evaluate", "-m", tagger, CORPORA / "tagged.conllu", "--threads", "1"],
        ["generate", "-m", lm, "-n", "3", "x"],
        *(["inspect", view, "-m", lm, "--text", "x"] for view in ("states", "gates")),
        ["embed", "-m", classifier, "--text", "x"],
    ]
    found = subprocess.run(
        [sys.executable, "-c", DRIVER],
        input="\n".join("\t".join(map(str, command)) for command in commands),
        capture_output=True,
        text=True,
        env=environment(),
        timeout=600,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert found.stderr.splitlines() == [f"{command[0]} 0" for command in commands]


COMPLETION = """
import sys
from rnntext.cli.main import main
sys.argv = ["rnntext"]
try:
    main()
finally:
    print(*(name for name in sys.modules if name.startswith("rnntext.cli.")), file=sys.stderr)
    heavy = {"rich", "numpy", "onnxruntime", "tokenizers", "torch", "datasets"} & {*sys.modules}
    assert not heavy, heavy
"""


def test_completion_knows_the_commands_and_their_options() -> None:
    """It imports a command only to complete its options."""
    for words, completed, imported in (
        ("rnntext ", [*COMMANDS, "help"], set()),
        ("rnntext cl", ["classify"], set()),
        ("rnntext classify --thre", ["--threshold", "--threads"], {"classify"}),
        ("rnntext train ", ["lm", "classify", "tag"], {"train"}),
        ("rnntext train tag --ta", ["--tag-column"], {"train"}),
        ("rnntext train lm --ta", [], {"train"}),
        ("rnntext train nonsense --epo", [], {"train"}),
        ("rnntext train tag --tag-column u", ["upos"], {"train"}),
        ("rnntext evaluate --format f", ["fasttext"], {"evaluate"}),
        ("rnntext info demo:t", ["demo:tags"], {"info"}),
    ):
        count = str(len(words.split(" ")) - 1)
        request = {"_RNNTEXT_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": count}
        found = subprocess.run(
            [sys.executable, "-c", COMPLETION],
            capture_output=True,
            text=True,
            env={**environment(), **request},
            timeout=60,
            check=False,
        )
        assert found.returncode == 0, found.stderr
        assert found.stdout.split() == completed, found.stderr
        modules = {name.rpartition(".")[2] for name in found.stderr.split()}
        assert modules & set(COMMANDS) == imported


def test_completion_with_help_does_not_import_rich() -> None:
    request = {"_RNNTEXT_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "rnntext train lm --"}
    found = subprocess.run(
        [sys.executable, "-c", COMPLETION],
        capture_output=True,
        text=True,
        env={**environment(), **request},
        timeout=60,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert '"--lr":"Learning rate (peak). [1e-12 to 10]"' in found.stdout


def test_running_a_model_writes_nothing_into_the_home_directory(
    classifier: Path, tmp_path: Path
) -> None:
    """ONNX Runtime's telemetry would leave a file there. It is off if the environment says that
    this is CI, so the command gets no other variable."""
    found = subprocess.run(
        [sys.executable, "-m", "rnntext", "classify", "-m", classifier, "--text", "x"],
        capture_output=True,
        text=True,
        env={"HOME": str(tmp_path)},
        timeout=60,
        check=False,
    )
    assert (found.returncode, found.stderr) == (0, "")
    assert list(tmp_path.rglob("*")) == []
