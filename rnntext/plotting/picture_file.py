"""The file of a picture: its name, and whether pictures can be drawn here.

Knows: which names a picture may have, and the package that draws. Does not know: what is drawn.
"""

from __future__ import annotations

from pathlib import Path

from rnntext.errors import UsageError
from rnntext.files import check_file

_NO_MATPLOTLIB = (
    "a picture needs the package matplotlib, which is not installed: run"
    " `pip install 'rnntext[plot]'`"
)


def picture_format(path: Path) -> str:
    """The format of a picture, png or svg, from its file name. Raises UsageError for another one,
    for a directory, or if Matplotlib is not installed."""
    file_format = path.suffix.lower().removeprefix(".")
    if file_format not in ("png", "svg"):
        raise UsageError(f"-o {path}: a picture's name ends in .png or .svg")
    check_file(path)
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError:
        raise UsageError(_NO_MATPLOTLIB) from None
    return file_format


def silence_font_warnings() -> None:
    """Keep from the user what Matplotlib logs of font caches that it builds or cannot write."""
    import logging  # every evaluation imports this module

    logging.getLogger("matplotlib").setLevel(logging.ERROR)
