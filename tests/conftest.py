"""The tests run in two processes: those that start devices and their real-time processes one after the other in one of them,
all others meanwhile in the other. Two devices at once would fight for the cores that each binds.

Hypothesis tries the same examples in each run, so that a change is judged by what it changed, and measures no time. To look
for new ones: `pytest --hypothesis-profile default`.
"""

from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")

MACHINE = (
    "tests/assistant/test_keeper.py",
    "tests/bench/",
    "tests/chaos/",
    "tests/console/test_console_browser.py",
    "tests/console/test_console_drafts.py",
    "tests/console/test_console_intents.py",
    "tests/console/test_console_live.py",
    "tests/console/test_console_procedures.py",
    "tests/console/test_console_review.py",
    "tests/drivers/cameras/",
    "tests/drivers/screens/",
    "tests/machine/",
    "tests/recording/test_live.py",
    "tests/test_assistant_device.py",
    "tests/test_breaking.py",
    "tests/test_candidate_bundle.py",
    "tests/test_candidate_device.py",
    "tests/test_checking.py",
    "tests/test_device.py",
    "tests/test_fused_device.py",
    "tests/test_device_bundle.py",
    "tests/test_fuzz.py",
    "tests/test_monitoring.py",
    "tests/test_sensor_device.py",
    "tests/test_trail_device.py",
    "tests/test_update_life.py",
)
"""Where tests are that start such processes."""


class Halves(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """What goes to one process as a whole: all that is the machine's; each other file, whose fixtures are then made once."""

    def _split_scope(self, nodeid: str) -> str:
        return "machine" if nodeid.startswith(MACHINE) else nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Halves:
    """xdist's own groups are marks, which it writes into a name that pytest 9.2 reads no more."""
    return Halves(config, log)
