"""rnntext: recurrent language models, classifiers and taggers for the shell and for Python.

Knows: its version, and where the functions of the library are. Importing this imports nothing
else: each name is looked up when it is first used, so that a caller pays only for what it needs.

    train, train_events   train a model from files
    load                  a trained model as an object
    evaluate              the metrics of a trained model on data
    export                one ONNX file, or another precision
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnntext.api import Exported, evaluate, export, train, train_events
    from rnntext.runtime.api import load

__all__ = ["Exported", "__version__", "evaluate", "export", "load", "train", "train_events"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module = import_module("rnntext.runtime.api" if name == "load" else "rnntext.api")
    return getattr(module, name)
