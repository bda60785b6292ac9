"""What is answered to a request that is not granted."""


class Refused(Exception):  # an answer, not an error
    """A status of HTTP with one line that says why."""

    def __init__(self, status: int, why: str, retry_s: int | None = None) -> None:
        super().__init__(why)
        self.status, self.why, self.retry_s = status, why, retry_s
