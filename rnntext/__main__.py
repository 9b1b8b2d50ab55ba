"""`python -m rnntext`."""

from rnntext.cli.main import main

main()
