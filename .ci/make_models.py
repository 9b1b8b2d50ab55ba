"""Makes the three models that the package carries, in rnntext/models/, from corpora/.

    python .ci/make_models.py            train them, and put them in place of the old ones
    python .ci/make_models.py --check    train them elsewhere, and say how they differ from these

Needs the extra `train`. The same machine and PyTorch make the same bytes, timings in config.json
apart; another processor rounds differently, so that weights differ a little and figures too.

Knows: the options of each model. Does not know: how a model is named (`rnntext/packaged.py`).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import rnntext  # noqa: E402
from rnntext.packaged import MODELS, PACKAGED  # noqa: E402

# The file of each model, and options that make it small: three models take under 2 MB.
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "stories": (
        "stories.txt",
        {"tokenizer": "word", "hidden": 88, "embed": 88, "dropout": 0.4, "epochs": 60},
    ),
    "reviews": ("reviews.csv", {"tokenizer": "word", "hidden": 32, "embed": 48, "epochs": 6}),
    "tags": ("tagged.conllu", {"hidden": 32, "embed": 64, "epochs": 14}),
}
MOST_BYTES = 2_000_000  # of all three together


def make(name: str, folder: Path) -> Path:
    """Train a model and return its slim directory, inside `folder`. Raises RnntextError."""
    file, options = RUNS[name]
    whole, slim = folder / f"{name}.whole", folder / name
    rnntext.train(
        PACKAGED[name], file, str(whole), quantize=True, seed=1, threads=1, cache=False, **options
    )
    rnntext.export(whole, slim, slim=True)
    return slim


def size_of(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir())


def compare(made: Path, kept: Path) -> str:
    """Say how a model that was just made differs from the one that is kept."""
    other = [
        path.name
        for path in sorted(made.iterdir())
        if path.name != "config.json" and path.read_bytes() != (kept / path.name).read_bytes()
    ]
    return f"other bytes in {', '.join(other)}" if other else "the same bytes"


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the models that the package carries.")
    parser.add_argument("--check", action="store_true", help="Change nothing.")
    check = parser.parse_args().check
    os.chdir(ROOT / "corpora")  # config.json names the corpus as it is given
    total = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in PACKAGED:
            slim = make(name, Path(folder))
            kept = MODELS / name
            metrics = json.loads((slim / "config.json").read_text("utf-8"))["results"]["metrics"]
            figure = metrics.get("accuracy", metrics.get("perplexity"))
            print(f"{name}: {size_of(slim):,} bytes, {figure:.3f}", flush=True)
            total += size_of(slim)
            if check:
                print(f"{name}: {compare(slim, kept)}")
            else:
                shutil.rmtree(kept, ignore_errors=True)
                shutil.copytree(slim, kept)
    assert total < MOST_BYTES, f"{total:,} bytes in all: make a model smaller"


if __name__ == "__main__":
    main()
