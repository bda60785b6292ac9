"""A process that measures cases: a job a line on its input, an answer a line on its output, until its input ends."""

import signal
import sys
from contextlib import suppress

from inframe.revalidation.answering import answer


def main() -> None:
    """Until the one who asks is done, or gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the one who asks, who then ends this
    with suppress(BrokenPipeError):  # it was killed: nobody wants the answer any more
        for job in sys.stdin:
            sys.stdout.write(answer(job) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
