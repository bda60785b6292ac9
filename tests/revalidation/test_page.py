"""What stands on the pages about cases, protocols and plans is what the program reads."""

import json
import re

import yaml

from inframe.pccp import Plan
from inframe.revalidation.cases import Case
from inframe.revalidation.criteria import METRICS
from inframe.revalidation.protocol import Protocol
from scripts.docs import ROOT
from tests.docs.pages import blocks, rows

PAGE, PLANS = ROOT / "docs" / "revalidation.md", ROOT / "docs" / "pccp.md"


def test_the_pages_examples_are_read() -> None:
    (case,) = blocks(PAGE, "json")
    Case.model_validate_json(case, strict=True)
    (protocol,) = blocks(PAGE, "yaml")
    found = Protocol.model_validate_json(json.dumps(yaml.safe_load(protocol)), strict=True)
    assert {one.metric for one in found.endpoints} == set(METRICS)
    (plan,) = blocks(PLANS, "yaml")
    Plan.model_validate_json(json.dumps(yaml.safe_load(plan)), strict=True)


def test_every_metric_is_on_the_page() -> None:
    assert [name for name, _ in rows(PAGE, "metric", "is")] == list(METRICS)


def test_the_coverage_table_meets_its_bar() -> None:
    """The figures on the page are pasted from `python -m scripts.coverage`; the bar is 93 % for 95 %."""
    table = re.findall(
        r"^\| ([^|]+) \| (\d+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", PAGE.read_text("utf-8"), re.MULTILINE
    )
    assert len(table) == 24
    assert min(float(interval) for *_, interval in table) >= 0.93
