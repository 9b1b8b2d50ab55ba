"""`rnntext export`: a model as one ONNX file, or a model that runs in other numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from rnntext.cli import options, output
from rnntext.errors import UsageError

_NO_ONNX = (
    "export needs the package onnx, which is not installed: run `pip install 'rnntext[train]'`"
)


def command(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The model's directory.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE.onnx", help="The one file.")
    ] = None,
    int8: Annotated[
        bool | None,
        typer.Option("--int8/--float32", help="The numbers that FILE, or else DIR, runs in."),
    ] = None,
    valid: Annotated[
        list[str] | None,
        typer.Option(
            "--valid", metavar="FILE", help="Measure DIR and calibrate it on this; repeatable."
        ),
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    threads: options.Threads = None,
) -> None:
    """Write one ONNX file, or run in int8. -o writes a self-contained file for other runtimes;
    without it DIR itself runs in int8 from then on, or with --float32 in float32 again.

    The file holds the labels and the tokenizer as metadata, and its description says what its
    inputs and outputs are.
    """
    if out is not None:
        if valid:
            raise UsageError("--valid measures DIR: leave -o out")
        facts = write_file(directory, out, "int8" if int8 else "float32")
    elif int8 is None:
        raise UsageError("say what to do: -o FILE.onnx writes one file, --int8 changes DIR itself")
    else:
        facts = convert(directory, "int8" if int8 else "float32", valid or (), threads)
    if json:
        output.write(output.json_line(facts))
    else:
        output.show_pairs(facts, str(out or directory))


def write_file(directory: Path, out: Path, precision: str) -> dict[str, Any]:
    """Write the one file; what there is to say about it."""
    _require_onnx()
    from rnntext import checkpoint
    from rnntext.training.onnx.convert import one_file

    output.check_file(out)
    ours = out.name == checkpoint.GRAPH and checkpoint.is_checkpoint(out.parent)
    if out.is_file() and (ours or out.suffix != ".onnx"):
        whose = "part of a checkpoint" if ours else "no ONNX file, to go by its name"
        raise UsageError(f"-o {out} is there and is {whose}: name another file")
    content = one_file(checkpoint.load(directory), precision)
    output.write_file(out, content)
    return {"file": str(out), "precision": precision, "bytes": len(content)}


def convert(
    directory: Path, precision: str, valid: Sequence[str] = (), threads: int | None = None
) -> dict[str, Any]:
    """Make the directory run in `precision`; what there is to say about it.

    On `valid`, which is read as the model's training data was, it is measured before and after,
    and a classifier that becomes int8 is calibrated again.
    """
    _require_onnx()
    if "-" in valid:
        raise UsageError("--valid is read more than once, unlike standard input: name a file")
    from rnntext import checkpoint
    from rnntext.runtime.evaluate import evaluate, recorded_reading, temperature_on
    from rnntext.runtime.model import open_model
    from rnntext.training.onnx.convert import graph_of, replace_graph

    found = checkpoint.load(directory)
    model = open_model(directory, threads=threads)
    if not valid:
        graph = graph_of(found, precision)
        replace_graph(found, graph, precision)
        return {"model": str(directory), "precision": precision, "bytes": len(graph)}
    reading = recorded_reading(found, valid)
    before = evaluate(model, valid, reading)
    graph = graph_of(found, precision, 1.0)
    temperature = None
    if precision == "int8" and model.config.task == "classify":
        temperature = temperature_on(model.with_graph(graph), valid, reading)
        graph = graph_of(found, precision, temperature)
    after = evaluate(model.with_graph(graph), valid, reading)
    known = {"valid": list(valid), "temperature": temperature, "metrics": after, "before": before}
    replace_graph(found, graph, precision, known if precision == "int8" else None)
    facts = {
        "model": str(directory),
        "precision": precision,
        "bytes": len(graph),
        **({} if temperature is None else {"temperature": temperature}),
        **{f"before_{name}": value for name, value in output.flat(before).items()},
    }
    return output.with_metrics(facts, after)


def _require_onnx() -> None:
    try:
        import onnx  # noqa: F401
    except ImportError:
        raise UsageError(_NO_ONNX) from None
