"""Private parts of libraries are still there and are still what this package takes them for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import typer

from rnntext.cli.main import make_app
from rnntext.private import (
    _openblas,
    click_exception,
    foreach_add,
    foreach_lerp,
    fused_adamw,
    keep_completion_help,
    multiplies_bfloat16,
    onnxruntime_errors,
    products_on_one_thread,
)
from tests.conftest import environment


def test_onnxruntime_has_its_exceptions() -> None:
    errors = onnxruntime_errors(onnxruntime)
    assert len(set(errors)) == len(errors)
    assert all(issubclass(error, Exception) and error is not Exception for error in errors)


def test_onnxruntime_raises_them_for_what_it_cannot_run(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"naive text")
    for graph in (b"naive text", b"", str(damaged), str(tmp_path / "none.onnx")):
        with pytest.raises(onnxruntime_errors(onnxruntime)):
            onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["classify", "--no-such"], "No such option: --no-such"),
        (["no-such"], "No such command 'no-such'"),
        (["info"], "Missing argument 'DIR'"),
    ],
)
def test_errors_of_the_command_line(words: list[str], message: str) -> None:
    with pytest.raises(click_exception(typer)) as caught:
        make_app()(words, standalone_mode=False)
    assert caught.value.format_message().startswith(message)  # type: ignore[attr-defined]
    assert caught.value.ctx.command_path  # type: ignore[attr-defined]


def test_help_of_completion_is_rendered_by_a_function_that_can_be_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    classes = sys.modules["typer._completion_classes"]
    monkeypatch.setattr(classes, "_sanitize_help_text", classes._sanitize_help_text)
    keep_completion_help(typer)
    text = "a [bold]b[/bold] " * 20
    assert classes._sanitize_help_text(text) == text


def test_the_class_of_these_errors_is_no_wider() -> None:
    assert issubclass(typer.BadParameter, click_exception(typer))
    for other in (typer.Exit, typer.Abort, OSError, RuntimeError, KeyboardInterrupt):
        assert not issubclass(other, click_exception(typer))


def test_exit_functions_run_once() -> None:
    code = """
import atexit
from rnntext.private import run_exit_functions
atexit.register(print, "first registered")
atexit.register(print, "last registered")
run_exit_functions()
print("end")
"""
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=60,
        check=True,
    )
    assert found.stdout.splitlines() == ["last registered", "first registered", "end"]


def test_the_kernels_of_many_tensors_do_what_a_loop_does() -> None:
    tensors = [torch.ones(2), torch.full((3,), 2.0)]
    foreach_add(torch)(tensors, 1)
    assert [tensor.tolist() for tensor in tensors] == [[2.0] * 2, [3.0] * 3]
    foreach_lerp(torch)(tensors, [torch.zeros(2), torch.zeros(3)], 0.5)
    assert [tensor.tolist() for tensor in tensors] == [[1.0] * 2, [1.5] * 3]


def test_the_fused_kernel_is_adamw() -> None:
    weight, gradient = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 0.25])
    wanted = torch.nn.Parameter(weight.clone())
    wanted.grad = gradient.clone()
    torch.optim.AdamW([wanted], lr=0.1, betas=(0.9, 0.99), weight_decay=0.01).step()
    fused_adamw(torch)(
        [weight], [gradient], [torch.zeros(2)], [torch.zeros(2)], [], [torch.ones(())],
        lr=0.1, beta1=0.9, beta2=0.99, weight_decay=0.01, eps=1e-8, amsgrad=False, maximize=False,
    )  # fmt: skip
    torch.testing.assert_close(weight, wanted.detach())


def test_the_processor_is_asked() -> None:
    assert multiplies_bfloat16(torch) in (True, False)


def test_products_of_matrices_on_one_thread() -> None:
    """Calls may be nested, as they are where several threads make one; then nothing has changed."""
    found = _openblas(np)
    if found is None:
        pytest.skip("this NumPy has another library of products")
    get, set_to = found
    before = get()
    try:
        set_to(2)
        wanted = get()  # 1 where the library has no threads
        with products_on_one_thread(np):
            assert get() == 1
            with products_on_one_thread(np):
                assert get() == 1
            assert get() == 1
        assert get() == wanted
        with pytest.raises(KeyError), products_on_one_thread(np):
            raise KeyError
        assert get() == wanted
    finally:
        set_to(before)
