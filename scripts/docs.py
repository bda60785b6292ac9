"""Writes the generated parts of the documentation anew, from the code.

    python -m scripts.docs            the tables between the `<!-- generated: NAME -->` marks in README.md and docs/
    python -m scripts.docs pictures   docs/pictures/ (see scripts/pictures.py); `make demo` must have run before

`tests/docs` compares the tables with what this would write, so that a table can't fall behind the code.
"""

import ast
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import typer
import yaml

from inframe import cli
from inframe.console.routes import ROUTES
from inframe.core import budgets
from inframe.core.clock import NS_PER_MS
from inframe.core.config import Device
from inframe.core.events import EVENTS
from inframe.core.types import Priority
from inframe.machine.partition import CoreLayout
from inframe.monitor.acute import ACUTE
from inframe.monitor.export import FIELDS
from inframe.monitor.signals import SIGNALS
from inframe.pipeline.alerts import FLASHES, RAISED_AFTER
from inframe.pipeline.mode import HARMLESS, REASONS
from inframe.pipeline.palette import ALERT
from inframe.table import PROCESSES, Role, partition_of
from inframe.update.states import AT_REST, ON_ITS_WAY, SLOT_MOVES, State

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- /generated -->)", re.DOTALL)
Schema = Mapping[str, Any]


def table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table."""
    lines = [list(columns)]
    lines += [["---"] * len(lines[0]), *([str(cell).replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def code(text: object) -> str:
    """Text as code, nothing as a dash."""
    return f"`{text}`" if text not in ("", None) else "-"


# --- the device file -------------------------------------------------------------------------------------------------

PATTERNS = {
    r"^[a-z][a-z0-9_]{0,31}$": "name",
    r"^#[0-9a-fA-F]{6}$": '`"#rrggbb"`',
    r"^rtsp://[^\s]+$": "`rtsp://…`",
    r"^[^:]+(\.py)?:[A-Za-z_]\w*$": "`file.py:name` or `package.module:name`",
    r"^0x01[0-9a-fA-F]{6}$": '`"0x01…"`, eight hexadecimal digits',
    r"^(https?|file)://[^\s?#]+$": "`https://…`, `http://…` or `file:///…`",
    r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$": "`HH:MM-HH:MM`",
    r"^[A-Za-z0-9.:_-]{1,253}$": "a host's name or number",
}
WORDS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true` or `false`"}


def device_file() -> str:
    """The reference of the device file: one section for each part, in the order in which the parts are met."""
    schema = Device.model_json_schema()
    return "\n".join(_section(title, part) for title, part in _parts("", schema, schema["$defs"]))


def _parts(path: str, part: Schema, defs: Mapping[str, Schema]) -> Iterator[tuple[str, Schema]]:
    yield path, part
    for key, field in part["properties"].items():
        for where, name in _named(f"{path}.{key}".lstrip("."), field):
            fixed = next((f"`{k}: {v['const']}`" for k, v in defs[name]["properties"].items() if "const" in v), "")
            yield from _parts(f"{where}, {fixed}" if fixed else where, defs[name], defs)


def _named(path: str, field: Schema) -> Iterator[tuple[str, str]]:
    """Where the parts that a field refers to are, and their names in the schema."""
    base = path.partition(",")[0] + ("." + path.rpartition(".")[2] if "," in path else "")
    if "$ref" in field:
        yield base, field["$ref"].rpartition("/")[2]
    for one in (*field.get("anyOf", ()), *field.get("oneOf", ())):
        yield from _named(base, one)
    if isinstance(field.get("items"), dict):
        yield from _named(f"{base}[]", field["items"])
    inner = field.get("additionalProperties") or next(iter(field.get("patternProperties", {}).values()), None)
    if isinstance(inner, dict):
        yield from _named(f"{base}.NAME", inner)


def _section(title: str, part: Schema) -> str:
    required = set(part.get("required", ()))
    rows = [
        (code(key), kind(field), _default(key, field, required), field.get("description", ""))
        for key, field in part["properties"].items()
    ]
    head = f"### {title or 'The whole file'}\n\n{' '.join(part.get('description', '').split())}\n\n"
    return head + table(("key", "value", "default", "meaning"), rows)


def _default(key: str, field: Schema, required: set[str]) -> str:
    if key in required:
        return "required"
    value = field.get("default")
    if isinstance(value, dict):
        said = [f"{name}: {one}" for name, one in value.items() if one is not None]
        return code(", ".join(said)) if len(said) < 3 else "its defaults"
    if isinstance(value, list) and any(isinstance(one, dict) for one in value):
        return "; ".join(code(", ".join(f"{name}: {one}" for name, one in part.items())) for part in value)
    return code(value if isinstance(value, str) else json.dumps(value))


def kind(field: Schema) -> str:
    """What may be written there."""
    if "const" in field or "enum" in field:
        return ", ".join(map(code, field.get("enum") or [field["const"]]))
    if "anyOf" in field:
        return " or ".join(kind(one) for one in field["anyOf"])
    if "$ref" in field or "oneOf" in field:
        return "a part: see below"
    match field["type"]:
        case "null":
            said = "`null`"
        case "array":
            said = _list(field)
        case "object":
            inner = field.get("additionalProperties")
            said = f"name: {kind(inner)}" if isinstance(inner, dict) else "parts by name: see below"
        case plain:
            said = " ".join((PATTERNS.get(field.get("pattern", ""), WORDS[plain]), *_bounds(field)))
    return said


def _list(field: Schema) -> str:
    if "prefixItems" in field:
        return f"[{', '.join(kind(one) for one in field['prefixItems'])}]"
    least, most = field.get("minItems", 0), field.get("maxItems")
    count = f" of {least} to {most}" if most else f" of {least} or more" if least else ""
    return f"list{count}: {kind(field['items'])}"


def _bounds(field: Schema) -> Iterator[str]:
    low, high = field.get("minimum", field.get("exclusiveMinimum")), field.get("maximum")
    if low is not None:
        word = "above " if "exclusiveMinimum" in field else "" if high is not None else "from "
        yield f"{word}{low:g}" + (f" to {high:g}" if high is not None else "")
    if "maxLength" in field:
        yield f"({field.get('minLength', 0)} to {field['maxLength']} characters)"


# --- the other tables ------------------------------------------------------------------------------------------------


def commands() -> str:
    """The commands of `inframe` with their options."""
    rows = []
    for name, command in known_commands().items():
        words = [p.opts[0] if p.param_type_name == "option" else p.metavar or p.name.upper() for p in command.params]
        rows.append((code(f"inframe {name}"), ", ".join(map(code, words)), command.help.splitlines()[0]))
    return table(("command", "takes", "does"), rows)


def known_commands() -> dict[str, Any]:
    """Every command by its whole name, those of groups included (typer's own copy of click is not typed)."""

    def walk(prefix: str, command: Any) -> Iterator[tuple[str, Any]]:
        if not hasattr(command, "commands"):
            yield prefix, command
            return
        for name, inner in command.commands.items():
            yield from walk(f"{prefix} {name}".lstrip(), inner)

    return dict(walk("", typer.main.get_command(cli.app)))


def events() -> str:
    """EVENTS, and after how many sights each is raised."""
    rows = [
        (code(e.name), e.condition, e.effect, e.priority.name.lower(), e.text or "-", e.risk_control)
        for e in EVENTS.values()
    ]
    return table(("event", "raised when", "the device then", "priority", "the operator reads", "risk control"), rows)


def sights() -> str:
    """RAISED_AFTER."""
    return table(("event", "frames within the window"), ((code(name), n) for name, n in RAISED_AFTER.items()))


def moves() -> str:
    """SLOT_MOVES."""
    rows = []
    for move in SLOT_MOVES.values():
        before = "at rest" if move.before == AT_REST else "on its way" if move.before == ON_ITS_WAY else None
        named = before or ("any" if set(move.before) == set(State) else ", ".join(sorted(move.before)))
        slots = "; ".join(f"{slot} := {source or 'nothing'}" for slot, source in move.slots.items())
        rows.append((code(move.name), named, move.after, slots or "-", move.needs))
    return table(("move", "from", "to", "slots", "needs"), rows)


def flashes() -> str:
    """FLASHES with their colours."""
    rows = []
    for priority in (Priority.HIGH, Priority.MEDIUM, Priority.LOW):
        flash, (paper, _) = FLASHES[priority], ALERT[priority]
        rate = f"{flash.millihertz / 1000:g} Hz, lit {flash.lit_percent} %" if flash.millihertz else "constant"
        rows.append((priority.name.lower(), rate, code("#{:02x}{:02x}{:02x}".format(*paper))))
    return table(("priority", "flashes", "colour"), rows)


def reasons() -> str:
    """REASONS, and the events that are none."""
    rows = ((reason.text, reason.mode.name) for reason in REASONS)
    return table(("while this holds", "the mode is at least"), rows) + (
        f"\nEvents that change no mode: {', '.join(map(code, sorted(HARMLESS)))}.\n"
    )


SAMPLE = {
    "device": "sample",
    "streams": {"s": {"camera": "synthetic", "width": 640, "height": 360, "fps": 30}},
    "display": "s",
}


def processes() -> str:
    """PROCESSES, and what partition_of asks for each on a machine of four cores."""
    device = Device.model_validate(SAMPLE)
    layout = CoreLayout(frozenset({2, 3}), frozenset({0, 1}), shared=False)
    places = {frozenset({3}): "picture's", frozenset({2}): "models'", frozenset({0, 1}): "background"}
    rows = []
    for name, role in PROCESSES.items():
        asks = partition_of(device, name, "s", layout)
        scheduling = f"FIFO {role.priority}" if role.scheduling == "fifo" else "ordinary"
        memory = ", ".join([*(["locked"] if asks.lock_memory else []), *_limit(asks.memory_limit_mb)]) or "-"
        rows.append((code(name), scheduling, places[asks.cores], memory, asks.network, *_fate(role)))
    columns = ("process", "scheduling", "cores", "memory", "network", "killed after", "restarts", "away", "given up")
    return table(columns, rows)


def _limit(limit_mb: int | None) -> list[str]:
    return [] if limit_mb is None else ["`worker_memory_mb`"]


def _fate(role: Role) -> tuple[str, ...]:
    end = "the device stops" if role.critical else code(role.given_up)
    bound = f"{role.restarts.limit} in {role.restarts.within_s:g} s"
    return f"{role.hang_ms} ms", bound, code(role.lost), end


def limits() -> str:
    """BUDGETS, with the sentence that stands under each."""
    body = ast.parse(inspect.getsource(budgets)).body
    rows = []
    for value, text in pairwise(body):
        if isinstance(value, ast.Assign) and isinstance(text, ast.Expr) and isinstance(value.targets[0], ast.Name):
            name = value.targets[0].id
            sentence = " ".join(str(ast.literal_eval(text.value)).split())
            rows.append((code(name), f"{getattr(budgets, name) / NS_PER_MS:g} ms", sentence))
    return table(("limit", "value", "for"), rows)


def signals() -> str:
    """SIGNALS."""
    rows = ((code(name), one.about, f"{one.low:g} to {one.high:g}", one.kind.value) for name, one in SIGNALS.items())
    return table(("signal", "what", "scale", "kind"), rows)


def fields() -> str:
    """FIELDS of an export."""
    return table(("field", "what"), ((code(name), about) for name, about in FIELDS.items()))


def acute() -> str:
    """ACUTE."""
    return table(("told", "when"), ((code(row.name), row.text) for row in ACUTE))


def routes() -> str:
    """ROUTES: what can be asked of the console."""
    rows = []
    for route in ROUTES:
        who = "everybody" if route.role is None else route.role.name.lower()
        who += ", by name" if route.named else ", or from this machine" if route.is_open_here else ""
        takes = ", ".join(name for kind in (route.body, route.query) if kind is not None for name in kind.model_fields)
        does = (route.answer.__doc__ or "").splitlines()[0] + (" In the demo only." if route.demo_only else "")
        rows.append((code(f"{route.method} {route.path}"), who, takes or "-", does))
    return table(("request", "who, at least", "takes", "gives or does"), rows)


def threats() -> str:
    """docs/threats.yaml: its lists, and a row for each threat."""
    model = yaml.safe_load((ROOT / "docs" / "threats.yaml").read_text("utf-8"))
    lists = "".join(
        table((name, "what it is"), model[key].items()) + "\n"
        for name, key in (("asset", "assets"), ("entry point", "entry_points"))
    )
    columns = ("", "threat", "by", "against", "OWASP", "ATLAS", "control", "test")
    rows = [
        (
            *(t[key] for key in ("id", "threat", "entry_point")),
            *(", ".join(t[key]) for key in ("assets", "owasp", "atlas")),
            t["control"],
            "<br>".join(code(test) for test in t["tests"]),
        )
        for t in model["threats"]
    ]
    return lists + table(columns, rows)


BLOCKS: dict[str, Callable[[], str]] = {
    "commands": commands,
    "device_file": device_file,
    "events": events,
    "sights": sights,
    "flashes": flashes,
    "moves": moves,
    "reasons": reasons,
    "processes": processes,
    "limits": limits,
    "signals": signals,
    "fields": fields,
    "acute": acute,
    "routes": routes,
    "threats": threats,
}


def pages() -> list[Path]:
    """All pages of the documentation."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def filled(text: str) -> str:
    """A page with its generated parts as they should be. Raises KeyError for a part that nobody makes."""
    return BLOCK.sub(lambda block: f"{block[1]}\n{BLOCKS[block[2]]()}\n{block[3]}", text)


def main(arguments: list[str]) -> int:
    """Write the tables, or the pictures."""
    if arguments == ["pictures"]:
        from scripts import pictures

        return pictures.main()
    if arguments:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    for page in pages():
        before = page.read_text("utf-8")
        after = filled(before)
        if after != before:
            page.write_text(after, "utf-8")
            sys.stdout.write(f"{page.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
