"""Every device file on a page is one; every fragment of one fits into one."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from inframe.core.config import Device
from inframe.core.errors import ConfigError
from inframe.core.yamlfile import parse_device
from tests.docs.pages import NAMES, PAGES, blocks

BASE = """
device: base
streams: {endoscope: {camera: synthetic, width: 640, height: 360, fps: 30}}
display: endoscope
"""


def device_files(page: Path) -> list[str]:
    """Whole ones: YAML blocks with `device:`, and starters in the output of `inframe inspect`."""
    whole = [block for block in blocks(page, "yaml") if re.search(r"^device: ", block, re.MULTILINE)]
    pasted = [block for block in blocks(page, "console") if "Written by inframe inspect" in block]
    return whole + [block[block.index("# Written by inframe inspect") :] for block in pasted]


def fragments(page: Path) -> list[dict[str, Any]]:
    """Blocks whose keys are a device file's, without being whole."""
    loaded = [yaml.safe_load(block) for block in blocks(page, "yaml")]
    return [part for part in loaded if "device" not in part and set(part) <= set(Device.model_fields)]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_device_files_are_valid(page: Path) -> None:
    for text in device_files(page):
        parse_device(text.encode(), page)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_fragments_fit_into_a_device_file(page: Path) -> None:
    for part in fragments(page):
        whole = yaml.safe_load(BASE) | part
        whole["display"] = next(iter(whole["streams"]))
        parse_device(yaml.safe_dump(whole).encode(), page)


def test_the_pages_have_device_files() -> None:
    assert sum(len(device_files(page)) + len(fragments(page)) for page in PAGES) >= 5


def test_the_check_can_fail() -> None:
    with pytest.raises(ConfigError, match="budget: found an unknown key"):
        parse_device((BASE + "budget: 3\n").encode(), Path("page"))
