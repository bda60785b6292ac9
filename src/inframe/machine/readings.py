"""What /proc and /sys say about this machine, as rows. Each function reads below `root`, so that a test can give it a
tree.

Nothing here changes anything; what has to be tried is in probe.py.
"""

import gzip
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from inframe.machine.kernel import read_text
from inframe.machine.partition import cpu_list

Status = Literal["OK", "WARN", "FAIL", "SKIP"]
"""OK: as it should be. WARN: the device runs, without this guarantee. FAIL: it can't keep its promises here. SKIP:
can't tell."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of `inframe doctor`."""

    name: str
    status: Status
    found: str
    advice: str = ""
    """What to do about it; empty where nothing needs doing."""


def preemption(root: Path) -> Row:
    """How soon the kernel lets a real-time task in."""
    model, source = _preemption_model(root)
    name = "kernel preemption"
    if model in ("rt", "full"):
        return Row(name, "OK", f"{model} ({source})")
    if model is None:
        return Row(name, "SKIP", "unknown", "read /sys/kernel/debug/sched/preempt as root")
    advice = "start the kernel with preempt=full, or use a PREEMPT_RT kernel"
    return Row(name, "WARN", f"{model} ({source}): a system call of another program can delay a frame", advice)


def _preemption_model(root: Path) -> tuple[str | None, str]:
    """The model in force; else the one asked for at boot; else the one the kernel was built with."""
    version = read_text(root / "proc/version") or ""
    if read_text(root / "sys/kernel/realtime") == "1" or "PREEMPT_RT" in version:
        return "rt", "kernel build"
    if current := re.search(r"\((\w+)\)", read_text(root / "sys/kernel/debug/sched/preempt") or ""):
        return current[1], "/sys/kernel/debug/sched/preempt"
    if asked := re.search(r"\bpreempt=(\w+)", read_text(root / "proc/cmdline") or ""):
        return asked[1], "kernel command line"
    config = _build_options(root)
    built = {"PREEMPT": "full", "PREEMPT_LAZY": "lazy", "PREEMPT_VOLUNTARY": "voluntary", "PREEMPT_NONE": "none"}
    return next((model for option, model in built.items() if f"CONFIG_{option}=y" in config), None), "kernel build"


def _build_options(root: Path) -> list[str]:
    """The lines of the kernel's build configuration; none where it is not kept."""
    try:
        text = gzip.decompress((root / "proc/config.gz").read_bytes()).decode()
    except (OSError, EOFError):
        text = read_text(root / f"boot/config-{read_text(root / 'proc/sys/kernel/osrelease')}") or ""
    return text.splitlines()


def throttling(root: Path) -> Row:
    """The share of a core that real-time tasks may use before all of them are stopped."""
    name = "real-time throttling"
    runtime = read_text(root / "proc/sys/kernel/sched_rt_runtime_us")
    period = read_text(root / "proc/sys/kernel/sched_rt_period_us")
    if runtime is None or period is None or int(period) <= 0:
        return Row(name, "SKIP", "unknown")
    if int(runtime) < 0:
        return Row(
            name, "WARN", "off: a runaway real-time loop stops its core", "set kernel.sched_rt_runtime_us = 950000"
        )
    share = int(runtime) / int(period)
    status: Status = "OK" if share >= 0.9 else "WARN"
    return Row(name, status, f"{share:.0%} of each {int(period) / 1e6:g} s", "" if share >= 0.9 else "set it to 95 %")


def real_time_share(runtime_us: int | None) -> Row:
    """The control group's account of real-time, `kernel.real_time_runtime_us()`."""
    name = "real-time share of the control group"
    if runtime_us is None:
        return Row(name, "OK", "this kernel keeps no such account")
    if runtime_us == 0:
        return Row(
            name,
            "WARN",
            "0 us: FIFO is refused here",
            "write 950000 to cpu.rt_runtime_us of this group and those above",
        )
    return Row(name, "OK", f"{runtime_us} us")


def isolated_cores(root: Path) -> Row:
    """Cores that the kernel keeps ordinary programs away from."""
    name = "isolated cores"
    cores = cpu_list(read_text(root / "sys/devices/system/cpu/isolated") or "")
    if cores:
        return Row(name, "OK", ", ".join(map(str, sorted(cores))))
    advice = "start the kernel with isolcpus=managed_irq,domain,LAST for the frame path's cores"
    return Row(name, "WARN", "none: other programs share the frame path's cores at lower priority", advice)


def tickless_cores(root: Path) -> Row:
    """Cores without the scheduler's tick."""
    text = read_text(root / "sys/devices/system/cpu/nohz_full") or ""
    listed = "" if text == "(null)" else text
    return Row("tickless cores", "OK", listed or "none (a tick costs microseconds: no matter at video rates)")


def governor(root: Path) -> Row:
    """Whether the processor may slow down."""
    name = "processor frequency"
    paths = sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor"))
    governors = sorted({text for path in paths if (text := read_text(path))})
    if not governors:
        return Row(name, "SKIP", "not ours to see: the firmware or the host decides")
    if governors == ["performance"]:
        return Row(name, "OK", "performance")
    return Row(name, "WARN", ", ".join(governors), "set the governor of every core to performance")


def temperature(root: Path) -> Row:
    """The hottest thermal zone against the first trip point that slows or stops the machine."""
    name, zones = "temperature", []
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        degrees = _millidegrees(zone / "temp")
        trips = [
            trip
            for kind in sorted(zone.glob("trip_point_*_type"))
            if read_text(kind) in ("passive", "hot", "critical")
            and (trip := _millidegrees(zone / kind.name.replace("_type", "_temp"))) is not None
            and trip > 0
        ]
        if degrees is not None:
            zones.append((min(trips, default=100.0) - degrees, degrees, read_text(zone / "type") or zone.name))
    if not zones:
        return Row(name, "SKIP", "no thermal zone to read")
    margin, degrees, kind = min(zones)
    found = f"{degrees:.0f} °C in {kind}, {margin:.0f} °C below its limit"
    return (
        Row(name, "OK", found)
        if margin >= 10
        else Row(name, "WARN", found, "cool it: it slows down when the limit is met")
    )


def _millidegrees(path: Path) -> float | None:
    text = read_text(path)
    return int(text) / 1000 if text is not None and re.fullmatch(r"-?\d+", text) else None


def power(root: Path) -> Row:
    """Power limits and whether they were ever met."""
    name = "power limits"
    counts = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/thermal_throttle/core_throttle_count")
    slowed = sum(int(text) for path in counts if (text := read_text(path)) and text.isdecimal())
    found = []
    if (watts := _millidegrees(root / "sys/class/powercap/intel-rapl:0/constraint_0_power_limit_uw")) is not None:
        found.append(f"{watts / 1000:.0f} W")  # microwatts
    if (jetson := read_text(root / "var/lib/nvpmodel/status")) is not None:
        found.append(f"nvpmodel {jetson}")
    if slowed:
        return Row(
            name, "WARN", ", ".join([*found, f"slowed down {slowed} times since boot"]), "improve cooling or power"
        )
    return Row(name, "OK", ", ".join(found)) if found else Row(name, "SKIP", "not readable here")


def virtual_machine(root: Path) -> Row:
    """Whether a host may take this machine's cores away, and how much it did since boot."""
    name = "virtual machine"
    flags = re.search(r"^flags\s*:(.*)$", read_text(root / "proc/cpuinfo") or "", re.MULTILINE)
    virtual = (flags is not None and "hypervisor" in flags[1].split()) or (root / "sys/hypervisor/type").exists()
    ticks = [int(word) for word in (read_text(root / "proc/stat") or "cpu 0").splitlines()[0].split()[1:9]]
    total = sum(ticks)
    stolen = ticks[7] / total if len(ticks) == 8 and total else 0.0
    if not virtual:
        return Row(name, "OK", "no")
    advice = "no guest can promise a deadline: use hardware, or a host that pins and never shares the cores"
    return Row(name, "WARN", f"yes; the host took {stolen:.1%} of the cores since boot", advice)


def clock_source(root: Path) -> Row:
    """What the monotonic clock is read from."""
    name = "clock source"
    current = read_text(root / "sys/devices/system/clocksource/clocksource0/current_clocksource")
    if current is None:
        return Row(name, "SKIP", "unknown")
    if current in ("tsc", "arch_sys_counter", "kvm-clock", "hyperv_clocksource_tsc_page"):
        return Row(name, "OK", current)
    return Row(
        name, "WARN", f"{current}: each reading costs about a microsecond", "find out why the kernel gave up tsc"
    )


def huge_pages(root: Path) -> Row:
    """Page size and transparent huge pages."""
    name = "pages"
    settings = {file: read_text(root / f"sys/kernel/mm/transparent_hugepage/{file}") for file in ("enabled", "defrag")}
    now = {file: chosen[1] for file, text in settings.items() if (chosen := re.search(r"\[([\w+]+)\]", text or ""))}
    found = [f"{os.sysconf('SC_PAGESIZE')} bytes", *(f"huge pages {file} {value}" for file, value in now.items())]
    if now.get("enabled") == "always" and now.get("defrag") == "always":
        return Row(
            name, "WARN", ", ".join(found), "set transparent_hugepage/defrag to madvise: it stops a task to find room"
        )
    return Row(name, "OK", ", ".join(found))


def namespaces(root: Path) -> Row:
    """Only for the record: nothing here needs them."""
    limit = read_text(root / "proc/sys/user/max_user_namespaces")
    found = "unknown" if limit is None else "not allowed" if limit == "0" else "allowed"
    return Row(
        "user namespaces", "SKIP" if limit is None else "OK", f"{found} (not needed: networks are closed by seccomp)"
    )


READINGS: tuple[Callable[[Path], Row], ...] = (
    preemption,
    throttling,
    isolated_cores,
    tickless_cores,
    governor,
    temperature,
    power,
    virtual_machine,
    clock_source,
    huge_pages,
    namespaces,
)
