"""`rnntext export`: a model as one ONNX file, or a model converted to int8 or float32."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnntext.cli import output
from rnntext.cli.options import RunOptions
from rnntext.cli.signature import expanded
from rnntext.cli.values import model_argument, path_option
from rnntext.errors import UsageError

if TYPE_CHECKING:
    from rnntext.api import Exported


@expanded
def command(
    *,
    directory: Annotated[
        Path,
        model_argument("DIR", help="Directory of the model, or with -o FILE.onnx such a file."),
    ],
    out: Annotated[
        Path | None,
        path_option(
            "-o", "--output", metavar="FILE.onnx|DIR", help="File, or with --slim directory."
        ),
    ] = None,
    int8: Annotated[
        bool | None,
        typer.Option(
            "--int8/--float32",
            help="Precision of FILE, or of DIR without -o.",
            show_default="float32",
        ),
    ] = None,
    slim: Annotated[
        bool,
        typer.Option("--slim", help="Write what running needs, and no more, to a directory -o."),
    ] = False,
    valid: Annotated[
        list[str] | None,
        path_option(
            "--valid",
            metavar="FILE",
            help="Data on which DIR is measured and calibrated; repeatable.",
        ),
    ] = None,
    run: RunOptions,
) -> None:
    """Write one ONNX file or a slim directory, or run in int8. -o writes a self-contained file for
    other runtimes and for rnntext; without it DIR itself runs in int8 from then on, or with
    --float32 in float32 again.

    The file holds the labels and the tokenizer as metadata, and its description documents its
    inputs and outputs. Beside FILE.onnx, FILE.json holds what other runtimes need. --slim -o writes
    a directory with what running needs.
    """
    if out is None and int8 is None:
        raise UsageError("say what to do: -o FILE.onnx writes one file, --int8 changes DIR itself")
    if slim and int8 is not None:
        raise UsageError("--slim keeps the precision of DIR: change it first with --int8")
    from rnntext.api import export

    precision = "int8" if int8 else "float32"
    exported = export(
        directory, out, precision=precision, slim=slim, valid=valid or (), threads=run.threads
    )
    facts = _facts(exported)
    if run.json:
        output.write(output.json_line(facts))
    else:
        output.print_pairs(facts, str(out or directory))


def _facts(exported: Exported) -> dict[str, Any]:
    """Path, precision and size of a graph; where it was measured, its metrics before and after."""
    kind = "model" if exported.path.is_dir() else "file"
    facts: dict[str, Any] = {
        kind: str(exported.path),
        "precision": exported.precision,
        "bytes": exported.size,
    }
    if exported.sidecar:
        facts["sidecar"] = str(exported.sidecar)
    if exported.lacks:
        facts["lacks"] = exported.lacks
    if exported.temperature is not None:
        facts["temperature"] = exported.temperature
    before = output.scalar_metrics(exported.metrics_before or {})
    facts.update({f"before_{name}": value for name, value in before.items()})
    return output.add_metrics(facts, exported.metrics or {})
