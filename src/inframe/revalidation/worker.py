"""A process that measures cases: a job a line on its input, an answer a line on its output, until its input ends."""

import sys

from inframe.revalidation.answering import answer


def main() -> None:
    """Until the one who asks is done, or gone."""
    for job in sys.stdin:
        sys.stdout.write(answer(job) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
