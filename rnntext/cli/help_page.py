"""What `--help` prints: usage, text, sections of options or commands, examples.

Knows: how a page is laid out, and how the default of an option is written. Does not know: any
command, or the examples themselves (`examples.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from inspect import cleandoc
from textwrap import fill, indent
from typing import Any

from rnntext.arguments import written

OUTPUT = "Output and help"  # the last section of every command
# A command with at most so many options shows them in one section.
_FEW = 8
_OPTIONS, _ARGUMENTS = "Options", "Arguments"
# Lines break neither at hyphens, which options and words have, nor inside a short statement.
_UNBROKEN = {"-": "\u2011", " ": "\u00a0"}
_BROKEN = str.maketrans({character: plain for plain, character in _UNBROKEN.items()})
_LONGEST_UNBROKEN = 34
_WITH_RANGE = re.compile(r"(.*) \[([^]]*)\]", re.DOTALL)

_Entry = tuple[str, str]  # the two columns of a section


def write(command: Any, ctx: Any, formatter: Any) -> None:
    """Write the help of a Click command, or of a group of commands, to Click's formatter."""
    from rnntext.cli.examples import EXAMPLES, OWN_SECTIONS

    path = _path(command, ctx)
    pieces = [piece.strip("{}") for piece in command.collect_usage_pieces(ctx)]
    formatter.write_usage(ctx.command_path, " ".join(pieces))
    if command.help:
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(_unbroken(cleandoc(command.help)))
    if hasattr(command, "commands"):
        _write_sections(_command_sections(command), formatter)
    own = OWN_SECTIONS.get(path, _OPTIONS)
    _write_sections(_option_sections(command.get_params(ctx), ctx, own), formatter)
    _write_examples(EXAMPLES.get(path, ()), formatter)
    formatter.buffer = ["".join(formatter.buffer).translate(_BROKEN)]


def _path(command: Any, ctx: Any) -> str:
    """The words that name a command, without the program's name, which only the root has."""
    words: list[str] = []
    while ctx.parent is not None:
        words.insert(0, ctx.info_name)
        ctx = ctx.parent
    return " ".join(words) or str(command.name)


def _command_sections(group: Any) -> dict[str, list[_Entry]]:
    summaries = {name: command.help for name, command in group.commands.items()}
    titled: Mapping[str, Iterable[str]] = group.sections or {"Commands": summaries}
    return {title: [(name, summaries[name]) for name in names] for title, names in titled.items()}


def _option_sections(params: Sequence[Any], ctx: Any, own: str) -> dict[str, list[_Entry]]:
    """The sections of options in the order in which the parameters name them, after the arguments,
    and with --help last. `own`: the title of options that name none."""
    shown = [param for param in params if not param.hidden]
    options = [param for param in shown if param.param_type_name == "option"]
    together = len(options) <= _FEW
    sections: dict[str, list[_Entry]] = {_ARGUMENTS: []}
    last: list[_Entry] = []
    for param in shown:
        entry = _flags(param, ctx), _description(param)
        panel = getattr(param, "rich_help_panel", None)
        if param.param_type_name == "argument":
            sections[_ARGUMENTS].append(entry)
        elif together:
            sections.setdefault(_OPTIONS, []).append(entry)
        elif panel == OUTPUT or param.name == "help":
            last.append(entry)
        else:
            sections.setdefault(panel or own, []).append(entry)
    return {title: entries for title, entries in (*sections.items(), (OUTPUT, last)) if entries}


def _flags(param: Any, ctx: Any) -> str:
    """The first column: flags with a metavar, or the name of an argument."""
    first: str = param.get_help_record(ctx)[0]
    return first


def _description(param: Any) -> str:
    """The second column: what the option does, its range, its default."""
    found = _WITH_RANGE.fullmatch(param.help or "")
    text, within = (param.help or "", None) if found is None else found.groups()
    facts = [] if within is None else [within]
    default = _default(param)
    if param.required:
        facts.append("required")
    elif default:
        facts.append(f"default: {default}")
    return f"{text} [{'; '.join(facts)}]" if facts else text


def _default(param: Any) -> str:
    """The default in words; empty for a flag that is off, and for an argument that says it."""
    if isinstance(param.show_default, str):
        return param.show_default
    if not param.show_default:
        return ""
    if param.envvar:
        return f"${param.envvar}"
    value = param.default
    if getattr(param, "is_flag", False):
        if not param.secondary_opts:
            return ""
        flags = param.opts if value else param.secondary_opts
        return str(flags[0]).lstrip("-")
    return written(value)


def _write_sections(sections: Mapping[str, Sequence[_Entry]], formatter: Any) -> None:
    """Write sections whose second columns all begin at one place. Where a first column is too wide
    for that, the second begins a line of its own."""
    widest = formatter.width // 3
    lengths = [len(first) for entries in sections.values() for first, _ in entries]
    column = max((length for length in lengths if length <= widest), default=widest)
    for title, entries in sections.items():
        with formatter.section(title):
            rows = [(first.ljust(column), _unbroken(second)) for first, second in entries]
            formatter.write_dl(rows, col_max=column)


def _write_examples(examples: Sequence[_Entry], formatter: Any) -> None:
    """Write remarks and the command lines that they are about, which alone are not wrapped."""
    if not examples:
        return
    with formatter.section("Examples"):
        width = formatter.width - len("  ")
        parts = (
            f"{fill(remark, width, initial_indent='# ', subsequent_indent='# ')}\n{lines}\n"
            for remark, lines in examples
        )
        formatter.write(indent("\n".join(parts), "  "))


def _unbroken(text: str) -> str:
    """Let no line of a text end in a hyphen, in what backticks hold, or in a short statement of a
    range or a default."""

    def joined(match: re.Match[str]) -> str:
        found = match[0]
        return found if len(found) > _LONGEST_UNBROKEN else found.replace(" ", _UNBROKEN[" "])

    text = re.sub(r"`[^`]*`", joined, text)
    text = re.sub(r"\[[^]]*\]", lambda match: re.sub(r"[^; ][^;]*[;\]]", joined, match[0]), text)
    return text.replace("-", _UNBROKEN["-"])
