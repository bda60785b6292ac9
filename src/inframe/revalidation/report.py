"""A revalidation for people: one HTML file that needs nothing else, and says so to the browser (no script, no outside byte)."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from statistics import median
from typing import Any

from inframe.core.clock import NS_PER_S
from inframe.pipeline.palette import AUTOMATIC
from inframe.revalidation import svg
from inframe.revalidation.criteria import METRICS, calibration
from inframe.revalidation.judging import Judged, Verdict
from inframe.revalidation.protocol import Protocol
from inframe.revalidation.scoring import BACKGROUND
from inframe.revalidation.tally import ONE, Boxed, Mean, Tallies, Tally, added, in_order

SHOWN = 12
"""Worst frames."""
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1b2430;background:#fff;max-width:1080px;margin:2rem auto;padding:0 1.5rem}
h1{font-size:1.7rem;margin:0 0 .2rem}h2{font-size:1.2rem;margin:2.4rem 0 .6rem;border-bottom:1px solid #d5dbe3;padding-bottom:.2rem}
.verdict{display:inline-block;font-size:1.3rem;font-weight:700;color:#fff;padding:.35rem 1rem;border-radius:.3rem;margin:.8rem 0}
.good{background:#17803d}.bad{background:#b3261e}.note{color:#5b6675}table{border-collapse:collapse;width:100%;margin:.5rem 0}
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #e3e7ec;vertical-align:middle}th{color:#5b6675;font-weight:600}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
code{font:13px ui-monospace,monospace;overflow-wrap:anywhere}
svg text{font:12px system-ui,sans-serif}.worst{display:grid;grid-template-columns:1fr 1fr;gap:1rem}figure{margin:0}
figure img{width:100%;max-width:820px;border:1px solid #d5dbe3}figcaption{color:#5b6675}.key span{margin-right:1rem}
.key i{display:inline-block;width:.8rem;height:.8rem;margin-right:.3rem;border:1px solid #5b6675;vertical-align:-1px}
.shown{color:#17803d;font-weight:600}.not{color:#b3261e;font-weight:600}.side{display:flex;flex-wrap:wrap;gap:2rem}
@media print{body{margin:0;max-width:none}h2{break-after:avoid}figure,table,svg{break-inside:avoid}}
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
Row = Sequence[str]


def html(
    report: dict[str, Any], protocol: Protocol, tallies: Tallies, verdict: Verdict, labels: Mapping[str, Sequence[str]]
) -> str:
    """Of one bundle, whose models have these labels."""
    cases = in_order(tallies)
    title = f"Revalidation of {report['bundle']['name']}"
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><style>{_STYLE}</style></head><body>',
        _head(report, title, verdict),
        _section("What had to be shown, and was found", _endpoints(verdict)),
        _section("Subgroups", _groups(verdict)) if protocol.subgroups else "",
        _section("Labels", _labels(cases)),
        _section("Boxes", _boxes(cases)),
        _section("Findings", _findings(cases)),
        _section("Calibration and latency", _models(cases)),
        _section("The worst frames", _worst(cases, labels)),
        _section("What was fixed, and where it ran", _fixed(report, protocol)),
        "</body></html>\n",
    ]
    return "\n".join(part for part in parts if part)


def _section(title: str, inside: str) -> str:
    return f"<h2>{escape(title)}</h2>\n{inside}" if inside else ""


def _table(head: Row, rows: Iterable[Row], numbers: Iterable[int] = ()) -> str:
    """Cells are HTML already; `numbers`: the columns that are right-aligned."""
    right = set(numbers)

    def line(tag: str, cells: Row) -> str:
        marked = (f'<{tag} class="n">' if k in right else f"<{tag}>" for k in range(len(cells)))
        return "<tr>" + "".join(f"{a}{cell}</{tag}>" for a, cell in zip(marked, cells, strict=True)) + "</tr>"

    return "<table>\n" + "\n".join([line("th", head), *(line("td", row) for row in rows)]) + "\n</table>"


def _head(report: dict[str, Any], title: str, verdict: Verdict) -> str:
    said, colour = ("PASSED", "good") if verdict.passed else ("NOT PASSED", "bad")
    failed = [one.endpoint.name for one in verdict.judged if not one.passed]
    why = f"Not shown: {', '.join(failed)}." if failed else "Every endpoint was shown."
    development = (
        "" if report["lock"] else "<p><b>Development cases: nothing was locked, so this proves nothing.</b></p>"
    )
    cases = report["cases"]
    about = f"{cases['count']} procedures, {report['frames']:,} frames of “{cases['name']}”"
    against = f", compared with {report['against']['name']}" if report["against"] else ""
    return (
        f'<h1>{escape(title)}</h1><div class="note">{escape(about + against)}</div>'
        f'<div class="verdict {colour}">{said}</div><div>{escape(why)}</div>{development}'
    )


def _endpoints(verdict: Verdict) -> str:
    rows: list[Row] = []
    for one in verdict.judged:
        for h in one.hypotheses:
            edge = h.estimate.low if h.side == "low" else h.estimate.high
            plot = svg.bound(h.estimate.value, h.estimate.low, h.estimate.high, h.bound, h.side, shown=h.shown)
            must = f"{'&gt;' if h.side == 'low' else '&lt;'} {h.bound:g}"
            kind = escape(h.kind if h.kind == "criterion" else "not worse than the bundle in use")
            numbers = [f"{h.estimate.value:.4g}", f"{edge:.4g}", must, _chance(h.p)]
            rows.append([escape(one.endpoint.name), kind, *numbers, plot, _mark(h.shown)])
        if one.endpoint.worst is not None:
            rows.append(_worst_row(one))
    text = (
        '<p class="note">The dot is what was found, the bar reaches to its one-sided bound, the dashed line is what that '
        "must not cross. p is one-sided; “shown” is by Holm over all lines, so each may be read alone. Whole procedures were drawn "
        "again, as frames of one procedure are alike.</p>"
    )
    head = ["endpoint", "what", "found", "bound", "must be", "p", "", ""]
    units = ", ".join(f"{name}: {row.about} ({row.unit})" for name, row in METRICS.items() if _asked(verdict, name))
    return _table(head, rows, (2, 3, 4, 5)) + text + f'<p class="note">{escape(units)}</p>'


def _chance(p: float) -> str:
    return f"{p:.4f}" if p >= 0.0001 else "&lt; 0.0001"


def _asked(verdict: Verdict, metric: str) -> bool:
    return any(one.endpoint.metric == metric for one in verdict.judged)


def _worst_row(one: Judged) -> Row:
    found = one.worst
    name = "no subgroup has cases enough" if found is None else f"{found.attribute}: {found.value}"
    value = "-" if found is None else f"{found.estimate.value:.4g}"
    must = f"{'≥' if one.endpoint.at_least is not None else '≤'} {one.endpoint.worst:g}"
    return [
        escape(one.endpoint.name),
        escape(f"worst subgroup, {name}"),
        value,
        "",
        must,
        "",
        "",
        _mark(one.is_worst_good),
    ]


def _mark(shown: bool) -> str:
    return '<span class="shown">shown</span>' if shown else '<span class="not">NOT SHOWN</span>'


def _groups(verdict: Verdict) -> str:
    parts = []
    for one in verdict.judged:
        rows = [
            (
                f"{g.attribute}: {g.value or '(none)'}, {g.estimate.procedures}",
                g.estimate.value,
                _finite(g.estimate.low),
                _finite(g.estimate.high),
                g.is_judged,
            )
            for g in one.groups
        ]
        better = "higher" if one.endpoint.at_least is not None else "lower"
        parts.append(f"<div><b>{escape(one.endpoint.name)}</b><br>{svg.groups(rows, better)}</div>")
    note = (
        '<p class="note">With how many procedures each; grey: too few to be judged. Lines: both one-sided bounds.</p>'
    )
    return note + f'<div class="side">{"".join(parts)}</div>'


def _finite(value: float) -> float | None:
    return value if abs(value) < float("inf") else None


def _labels(cases: list[Tally]) -> str:
    keys = sorted({key.partition("/")[2] for case in cases for key in case.means if key.startswith("dice/")})
    rows, dots = [], []
    for key in keys:
        means = {
            m: _over([c.means[f"{m}/{key}"] for c in cases if f"{m}/{key}" in c.means]) for m in ("dice", "nsd", "hd95")
        }
        empty = [case.empty[key] for case in cases if key in case.empty]
        counts = [sum(e.both for e in empty), sum(e.true for e in empty), sum(e.found for e in empty)]
        rows.append([escape(key), *(f"{v:.3f}" if v is not None else "-" for v in means.values()), *map(str, counts)])
        values = [case.means[f"dice/{key}"].value for case in cases if f"dice/{key}" in case.means]
        dots.append((key.rpartition("/")[2], [v for v in values if v is not None]))
    if not rows:
        return ""
    head = ["model/label", "Dice", "NSD", "HD95, px", "frames without it: both", "truth only", "answer only"]
    note = (
        '<p class="note">Means over procedures. In frames where the label is in neither mask nothing is measured; in one only: '
        "Dice and NSD 0, HD95 the diagonal (Metrics Reloaded). Below: Dice of each procedure.</p>"
    )
    return _table(head, rows, range(1, 7)) + note + svg.strip(dots)


def _over(means: list[Mean]) -> float | None:
    """Each procedure counts once."""
    values = [one.total / (one.count * ONE) for one in means if one.count]
    return sum(values) / len(values) if values else None


def _boxes(cases: list[Tally]) -> str:
    rows = []
    for key in sorted({key for case in cases for key in case.boxes}):
        one = Boxed()
        for case in cases:
            one = one.plus(case.boxes.get(key, Boxed()))
        shares = [f"{a / b:.3f}" if b else "-" for a, b in ((one.found, one.true), (one.found, one.said))]
        apiece = f"{(one.said - one.found) / one.frames:.3f}" if one.frames else "-"
        rows.append([escape(key), *map(str, (one.frames, one.true, one.found, one.said)), *shares, apiece])
    head = ["model/label", "frames", "true", "found", "said", "sensitivity", "precision", "false a frame"]
    note = '<p class="note">Of all cases together; an endpoint is judged by case.</p>'
    return _table(head, rows, range(1, 8)) + note if rows else ""


def _findings(cases: list[Tally]) -> str:
    rows = []
    for rule in sorted({rule for case in cases for rule in case.findings}):
        some = [case.findings[rule] for case in cases if rule in case.findings]
        true, found, false = (sum(getattr(one, what) for one in some) for what in ("true", "found", "false"))
        minutes = sum(one.judged_ns for one in some) / (60 * NS_PER_S)
        after = [ns / NS_PER_S for one in some for ns in one.after_ns]
        wait = f"{median(after):.2f} s" if after else "-"
        rows.append([escape(rule), str(true), str(found), str(true - found), str(false), f"{minutes:.1f}", wait])
    head = ["rule", "true", "found", "missed", "false", "minutes", "median delay"]
    return _table(head, rows, range(1, 7)) if rows else ""


def _models(cases: list[Tally]) -> str:
    parts = []
    for model in sorted({name for case in cases for name in case.latency}):
        counted = calibration(model, cases).sum(axis=0).tolist()
        sure = svg.reliability(counted) if any(row[0] for row in counted) else '<p class="note">not estimable</p>'
        runs = svg.latency(added(case.latency.get(model, {}) for case in cases))
        parts.append(f'<div class="side"><div><b>{escape(model)}: calibration</b><br>{sure}</div>')
        parts.append(f"<div><b>{escape(model)}: a run, preprocessing to decoding</b><br>{runs}</div></div>")
    return "\n".join(parts)


def _worst(cases: list[Tally], labels: Mapping[str, Sequence[str]]) -> str:
    frames = sorted((one.score, case.case, one.frame, one.model, one.jpeg) for case in cases for one in case.worst)[
        :SHOWN
    ]
    if not frames:
        return ""
    keys = "".join(_key_of_colours(labels[model]) for model in sorted({one[3] for one in frames}) if model in labels)
    figures = [
        f'<figure><img alt="left: truth, right: answer" src="data:image/jpeg;base64,{jpeg}"><figcaption>'
        f"{escape(case)}, frame {frame}, {escape(model)}: mean Dice {score / ONE:.3f}</figcaption></figure>"
        for score, case, frame, model, jpeg in frames
    ]
    return (
        '<p class="note">Left the truth, right what the model said.</p>'
        + keys
        + f'<div class="worst">{"".join(figures)}</div>'
    )


def _key_of_colours(labels: Sequence[str]) -> str:
    """Which outline is which label."""
    shown = []
    for k, label in enumerate(labels):
        if label == BACKGROUND:
            continue
        red, green, blue = AUTOMATIC[k % len(AUTOMATIC)]
        shown.append(f'<span><i style="background:rgb({red},{green},{blue})"></i>{escape(label)}</span>')
    return f'<p class="key">{"".join(shown)}</p>'


def _fixed(report: dict[str, Any], protocol: Protocol) -> str:
    rows = [
        ("bundle", report["bundle"]["sha256"]),
        ("bundle in use", report["against"]["sha256"] if report["against"] else "not compared"),
        ("cases", report["cases"]["sha256"]),
        ("protocol", protocol.protocol),
        ("lock", report["lock"] or "none: development cases"),
        ("code", report["code"]),
        ("seed, draws", f"{protocol.seed}, {protocol.draws}"),
        ("level of this look, one-sided", f"{protocol.alpha_each:g} ({protocol.alpha:g} over {protocol.looks} looks)"),
        ("all figures", report["figures_sha256"]),
        ("measured on", "; ".join(report["machines"])),
        ("frames by verdict, missed results", ", ".join(f"{k} {v}" for k, v in report["counts"].items())),
    ]
    several = len(report["machines"]) > 1
    warning = "<p><b>Measured on machines that differ: figures may differ in the last bits from those of one.</b></p>"
    table = _table(["what", "is"], [[escape(what), f"<code>{escape(str(value))}</code>"] for what, value in rows])
    return table + (warning if several else "")
