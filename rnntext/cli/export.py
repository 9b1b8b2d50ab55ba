"""`rnntext export`: a model as one ONNX file, or a model converted to int8 or float32."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from rnntext.cli import output
from rnntext.cli.options import RunOptions
from rnntext.cli.signature import expanded
from rnntext.errors import UsageError

_NO_ONNX = (
    "export needs the package onnx, which is not installed: run `pip install 'rnntext[train]'`"
)


@expanded
def command(
    *,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Directory of the model.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE.onnx", help="File to write.")
    ] = None,
    int8: Annotated[
        bool | None,
        typer.Option("--int8/--float32", help="Precision of FILE, or of DIR without -o."),
    ] = None,
    valid: Annotated[
        list[str] | None,
        typer.Option(
            "--valid",
            metavar="FILE",
            help="Data on which DIR is measured and calibrated; repeatable.",
        ),
    ] = None,
    run: RunOptions,
) -> None:
    """Write one ONNX file, or run in int8. -o writes a self-contained file for other runtimes;
    without it DIR itself runs in int8 from then on, or with --float32 in float32 again.

    The file holds the labels and the tokenizer as metadata, and its description documents its
    inputs and outputs.
    """
    if out is not None:
        if valid:
            raise UsageError("--valid measures DIR: leave -o out")
        facts = write_file(directory, out, "int8" if int8 else "float32")
    elif int8 is None:
        raise UsageError("say what to do: -o FILE.onnx writes one file, --int8 changes DIR itself")
    else:
        facts = convert(directory, "int8" if int8 else "float32", valid or (), run.threads)
    if run.json:
        output.write(output.json_line(facts))
    else:
        output.print_pairs(facts, str(out or directory))


def write_file(directory: Path, out: Path, precision: str) -> dict[str, Any]:
    """Write the ONNX file and return its path, precision and size."""
    _require_onnx()
    from rnntext import checkpoint
    from rnntext.training.onnx.convert import one_file

    output.check_file(out)
    of_checkpoint = out.name == checkpoint.GRAPH and checkpoint.is_checkpoint(out.parent)
    if out.is_file() and (of_checkpoint or out.suffix != ".onnx"):
        reason = "part of a checkpoint" if of_checkpoint else "no ONNX file, to go by its name"
        raise UsageError(f"-o {out} is there and is {reason}: name another file")
    content = one_file(checkpoint.load(directory), precision)
    output.write_file(out, content)
    return {"file": str(out), "precision": precision, "bytes": len(content)}


def convert(
    directory: Path, precision: str, valid: Sequence[str] = (), threads: int | None = None
) -> dict[str, Any]:
    """Convert the model in the directory to `precision`; return its size and metrics.

    With validation data, which are read like the model's training data, the model is measured
    before and after, and the temperature of an int8 classifier is fitted again.
    """
    _require_onnx()
    if "-" in valid:
        raise UsageError("--valid is read more than once, unlike standard input: name a file")
    from rnntext import checkpoint
    from rnntext.runtime.evaluate import evaluate, recorded_reading, temperature_on
    from rnntext.runtime.model import open_model
    from rnntext.training.onnx.convert import graph_of, replace_graph

    saved = checkpoint.load(directory)
    model = open_model(directory, threads=threads)
    if not valid:
        graph = graph_of(saved, precision)
        replace_graph(saved, graph, precision)
        return {"model": str(directory), "precision": precision, "bytes": len(graph)}
    reading = recorded_reading(saved, valid)
    before = evaluate(model, valid, reading)
    graph = graph_of(saved, precision, 1.0)
    temperature = None
    if precision == "int8" and model.config.task == "classify":
        temperature = temperature_on(model.with_graph(graph), valid, reading)
        graph = graph_of(saved, precision, temperature)
    after = evaluate(model.with_graph(graph), valid, reading)
    results = {"valid": list(valid), "temperature": temperature, "metrics": after, "before": before}
    replace_graph(saved, graph, precision, results if precision == "int8" else None)
    facts = {
        "model": str(directory),
        "precision": precision,
        "bytes": len(graph),
        **({} if temperature is None else {"temperature": temperature}),
        **{f"before_{name}": value for name, value in output.scalar_metrics(before).items()},
    }
    return output.add_metrics(facts, after)


def _require_onnx() -> None:
    try:
        import onnx  # noqa: F401
    except ImportError:
        raise UsageError(_NO_ONNX) from None
