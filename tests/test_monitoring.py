"""The monitor of a running device, with real processes, and the commands on what it has kept."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from inframe.cli import app
from inframe.core.errors import ConfigError, InframeError
from inframe.core.yamlfile import read_device
from inframe.monitor.export import FIELDS
from inframe.monitor.reference import Reference, parse
from inframe.monitor.state import load, unsealed, watch
from inframe.monitor.summary import Summary
from inframe.monitoring import Keeper, signals_of, stratum_of
from inframe.pipeline.board import Count
from inframe.resolve import resolve
from inframe.trail.files import Disk
from tests.bundle import made as bundles
from tests.test_device import go_on_until, open_device, records_of, write_device
from tests.test_device_bundle import write as write_bundled
from tests.test_trail_device import read

MONITOR = {"folder": "monitor", "least_s": 0.5, "export_least": 2, "site": "here"}


def contents(folder: Path) -> dict[str, Any]:
    (file,) = (folder / "monitor").glob("*.state")
    return unsealed(file.name, file.read_bytes())


def command(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["monitor", *words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        if not isinstance(done.exception, InframeError):
            raise done.exception
        return done.exception.exit_code, str(done.exception)
    return done.exit_code, done.output


def test_a_device_is_measured_and_a_killed_monitor_goes_on_with_the_procedure(tmp_path: Path) -> None:
    path = write_device(tmp_path, trail={"folder": "trail"}, monitor=MONITOR)
    with open_device(path) as running:
        row = running.board.row("monitor")
        go_on_until(running, lambda: row.get(Count.FRAMES) >= 20)
        first = contents(tmp_path)
        os.kill(running.supervisor.pid("monitor") or 0, signal.SIGKILL)
        before = row.get(Count.FRAMES)
        go_on_until(running, lambda: "MONITOR_LOST" in running.board.faults())
        go_on_until(running, lambda: row.get(Count.FRAMES) < before)  # the next one counts anew
        go_on_until(running, lambda: row.get(Count.FRAMES) >= 12)
        assert running.board.row("display").get(Count.FRAMES) > 20
    found = contents(tmp_path)
    assert (found["procedures"], found["cut"], found["running"]) == (1, 0, None)
    assert found["origin"] == first["origin"]
    means = found["means"]
    assert {"luma", "change", "latency", "withheld", "eye.confidence", "eye.entropy", "eye.time", "eye.missed"} <= set(
        means
    )
    assert means["luma"][0] == 1
    assert found["stratum"]["site"] == "here"
    _, events, _ = read(tmp_path / "trail")
    assert "MONITOR_LOST" in {event.name for event in events}
    code, said = command("export", str(path), "--out", str(tmp_path / "out.json"))
    assert code == 2
    assert "device.yaml: monitor.export_least: found 1 procedures, expected at least 2 to export" in said


def keeper(path: Path, procedure: str, references: dict[str, Reference] | None = None) -> Keeper:
    device = resolve(read_device(path), path)
    assert device.monitor is not None
    folder = Path(device.monitor.folder)
    folder.mkdir(exist_ok=True)
    return Keeper(device, device.monitor, Disk(folder), references or {}, procedure)


def procedure_of(one: Keeper, value: float) -> None:
    one.summary.add(np.full(len(one.state.scales.names), value))


def test_what_is_kept_is_shown_exported_and_merged(tmp_path: Path) -> None:
    files = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        path = write_device(tmp_path / name, monitor=MONITOR)
        for i in range(3):
            one = keeper(path, f"{name} {i}")
            procedure_of(one, 0.25)
            one.close()
        files.append(tmp_path / f"{name}.json")
        assert command("export", str(path), "--out", str(files[-1]))[0] == 0
        assert command("status", str(path), "--json", str(tmp_path / "status.json"))[0] == 0
        (stratum,) = json.loads((tmp_path / "status.json").read_text())["strata"]
        assert (stratum["procedures"], stratum["charts"]) == (3, {})
        assert stratum["signals"]["eye.confidence"]["procedures"] == 3
    merged = tmp_path / "merged.json"
    assert command("merge", *map(str, files), "--out", str(merged))[0] == 0
    forward = merged.read_bytes()
    assert command("merge", *map(str, files[::-1]), "--out", str(merged))[0] == 0
    assert merged.read_bytes() == forward
    (whole,) = json.loads(forward)["strata"]
    assert (whole["procedures"], len(whole["origins"]), whole["means"]["luma"][0]) == (6, 2, 6)
    assert set(whole) == {name.partition(".")[2] for name in FIELDS if "." in name}
    code, said = command("merge", str(files[0]), str(merged), "--out", str(tmp_path / "no.json"))
    assert code == 2
    assert "twice, expected each device's export once" in said
    for bad in (b"{", b"[]", b'{"format":1,"strata":[{}]}', forward.replace(b'"cut":0', b'"cut":-1')):
        merged.write_bytes(bad)
        code, said = command("merge", str(merged), "--out", str(tmp_path / "no.json"))
        assert code == 2
        assert said.startswith(f"{merged}: ")
        assert len(said.splitlines()) == 1


def test_a_procedure_that_a_power_cut_ended_is_counted_as_such(tmp_path: Path) -> None:
    path = write_device(tmp_path, monitor=MONITOR)
    one = keeper(path, "first")
    procedure_of(one, 0.5)
    one.save()  # and then nothing more
    again = keeper(path, "first")
    assert again.summary.blocks == 1
    other = keeper(path, "second")
    assert (other.state.procedures, other.state.cut, other.summary.blocks) == (1, 1, 0)


def test_a_damaged_memory_is_put_aside_and_told(tmp_path: Path) -> None:
    path = write_device(tmp_path, monitor=MONITOR)
    keeper(path, "first").close()
    (file,) = (tmp_path / "monitor").glob("*.state")
    file.write_bytes(file.read_bytes()[:-5])
    one = keeper(path, "second")
    assert one.damaged
    assert one.notes[0][0] == "MONITOR_DAMAGED"
    assert file.with_name(file.name + ".damaged").exists()
    assert not keeper(path, "third").damaged


def test_the_charts_of_a_signed_reference_say_what_drifted(tmp_path: Path) -> None:
    """A reference is made of a device's own procedures, signed within a bundle, and a device that runs it is charted."""
    first = tmp_path / "first"
    first.mkdir()
    path = write_bundled(first, monitor=MONITOR)
    device = resolve(read_device(path), path)
    rng = np.random.default_rng(1)
    fill(path, rng.normal(0.3, 0.02, (60, len(signals_of(device)))))
    other = tmp_path / "degraded"
    other.mkdir()
    degraded = write_bundled(other, monitor=MONITOR)
    fill(degraded, rng.normal(0.29, 0.02, (20, len(signals_of(device)))))
    words = ["lock", str(path), "--degraded", f"fog={degraded}", "--out", str(tmp_path / "reference.json")]
    assert command(*words)[0] == 0
    code, said = command("lock", str(path), "--degraded", "fog", "--out", str(tmp_path / "no.json"))
    assert (code, said) == (2, "inframe monitor lock: --degraded: found fog, expected NAME=DEVICE")
    code, said = command("lock", str(degraded), "--out", str(tmp_path / "no.json"))
    assert code == 2
    assert "monitor.folder: found 0 such, expected one stratum of at least 50 procedures" in said
    second = tmp_path / "second"
    (second / "made").mkdir(parents=True)
    (second / "made" / "reference.json").write_bytes((tmp_path / "reference.json").read_bytes())
    path = write_bundled_with(second, {"anatomy": "reference.json"})
    drifted = parse((tmp_path / "reference.json").read_bytes(), "reference")
    for i in range(12):
        one = keeper(path, f"{i}", {"m": drifted})
        procedure_of(one, 0.32)
        one.close()
    assert [alarm.procedure for alarm in one.state.alarms] != []
    with open_device(path) as running:
        go_on_until(running, lambda: running.board.row("monitor").get(Count.FRAMES) >= 30)
        assert "PICTURE_UNUSUAL" in running.board.faults(), "a synthetic camera is unlike that reference"
        assert "DRIFT" in running.board.faults()
        assert any(what == "DRIFT" and "since" in why for _, what, why in running.notes)
        assert not any(alert.startswith("DRIFT") for record in records_of(running)() for alert in record.alerts)
        go_on_until(running, lambda: running.board.row("recorder").get(Count.FRAMES) >= 60)
    _, events, _ = read(second / "trail")
    assert any(event.name == "DRIFT" and event.data == {"state": "present"} for event in events)
    assert any(event.name == "NOTE" and event.text.startswith("DRIFT: model m, since ") for event in events)
    found = contents(second)
    (charts,) = found["charts"].values()
    assert "luma" in charts["signals"]
    assert charts["signatures"] == ["fog"]
    assert found["procedures"] == 13
    assert "DRIFT at procedure" in command("status", str(path))[1]
    assert command("status", str(path))[1].count("not estimable") == 1


def fill(path: Path, procedures: np.ndarray) -> None:
    """So many procedures, (n, signals), in a device's memory."""
    device = resolve(read_device(path), path)
    assert device.monitor is not None
    Path(device.monitor.folder).mkdir(exist_ok=True)
    disk = Disk(Path(device.monitor.folder))
    one = load(disk, stratum_of(device, device.monitor), signals_of(device), watch({}, 500))
    for i, row in enumerate(procedures):
        summary = Summary(one.scales)
        summary.add(row)
        one.running = f"{i}", summary
        one.close_procedure(1)
    one.save(disk)


def write_bundled_with(folder: Path, reference: dict[str, str]) -> Path:
    file = bundles.signed(folder / "made", reference=reference).relative_to(folder)
    path = write_bundled(folder, {"file": str(file)}, monitor=MONITOR)
    bundles.signed(folder / "made", reference=reference)  # what `write_bundled` has written over
    values = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(values))
    return path


def test_what_the_device_file_says_of_it_is_checked(tmp_path: Path) -> None:
    for change, said in (
        ({"run_length": 3}, "monitor.run_length: found 3"),
        (
            {"phase": "eye"},
            "monitor.phase: found 'eye', expected a classification model that looks at endoscope: there is none",
        ),
        ({"folder": "device.yaml"}, "monitor.folder: found device.yaml, expected a folder"),
    ):
        path = write_device(tmp_path, monitor=MONITOR | change)
        with pytest.raises(ConfigError) as caught:
            resolve(read_device(path), path)
        assert said in str(caught.value)
    path = write_device(tmp_path)
    code, line = command("status", str(path))
    assert code == 2
    assert "device.yaml: monitor: found nothing, expected `monitor:` in the device's file" in line
