"""Damaged device files and model files through the real program: no traceback, no hang, exit code 2, exactly one clear line."""

import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import devices
from tests.drivers import onnx_models as om

LIMIT_S = 60.0
"""Far beyond what any of them takes: what is not over by then hangs."""
REPLACED = (
    b"\x00",
    b"\xff",
    b"\t",
    b"*a",
    b"&a ",
    b"!!x ",
    b'"',
    b"'",
    b"{",
    b"]",
    b": ",
    b"\n",
    b"?",
    b"9" * 30,
    b"- ",
)


def run_all(commands: list[list[str]]) -> list["subprocess.CompletedProcess[str]"]:
    """`inframe …` for each, some at a time; each ends within LIMIT_S."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}

    def run(arguments: list[str]) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "inframe", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False, env=environment)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(run, commands))


def one_clear_line(done: "subprocess.CompletedProcess[str]", *named: str) -> None:
    said = done.stderr
    assert done.returncode == 2, (done.args, said)
    assert said.count("\n") == 1, said
    assert said.startswith("inframe: ")
    assert said[:-1].isprintable()
    assert ": found " in said
    assert ", expected " in said
    assert any(name in said for name in named), said
    assert done.stdout == ""


def damaged(text: bytes, seed: int) -> bytes:
    """`text` with a wound or two that no device file survives."""
    rng = random.Random(seed)
    data = bytearray(text)
    for _ in range(1 + seed % 2):
        at = rng.randrange(len(data))
        data[at : at + rng.randrange(3)] = rng.choice(REPLACED)
    if seed % 5 == 0:
        del data[rng.randrange(len(data)) :]
    return bytes(data)


def refused_here(data: bytes, path: Path) -> bool:
    from inframe.core.errors import ConfigError
    from inframe.core.yamlfile import parse_device
    from inframe.resolve import resolve

    try:
        resolve(parse_device(data, path), path)
    except ConfigError:
        return True
    return False


def test_damaged_device_files(tmp_path: Path) -> None:
    text = devices.write(tmp_path).read_bytes()
    paths: list[Path] = []
    for seed in range(60):
        path = tmp_path / f"damaged-{seed}.yaml"
        data = damaged(text, seed)
        if refused_here(data, path) and len(paths) < 10:  # some wounds hurt nothing: a name has become another name
            path.write_bytes(data)
            paths.append(path)
    for name, data in {"empty": b"", "noise": devices.NOISE, "deep": b"{" * 100_000, "huge": b"#" * (1 << 19)}.items():
        paths.append(tmp_path / f"{name}.yaml")
        paths[-1].write_bytes(data)
    assert len(paths) == 14
    commands = [["run" if i % 2 else "check", str(path)] for i, path in enumerate(paths)]
    for path, done in zip(paths, run_all([*commands, ["run", str(tmp_path)]]), strict=False):
        one_clear_line(done, path.name)


CASES = ["cut off", "bits flipped", "other labels", "NaN", "an output larger than its ring"]


def test_models_that_do_not_fit_end_a_run(tmp_path: Path) -> None:
    """The worker says why, the whole device ends."""
    commands = []
    for case in CASES:
        data, model, _ = devices.BAD_MODELS[case]
        folder = tmp_path / case.replace(" ", "-")
        folder.mkdir()
        commands.append(["run", str(devices.write(folder, data, **model))])
    for case, done in zip(CASES, run_all(commands), strict=False):
        one_clear_line(done, "model.onnx")
        assert devices.BAD_MODELS[case][2][:40] in done.stderr


def test_model_files_are_inspected_or_refused(tmp_path: Path) -> None:
    files = {
        "random": devices.NOISE,
        "empty": b"",
        "half": devices.GOOD[: len(devices.GOOD) // 2],
        "text": b"device: x\n",
    }
    files |= {f"flipped-{seed}": devices.flipped(devices.GOOD, seed) for seed in range(2)}
    paths = [om.save(tmp_path, data, f"{name}.onnx") for name, data in files.items()]
    for path, done in zip(paths, run_all([["inspect", str(path)] for path in paths]), strict=True):
        one_clear_line(done, path.name)


@pytest.mark.parametrize("name", ["absent.onnx", "."])
def test_models_that_are_no_files(name: str, tmp_path: Path) -> None:
    (done,) = run_all([["inspect", str(tmp_path / name)]])
    one_clear_line(done, str(tmp_path))
