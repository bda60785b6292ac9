"""`inframe inspect MODEL.onnx`: what a model is, whether it runs here, and a device file to start from.

`inspect` reads and runs the model in this process; `inspect_apart` does so in a child, so that a file which crashes or
hangs a native library costs one clear line and not the command.
"""

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from inframe.core.errors import ConfigError, DeviceFault, one_line
from inframe.core.ports import Engine
from inframe.core.yamlfile import parse_device
from inframe.drivers.engines import installed_engines, load_engine
from inframe.drivers.onnxfile import ModelFacts, TensorFacts, read_facts
from inframe.pipeline.model import load_model
from inframe.starter import CannotGuess, first_run, guess_decode, guess_image, starter_text, yaml_text

TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether one engine loads the model."""

    engine: str
    runs: bool
    problem: str
    """What keeps it from running, one line; empty if nothing does."""


@dataclass(frozen=True, slots=True)
class Report:
    """What `inframe inspect` says. JSON-able by `dataclasses.asdict`."""

    file: str
    size_bytes: int
    sha256: str
    facts: ModelFacts
    engines: list[Verdict]
    guess: str
    """What kind of model it seems to be: a guess."""
    starter: str
    """A device file that runs, to be saved beside the model; empty where none could be made."""
    no_starter: str
    """Why there is none."""


def inspect(path: Path) -> Report:
    """Raises ConfigError for a file that is not a readable ONNX model."""
    try:
        model = path.read_bytes()
    except OSError as error:
        raise ConfigError(path, "file", error.strerror or error, "a readable ONNX file") from None
    facts = read_facts(model, str(path))
    verdicts, engines = _try_engines(model, path, facts)
    guess, starter, reason = "none", "", "no engine here runs the model"
    if engines:
        name, engine = next(iter(engines.items()))
        try:
            guess, starter = _starter(path, name, engine)
            reason = ""
        except CannotGuess as error:
            reason = str(error)
        except (ConfigError, DeviceFault) as error:
            reason = f"the model does not run on a test picture: {error}"
    for engine in engines.values():
        engine.close()
    digest = hashlib.sha256(model).hexdigest()
    return Report(str(path), len(model), digest, facts, verdicts, guess, starter, one_line(reason, 400))


def _try_engines(model: bytes, path: Path, facts: ModelFacts) -> tuple[list[Verdict], dict[str, Engine]]:
    verdicts: list[Verdict] = []
    engines: dict[str, Engine] = {}
    for config in installed_engines():
        try:
            engine = load_engine(model, str(path), config)
        except ConfigError as error:
            lacking = _lacking(config.name, facts)
            problem = (
                f"has no operator {', '.join(lacking)}"
                if lacking
                else f"found {error.found}, expected {error.expected}"
            )
            verdicts.append(Verdict(config.name, False, one_line(problem, 400)))
        else:
            engines[config.name] = engine
            verdicts.append(Verdict(config.name, True, ""))
    return verdicts, engines


def _lacking(engine: str, facts: ModelFacts) -> list[str]:
    if engine != "onnxruntime" or not facts.unknown_operators:
        return []  # OpenVINO names all of them by itself
    from inframe.drivers.engines.onnxruntime_engine import lacks

    return lacks(facts.unknown_operators)


def _starter(path: Path, engine_name: str, engine: Engine) -> tuple[str, str]:
    """The kind, and a device file that has been read back and has run on a frame."""
    image = guess_image(engine.inputs, engine.outputs)
    guess = guess_decode(first_run(engine, image), image.size)
    text = starter_text(path.name, engine_name, image, guess)
    device = parse_device(text.encode(), path.with_name("device.yaml"))
    stream = device.streams[device.display]
    load_model("model", device.models["model"], path.parent, (stream.width, stream.height)).close()
    return f"{guess.kind}: {guess.note}", text


def save_starter(report: Report, to: Path) -> None:
    """Write the starter device file as `to`, naming the model relative to it. Raises ConfigError; never overwrites."""
    if not report.starter:
        raise ConfigError(
            report.file, "starter", "none", f"a model that a device file can describe ({report.no_starter})"
        )
    model = Path(report.file)
    file = os.path.relpath(model.resolve(), to.resolve().parent)
    text = report.starter.replace(f"    file: {yaml_text(model.name)}\n", f"    file: {yaml_text(file)}\n", 1)
    try:
        with to.open("x", encoding="utf-8") as new:
            new.write(text)
    except OSError as error:
        raise ConfigError(to, "starter", error.strerror or error, "a new file") from None


# --- in a child ------------------------------------------------------------------------------------------------------


def inspect_apart(path: Path, timeout_s: float = TIMEOUT_S) -> Report:
    """As `inspect`, in a child process. Raises ConfigError, also where the file crashes or hangs what reads it."""
    command = [sys.executable, "-m", "inframe.inspection", "--json", "--", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        found = f"a model that is not read and run within {timeout_s:g} s"
        raise ConfigError(path, "file", found, "a model that an engine can load") from None
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise ConfigError(path, "file", f"a file that crashes what reads it ({name})", "an ONNX model")
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["nothing"]
        raise ConfigError(path, "file", f"a file that its reader gave up on: {last[0]}", "an ONNX model") from None
    if "error" in answer:
        raise ConfigError(*answer["error"])
    return _from_json(answer)


def _from_json(answer: dict[str, Any]) -> Report:
    facts = answer.pop("facts")
    inputs, outputs = ([TensorFacts(**tensor) for tensor in facts.pop(key)] for key in ("inputs", "outputs"))
    engines = [Verdict(**verdict) for verdict in answer.pop("engines")]
    return Report(**answer, facts=ModelFacts(**facts, inputs=inputs, outputs=outputs), engines=engines)


def main(arguments: list[str] | None = None) -> int:
    """The child's body, and a way to run it by hand: `python -m inframe.inspection [--json] FILE`."""
    parser = argparse.ArgumentParser(prog="python -m inframe.inspection")
    parser.add_argument("file", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    try:
        report = inspect(options.file)
    except ConfigError as error:
        parts = [error.where, error.field, str(error.found), error.expected]
        print(json.dumps({"error": parts}) if options.json else error)  # noqa: T201  # its only purpose
        return error.exit_code
    if options.json:
        print(json.dumps(asdict(report)))  # noqa: T201  # its only purpose
    else:
        show(report, Console())
    return 0


# --- for people ------------------------------------------------------------------------------------------------------


def show(report: Report, console: Console) -> None:
    """Print the report."""
    facts = report.facts
    table = Table(show_header=False, box=None, pad_edge=False)
    rows = [
        ("file", f"{report.file} ({report.size_bytes:,} bytes)"),
        ("sha256", report.sha256),
        ("made by", facts.producer or "nobody it names"),
        (
            "IR, opsets",
            f"{facts.ir_version}; " + ", ".join(f"{name} {version}" for name, version in facts.opsets.items()),
        ),
        *(("input", _tensor_text(tensor)) for tensor in facts.inputs),
        *(("output", _tensor_text(tensor)) for tensor in facts.outputs),
        ("parameters", f"{facts.parameters:,}"),
        ("operators", ", ".join(f"{name} {count}" for name, count in facts.operators.items())),
        ("not standard", ", ".join(facts.unknown_operators) or "none"),
        *(
            (verdict.engine, "runs" if verdict.runs else f"can't run it: {verdict.problem}")
            for verdict in report.engines
        ),
        ("a guess", report.guess),
    ]
    for name, value in rows:
        table.add_row(Text(name, style="bold"), Text(value))
    console.print(table)
    if facts.opsets.get("ai.onnx", 0) > facts.newest_opset:
        console.print(f"opset {facts.opsets['ai.onnx']} is newer than any that is known here ({facts.newest_opset})")
    if report.starter:
        console.print("\nA device file that runs. Save it as device.yaml beside the model:\n", style="bold")
        console.print(report.starter, markup=False, highlight=False, soft_wrap=True)
    else:
        console.print(f"\nNo starter device file: {report.no_starter}", markup=False)


def _tensor_text(tensor: TensorFacts) -> str:
    return f"{tensor.name}: {'x'.join(map(str, tensor.shape)) or 'one number'} {tensor.dtype}"


if __name__ == "__main__":
    sys.exit(main())
