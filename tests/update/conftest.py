"""What the tests of updates over a network share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.update.site import Bench, bench_in


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with bench_in(tmp_path) as bench:
        yield bench
