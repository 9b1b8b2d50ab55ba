"""The Python reference of `examples/runtimes/`, as a module of the tests."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from typing import Any

RUNTIMES = Path(__file__).parents[2] / "examples" / "runtimes"


@cache
def reference() -> Any:
    """`model.py`, which imports its neighbour as a script does."""
    sys.path.insert(0, str(RUNTIMES))
    try:
        spec = importlib.util.spec_from_file_location("runtimes_model", RUNTIMES / "model.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(RUNTIMES))
