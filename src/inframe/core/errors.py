"""Every error that inframe raises on purpose, grouped by who must act.

    InframeError
    ├── ConfigError     the integrator: a device file, a model file or an argument is wrong      exit code 2
    ├── AlreadyTold     the same, said on stderr by the process that found it                    exit code 2
    ├── BundleError     the supplier: a bundle is unsigned, changed, incomplete or does not fit  exit code 2
    ├── UpdateError     service: a repository, a slot or a download                              exit code 2
    ├── DeviceFault     the technician: this machine, camera or disk does not do what it must    exit code 3
    └── (in trail/)     TrailDamaged and WitnessRefused, the auditor: the record is not sound    exit code 1

A wrong order of calls is a plain RuntimeError: it is our own mistake, not somebody's input.
"""


class InframeError(Exception):
    """The root. `exit_code` is what the command line returns."""

    exit_code = 1


class ConfigError(InframeError):
    """Input from the integrator is wrong. One line: where, which field, what was found, what was expected."""

    exit_code = 2

    def __init__(self, where: object, field: str, found: object, expected: str) -> None:
        self.where, self.field, self.found, self.expected = str(where), field, found, expected
        super().__init__(
            f"{one_line(where)}: {one_line(field)}: found {one_line(found)}, expected {one_line(expected)}"
        )


class AlreadyTold(InframeError):
    """A child process has refused its input and has said why, in one line on stderr; there is nothing to add."""

    exit_code = 2


class BundleError(InframeError):
    """A bundle must not run. One line, as a ConfigError's: the bundle's file, which field, what was found and expected."""

    exit_code = 2

    def __init__(self, file: object, field: str, found: object, expected: str) -> None:
        self.file, self.field, self.found, self.expected = str(file), field, one_line(found), expected
        super().__init__(f"{one_line(file)}: {one_line(field)}: found {self.found}, expected {one_line(expected)}")


class UpdateError(InframeError):
    """An update can't go on; the device keeps what it has."""

    exit_code = 2


class DeviceFault(InframeError):
    """Something physical or the operating system is not as needed."""

    exit_code = 3


def one_line(text: object, limit: int = 160) -> str:
    """`text` printable on one terminal line: control characters escaped, cut at `limit` characters."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"
