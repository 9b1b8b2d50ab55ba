"""Private parts of libraries that this package uses, each with the reason.

Knows: the names, which a new release of a library may change without notice. The tests of this
module fail when one of them is gone. Imports no library: a function takes the module from its
caller, so that the rules about who may import what still hold.
"""

from __future__ import annotations

import atexit
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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


def click_exception(typer: ModuleType) -> type[Exception]:
    """The base class of Typer's errors of the command line; they have `format_message()` and
    those of a command have `ctx`.

    It is Click's `ClickException`. Typer does not export it: up to 0.25 it is that of the package
    `click`, from 0.26 that of a private copy. A class that Typer exports derives from it.
    """
    bases: tuple[type[Any], ...] = typer.BadParameter.__mro__
    return next(base for base in bases if base.__name__ == "ClickException")


def keep_completion_help(typer: ModuleType) -> None:
    """Let shell completion print the help of an option as it is.

    Typer renders it with Rich, whose import takes twice as long as the rest of a completion, and
    which wraps it at 80 columns: fish then offers the second line as a value of its own. Typer has
    no setting for it.
    """
    typer._completion_classes._sanitize_help_text = lambda text: text


def keep_words_of_bash(typer: ModuleType) -> None:
    """Let completion in bash see whole words, such as `demo:stories`.

    Bash parts words at the characters of COMP_WORDBREAKS, such as `:` and `=`, and what is offered
    takes the place of the last part alone. Typer takes the parts for words.
    """

    bash = typer._completion_classes.BashComplete
    if hasattr(bash, "before"):
        return  # it is this class already

    class Bash(bash):  # type: ignore[misc, valid-type]
        before = ""  # the parts before the last one, of the word at the cursor

        def get_completion_args(self) -> tuple[list[str], str]:
            args, part = super().get_completion_args()
            *args, incomplete = _joined([*args, part])
            self.before = incomplete.removesuffix(part if part.strip(":=") else "")
            return args, incomplete

        def format_completion(self, item: Any) -> str:
            value: str = super().format_completion(item)
            return value.removeprefix(self.before)

    typer._completion_classes.BashComplete = Bash


def _joined(parts: list[str]) -> list[str]:
    """Whole words, of the parts that bash makes of them."""
    words: list[str] = []
    goes_on = False
    for part in parts:
        is_break = bool(part) and not part.strip(":=")
        if words and part and (goes_on or is_break):
            words[-1] += part
        else:
            words.append(part)
        goes_on = is_break
    return words


def run_exit_functions() -> None:
    """Call the functions registered with `atexit` and unregister them, as Python does at its end.

    `multiprocessing` does the same in its children. Python has no public way: a function
    registered first would be called last, but not after those of whoever started us.
    """
    atexit._run_exitfuncs()


def fused_adamw(torch: ModuleType) -> Callable[..., None]:
    """PyTorch's fused AdamW kernel. The public `torch.optim.AdamW(fused=True)` imports PyTorch's
    compiler when it is made, which takes over a second of every run."""
    kernel: Callable[..., None] = torch._fused_adamw_
    return kernel


def foreach_add(torch: ModuleType) -> Callable[..., None]:
    """Add a number to many tensors in one call, as `torch.optim` does; a loop would launch a
    kernel for each on a GPU."""
    kernel: Callable[..., None] = torch._foreach_add_
    return kernel


def foreach_lerp(torch: ModuleType) -> Callable[..., None]:
    """Interpolate many tensors in one call, as `torch.optim.swa_utils` does."""
    kernel: Callable[..., None] = torch._foreach_lerp_
    return kernel


def multiplies_bfloat16(torch: ModuleType) -> bool:
    """Return True if the processor has instructions for bfloat16 products (AVX-512 BF16).

    PyTorch has no public question for it in all of the releases that we allow.
    """
    return bool(torch.cpu._is_avx512_bf16_supported())


@contextmanager
def products_on_one_thread(numpy: ModuleType) -> Iterator[None]:
    """While this lasts, NumPy multiplies matrices on the thread that asks.

    OpenBLAS, in NumPy's wheels, starts a thread a core for every product, and these wait for each
    other by spinning: where several batches share the cores already, or other processes do, small
    products take up to 50 times as long. The environment can say so only before NumPy is imported,
    and NumPy has no function for it. Another library of products is left as it is.
    """
    global _users
    library = _openblas(numpy)
    if library is None:
        yield
        return
    get, set_to = library
    with _openblas_lock:
        if not _users:
            _threads_before.append(get())
            set_to(1)
        _users += 1
    try:
        yield
    finally:
        with _openblas_lock:
            _users -= 1
            if not _users:
                set_to(_threads_before.pop())


_openblas_lock = threading.Lock()
_users = 0  # calls of `products_on_one_thread` that last
_threads_before: list[int] = []


def _openblas(numpy: ModuleType) -> tuple[Callable[[], int], Callable[[int], None]] | None:
    """OpenBLAS's functions that get and set its number of threads; None if NumPy has another
    library."""
    import ctypes  # takes 3 ms, and only vectors need it

    core = numpy._core if hasattr(numpy, "_core") else numpy.core  # its name up to release 1.26
    try:
        # The extension is linked with the library: a lookup in one goes on in the other.
        linked = ctypes.CDLL(core._multiarray_umath.__file__)
    except OSError:
        return None
    for prefix in ("scipy_openblas", "openblas"):
        for suffix in ("64_", ""):
            names = (f"{prefix}_{verb}_num_threads{suffix}" for verb in ("get", "set"))
            found = [getattr(linked, name, None) for name in names]
            if all(found):
                return found[0], found[1]  # type: ignore[return-value]
    return None
