"""rnntext: recurrent language models, classifiers and taggers for the shell.

Knows: its version, and where `rnntext.load(DIR)` is, a trained model as an object. Imports
nothing until that is asked for, so that whatever needs only a part of the package pays for that
part alone.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnntext.runtime.api import load

__all__ = ["__version__", "load"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "load":
        from rnntext.runtime.api import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
