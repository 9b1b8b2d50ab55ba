"""The process: `rnntext` and `python -m rnntext`.

Knows: that an interrupt may come while the command line is still being imported.
"""

import sys


def main() -> None:
    """Run the command line."""
    try:
        from rnntext.cli.main import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
