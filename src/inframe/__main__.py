"""`python -m inframe`."""

from inframe.cli import main

main()
