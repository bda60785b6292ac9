"""What may leave the device, and how exports are merged. FIELDS is all that is in one: no picture, nothing of a patient, no time,
no single procedure's value. Merging adds whole numbers: any order and any grouping give the same bytes.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inframe.core.errors import ConfigError
from inframe.monitor.summary import together

FIELDS: dict[str, str] = {
    "format": "1",
    "strata": "a list, one for each device, site, modality and set of models",
    "strata.device": "the device's name, as its file says",
    "strata.site": "the site, as the device file says",
    "strata.modality": "the modality, as the device file says",
    "strata.models": "each model's name and the SHA-256 of its bundle",
    "strata.origins": "a random number of each device's memory -> how many procedures it has counted",
    "strata.procedures": "how many procedures these are",
    "strata.cut": "of these, ended by a power cut or a crash",
    "strata.means": "signal -> [count, sum, sum of squares, bins]: one value for each procedure",
    "strata.blocks": "phase -> signal -> the same of half seconds",
}
FORMAT = 1
MAX_BYTES = 64 << 20
_KEYS = ("device", "site", "modality", "models")


def exported(contents: Sequence[Mapping[str, Any]], least: int) -> tuple[dict[str, Any], list[Mapping[str, Any]]]:
    """The export of states (as they are on the disk), and those that are held back: fewer procedures than `least`."""
    enough = [one for one in contents if one["procedures"] >= least]
    strata = [
        {
            **{key: one["stratum"][key] for key in _KEYS},
            "origins": {one["origin"]: one["procedures"]},
            "procedures": one["procedures"],
            "cut": one["cut"],
            "means": one["means"],
            "blocks": one["blocks"],
        }
        for one in enough
    ]
    return merged([{"format": FORMAT, "strata": strata}]), [one for one in contents if one["procedures"] < least]


def merged(exports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """All of them as one; what is of one stratum is added. Raises ConfigError where the same memory's procedures are in two of
    them: they would count twice."""
    strata: dict[str, list[Mapping[str, Any]]] = {}
    for export in exports:
        for one in export["strata"]:
            strata.setdefault(json.dumps([one[key] for key in _KEYS]), []).append(one)
    return {"format": FORMAT, "strata": [_added(ones) for _, ones in sorted(strata.items())]}


def _added(ones: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    origins: dict[str, int] = {}
    for one in ones:
        for origin, procedures in one["origins"].items():
            if origin in origins:
                raise ConfigError(
                    "inframe monitor merge", "strata.origins", f"{origin} twice", "each device's export once"
                )
            origins[origin] = procedures
    phases = sorted({phase for one in ones for phase in one["blocks"]})
    return {
        **{key: ones[0][key] for key in _KEYS},
        "origins": dict(sorted(origins.items())),
        "procedures": sum(one["procedures"] for one in ones),
        "cut": sum(one["cut"] for one in ones),
        "means": together([one["means"] for one in ones]),
        "blocks": {phase: together([one["blocks"].get(phase, {}) for one in ones]) for phase in phases},
    }


def encoded(export: Mapping[str, Any]) -> bytes:
    """The one encoding of an export."""
    return json.dumps(export, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def read_export(path: Path) -> dict[str, Any]:
    """An export's file, checked. Raises ConfigError."""
    try:
        raw = path.read_bytes() if path.stat().st_size <= MAX_BYTES else b""
        content = json.loads(raw)
    except OSError as error:
        raise ConfigError(path, "file", error.strerror or error, "a readable file") from None
    except (ValueError, RecursionError):
        raise ConfigError(path, "file", "no JSON, or too much", f"an export of at most {MAX_BYTES:,} bytes") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT or not isinstance(content.get("strata"), list):
        raise ConfigError(path, "format", "something else", f"an export of format {FORMAT}")
    for i, one in enumerate(content["strata"]):
        problem = _problem(one)
        if problem:
            raise ConfigError(path, f"strata.{i}.{problem}", "something else", "what `inframe monitor export` writes")
    return content


def _problem(one: Any) -> str:
    """The field that is not as it should be; empty where all are."""
    if not isinstance(one, dict) or set(one) != {name.partition(".")[2] for name in FIELDS if "." in name}:
        return "fields"
    wholes = {key: one[key] for key in ("procedures", "cut")} | (
        one["origins"] if isinstance(one["origins"], dict) else {}
    )
    for key, value in wholes.items():
        if type(value) is not int or value < 0:
            return key
    tables = {"means": one["means"], "blocks": one["blocks"]}
    if not all(isinstance(table, dict) for table in tables.values()) or not isinstance(one["origins"], dict):
        return "means"
    for name, table in [("means", one["means"]), *(("blocks", phase) for phase in one["blocks"].values())]:
        if not isinstance(table, dict) or not all(_is_tally(tally) for tally in table.values()):
            return name
    return ""


def _is_tally(tally: Any) -> bool:
    if not (isinstance(tally, list) and len(tally) == 4 and isinstance(tally[3], dict)):
        return False
    numbers = [*tally[:3], *tally[3].values()]
    return all(type(n) is int and n >= 0 for n in numbers) and all(b.isdecimal() and int(b) < 64 for b in tally[3])
