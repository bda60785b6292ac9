"""Tables on the pages say what the code says."""

import tomllib
from pathlib import Path

import pytest

from inframe.chaos import camera, candidates, sensors
from inframe.chaos.faults import FAULTS
from inframe.doctor import examine
from inframe.drivers.screens.window import KEYS
from inframe.pipeline.alerts import FLASHES
from scripts.docs import BLOCK, BLOCKS, ROOT, filled
from tests.docs.pages import NAMES, PAGES, prose, rows

DOCS = ROOT / "docs"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_generated_parts_are_up_to_date(page: Path) -> None:
    text = page.read_text("utf-8")
    assert filled(text) == text, "run: python -m scripts.docs"


def test_every_generated_part_is_on_one_page() -> None:
    used = [block[2] for page in PAGES for block in BLOCK.finditer(page.read_text("utf-8"))]
    assert sorted(used) == sorted(BLOCKS)


def test_an_old_table_is_noticed() -> None:
    old = "<!-- generated: flashes -->\n\n| priority |\n\n<!-- /generated -->"
    assert filled(old) != old
    assert f"{max(flash.millihertz for flash in FLASHES.values()) / 1000:g} Hz" in filled(old)


def test_faults() -> None:
    said = [(name, lasts, alert) for name, _, lasts, alert in rows(DOCS / "chaos.md", "fault", "what is done")]
    known = [
        (f.name, f"{f.lasts_s:g} s", " or ".join(f.alerts) or "-")
        for f in (*FAULTS, *candidates.FAULTS, *sensors.FAULTS, *camera.FAULTS)
    ]
    assert said == known


def test_doctor_rows(tmp_path: Path) -> None:
    described = {name for cells in rows(DOCS / "realtime.md", "row", "says") for name in cells[0].split(", ")}
    assert {row["name"] for row in examine(tmp_path)} - {"starting a process", "disk"} <= described


def test_dependencies() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wanted = [
        *project["project"]["dependencies"],
        *(one for extra in project["project"]["optional-dependencies"].values() for one in extra),
        *(one for group in project["dependency-groups"].values() for one in group if isinstance(one, str)),
    ]
    text = (DOCS / "dependencies.md").read_text("utf-8")
    names = [one.split(">")[0].split("=")[0].strip() for one in wanted]
    assert [name for name in names if f"`{name}`" not in text] == []


def test_locked_versions() -> None:
    locks = "".join((ROOT / "locks" / name).read_text("utf-8") for name in ("run.txt", "dev.txt"))
    page = DOCS / "dependencies.md"
    said = [(cells[0].split(" ")[0], cells[1]) for _ in (0,) for cells in rows(page, "package", "version")]
    assert [name for name, version in said if f"{name.lower()}=={version}" not in locks] == []


def test_keys_of_the_window() -> None:
    described = {key.strip() for cells in rows(DOCS / "overlay.md", "key", "does") for key in cells[0].split()}
    assert {"Escape" if key == "\x1b" else key for key in KEYS} <= {key.rstrip(",") for key in described}


def test_rooms_are_in_the_tree() -> None:
    tree = (ROOT / "README.md").read_text("utf-8")
    rooms = [room.name for room in (ROOT / "src" / "inframe").iterdir() if room.is_dir() and room.name != "__pycache__"]
    assert [room for room in rooms if f"  {room}/" not in tree] == []


def test_bars_of_chaos() -> None:
    from inframe.chaos import campaign

    text = prose(DOCS / "chaos.md")
    assert f"within {campaign.RECOVERY_LIMIT_S:g} s |" in text
    assert f"within {campaign.KILLED_WORKER_RECOVERS_MS / 1000:g} s of the strike" in text
    assert f"within {campaign.CAMERA_ALERT_MS / 1000:g} s of the strike" in text
