"""What the trail raises."""

from inframe.core.errors import InframeError, one_line


class TrailDamaged(InframeError):  # named like the others in core/errors.py
    """The auditor must look: bytes of the trail are changed, missing, torn, or not signed by the key that was given.

    `place` names the file, leaf or byte. Exit code 1, so that a script can tell it from a wrong argument.
    """

    exit_code = 1

    def __init__(self, place: object, found: object, expected: str) -> None:
        self.place, self.found, self.expected = one_line(place), one_line(found), expected
        super().__init__(f"{self.place}: found {self.found}, expected {expected}")
