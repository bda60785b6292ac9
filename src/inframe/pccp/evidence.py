"""What shows that a plan's demands were met: the test result of a revalidation and the lock that it was made under, both signed."""

from dataclasses import dataclass
from pathlib import Path

from inframe.bundle.policy import Policy
from inframe.core.errors import BundleError
from inframe.revalidation.attesting import TEST_RESULT, opened
from inframe.revalidation.locking import Lock, open_lock


@dataclass(frozen=True, slots=True)
class Evidence:
    """A test result with its lock, verified."""

    bundle: str
    """SHA-256 of the bundle that was tested, hex."""
    result: str
    """PASSED, WARNED or FAILED."""
    passed: frozenset[str]
    """The endpoints that were shown."""
    cases: str
    """SHA-256 of the cases' manifest."""
    count: int
    """How many procedures."""
    against: str | None
    """SHA-256 of the bundle that it was compared with."""
    lock: Lock


def read_evidence(result: Path, lock: Path, policy: Policy) -> Evidence:
    """Both files, signed as the policy asks, and of one another. Raises BundleError, ConfigError."""
    subject, predicate, _ = opened(result, TEST_RESULT, policy)
    made, digest = open_lock(lock, policy)
    try:
        configured = {one["name"]: str(one["digest"]["sha256"]) for one in predicate["configuration"]}
        passed = frozenset(str(one) for one in predicate["passedTests"])
        (bundle,) = subject.values()
        count = int(predicate["cases"])
        said = str(predicate["result"])
        cases, locked = configured["cases"], configured["lock"]
    except (KeyError, TypeError, ValueError):
        raise BundleError(result, "predicate", "a part that is missing", "what `inframe revalidate` writes") from None
    if locked != digest:
        raise BundleError(result, "configuration.lock", locked, f"{digest}, the lock {lock}")
    return Evidence(bundle, said, passed, cases, count, configured.get("against"), made)
