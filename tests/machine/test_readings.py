"""Rows read from trees of small files that stand for other machines."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from inframe.machine import readings
from inframe.machine.readings import Row

Tree = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    def grow(files: dict[str, str]) -> Path:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n")
        return tmp_path

    return grow


CPU = "sys/devices/system/cpu"
THERMAL = "sys/class/thermal/thermal_zone0"


@pytest.mark.parametrize(
    ("reading", "files", "status", "found"),
    [
        (readings.preemption, {"sys/kernel/realtime": "1"}, "OK", "rt"),
        (readings.preemption, {"sys/kernel/debug/sched/preempt": "none voluntary (full) lazy"}, "OK", "full"),
        (readings.preemption, {"sys/kernel/debug/sched/preempt": "none (voluntary) full"}, "WARN", "voluntary"),
        (readings.preemption, {"proc/cmdline": "quiet preempt=none"}, "WARN", "none"),
        (
            readings.preemption,
            {"proc/sys/kernel/osrelease": "6.1", "boot/config-6.1": "CONFIG_PREEMPT_VOLUNTARY=y"},
            "WARN",
            "voluntary",
        ),
        (readings.preemption, {}, "SKIP", "unknown"),
        (
            readings.throttling,
            {"proc/sys/kernel/sched_rt_runtime_us": "950000", "proc/sys/kernel/sched_rt_period_us": "1000000"},
            "OK",
            "95%",
        ),
        (
            readings.throttling,
            {"proc/sys/kernel/sched_rt_runtime_us": "-1", "proc/sys/kernel/sched_rt_period_us": "1000000"},
            "WARN",
            "off",
        ),
        (
            readings.throttling,
            {"proc/sys/kernel/sched_rt_runtime_us": "500000", "proc/sys/kernel/sched_rt_period_us": "1000000"},
            "WARN",
            "50%",
        ),
        (readings.isolated_cores, {f"{CPU}/isolated": "2-3"}, "OK", "2, 3"),
        (readings.isolated_cores, {f"{CPU}/isolated": ""}, "WARN", "none"),
        (readings.tickless_cores, {f"{CPU}/nohz_full": "(null)"}, "OK", "none"),
        (readings.tickless_cores, {f"{CPU}/nohz_full": "2-3"}, "OK", "2-3"),
        (readings.governor, {f"{CPU}/cpu0/cpufreq/scaling_governor": "performance"}, "OK", "performance"),
        (
            readings.governor,
            {
                f"{CPU}/cpu0/cpufreq/scaling_governor": "performance",
                f"{CPU}/cpu1/cpufreq/scaling_governor": "powersave",
            },
            "WARN",
            "performance, powersave",
        ),
        (readings.governor, {}, "SKIP", ""),
        (
            readings.temperature,
            {
                f"{THERMAL}/temp": "55000",
                f"{THERMAL}/type": "x86_pkg_temp",
                f"{THERMAL}/trip_point_0_type": "passive",
                f"{THERMAL}/trip_point_0_temp": "95000",
                f"{THERMAL}/trip_point_1_type": "critical",
                f"{THERMAL}/trip_point_1_temp": "105000",
            },
            "OK",
            "55 °C in x86_pkg_temp, 40 °C below",
        ),
        (readings.temperature, {f"{THERMAL}/temp": "93000"}, "WARN", "93 °C in thermal_zone0, 7 °C below"),
        (readings.temperature, {f"{THERMAL}/temp": "no number"}, "SKIP", ""),
        (
            readings.power,
            {"sys/class/powercap/intel-rapl:0/constraint_0_power_limit_uw": "15000000"},
            "OK",
            "15 W",
        ),
        (readings.power, {"var/lib/nvpmodel/status": "pmode:0002"}, "OK", "nvpmodel pmode:0002"),
        (readings.power, {f"{CPU}/cpu0/thermal_throttle/core_throttle_count": "7"}, "WARN", "slowed down 7 times"),
        (readings.power, {}, "SKIP", ""),
        (readings.virtual_machine, {"proc/cpuinfo": "flags\t\t: fpu sse"}, "OK", "no"),
        (
            readings.virtual_machine,
            {"proc/cpuinfo": "flags\t\t: fpu hypervisor", "proc/stat": "cpu  40 0 10 25 0 0 0 25 0 0"},
            "WARN",
            "25.0%",
        ),
        (
            readings.clock_source,
            {"sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc"},
            "OK",
            "tsc",
        ),
        (
            readings.clock_source,
            {"sys/devices/system/clocksource/clocksource0/current_clocksource": "hpet"},
            "WARN",
            "hpet",
        ),
        (
            readings.huge_pages,
            {
                "sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never",
                "sys/kernel/mm/transparent_hugepage/defrag": "[always] defer defer+madvise madvise never",
            },
            "WARN",
            "defrag always",
        ),
        (
            readings.huge_pages,
            {"sys/kernel/mm/transparent_hugepage/defrag": "always defer [defer+madvise] madvise never"},
            "OK",
            "defer+madvise",
        ),
        (readings.namespaces, {"proc/sys/user/max_user_namespaces": "0"}, "OK", "not allowed"),
    ],
)
def test_reading(tree: Tree, reading: Callable[[Path], Row], files: dict[str, str], status: str, found: str) -> None:
    row = reading(tree(files))
    assert row.status == status
    assert found in row.found
    assert row.status != "WARN" or row.advice


def test_preemption_from_the_kernels_own_build_options(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/config.gz").write_bytes(gzip.compress(b"CONFIG_PREEMPT_NONE=y\nCONFIG_PREEMPT_DYNAMIC=y\n"))
    assert readings.preemption(tmp_path).found.startswith("none (kernel build)")


@pytest.mark.parametrize("reading", readings.READINGS)
def test_an_empty_tree_never_breaks_a_reading(tmp_path: Path, reading: Callable[[Path], Row]) -> None:
    assert reading(tmp_path).status in ("OK", "WARN", "SKIP")


@pytest.mark.parametrize(("runtime", "status"), [(None, "OK"), (0, "WARN"), (950_000, "OK")])
def test_real_time_share(runtime: int | None, status: str) -> None:
    assert readings.real_time_share(runtime).status == status
