"""The three trained models that the package carries.

Knows: their names and where they lie. Does not know: what a model is, or how these were made
(`.ci/make_models.py`).
"""

from __future__ import annotations

import os
from pathlib import Path

from rnntext.errors import UsageError

# What follows is the name of a packaged model; a directory of such a name is `./demo:NAME`.
PREFIX = "demo:"
# Each name, and the task of the model.
PACKAGED = {"stories": "lm", "reviews": "classify", "tags": "tag"}
MODELS = Path(__file__).parent / "models"


def locate_model(name: str | os.PathLike[str]) -> Path:
    """The path of a model that `-m` and the like name: a packaged one, or the path itself. Raises
    UsageError for `demo:` and another name."""
    text = os.fspath(name)
    if not text.startswith(PREFIX):
        return Path(name)
    packaged = text.removeprefix(PREFIX)
    if packaged not in PACKAGED:
        known = ", ".join(PREFIX + each for each in PACKAGED)
        raise UsageError(f"{text} is no model of this package: it has {known}")
    return MODELS / packaged
