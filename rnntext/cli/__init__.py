"""One thin module a command: the only room that knows Typer, Rich, stdin and stdout."""
