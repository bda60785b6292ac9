"""The entry point of `inframe` and of `python -m inframe`: Ctrl-C is a quiet end from the first moment, also while modules load."""

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line."""
    try:
        from inframe.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
