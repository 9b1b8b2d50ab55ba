"""Private parts of libraries that this package uses, each with the reason.

Knows: the names, which a new release of a library may change without notice. The tests of this
module fail when one of them is gone. Imports no library: a function takes the module from its
caller, so that the rules about who may import what still hold.
"""

from __future__ import annotations

from types import ModuleType


def onnxruntime_errors(onnxruntime: ModuleType) -> tuple[type[Exception], ...]:
    """Exceptions that ONNX Runtime raises for a file that is not a graph or that it cannot run.

    They derive from Exception directly, and the package exports neither them nor a common base
    class (checked in releases 1.20 and 1.32). The public alternative would be to catch Exception,
    which would hide bugs.
    """
    state = onnxruntime.capi.onnxruntime_pybind11_state
    return (
        state.Fail,
        state.InvalidArgument,
        state.InvalidGraph,
        state.InvalidProtobuf,
        state.NoSuchFile,
        state.NotImplemented,
        state.RuntimeException,
    )
