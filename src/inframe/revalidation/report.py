"""A revalidation for people: one HTML file that needs nothing else."""

from typing import Any

from inframe.revalidation.judging import Verdict
from inframe.revalidation.protocol import Protocol
from inframe.revalidation.tally import Tallies


def html(report: dict[str, Any], protocol: Protocol, tallies: Tallies, verdict: Verdict) -> str:
    """Of one bundle."""
    return f"{report} {protocol} {tallies} {verdict}"
