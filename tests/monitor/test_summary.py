"""Histograms that merge exactly, in any order and any grouping."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframe.core.errors import ConfigError
from inframe.monitor.export import encoded, merged
from inframe.monitor.summary import BINS, Block, Scales, Summary, Tally, quantile, together

NAMES = ("luma", "m.area.a b", "finding:near")
SCALES = Scales(NAMES)
values = st.lists(
    st.tuples(*(st.one_of(st.just(np.nan), st.floats(-50, 400, width=32)) for _ in NAMES)), min_size=0, max_size=30
)


def tally_of(rows: list[tuple[float, ...]]) -> Tally:
    tally = Tally(SCALES)
    for row in rows:
        tally.add(np.array(row))
    return tally


@settings(max_examples=60, deadline=None)
@given(values, st.randoms(use_true_random=False))
def test_any_order_and_any_grouping_give_the_same(rows: list[tuple[float, ...]], random: Any) -> None:
    whole = tally_of(rows).as_json()
    shuffled = rows[:]
    random.shuffle(shuffled)
    cuts = sorted(random.randrange(len(rows) + 1) for _ in range(3))
    parts = [tally_of(shuffled[a:b]).as_json() for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
    random.shuffle(parts)
    assert json.dumps(together(parts), sort_keys=True) == json.dumps(together([whole]), sort_keys=True)
    nested = together([together(parts[:2]), together(parts[2:])])
    assert json.dumps(nested, sort_keys=True) == json.dumps(together([whole]), sort_keys=True)
    assert Tally.of_json(SCALES, whole).as_json() == whole


def export(origin: str, device: str, rows: list[tuple[float, ...]]) -> dict[str, Any]:
    one: dict[str, Any] = {
        "device": device,
        "site": "s",
        "modality": "",
        "models": [["m", "00"]],
        "origins": {origin: len(rows)},
    }
    one |= {
        "procedures": len(rows),
        "cut": 0,
        "means": tally_of(rows).as_json(),
        "blocks": {"": tally_of(rows).as_json()},
    }
    return {"format": 1, "strata": [one]}


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["one", "two"]), values), min_size=1, max_size=6),
    st.randoms(use_true_random=False),
)
def test_exports_merge_to_the_same_bytes(devices: list[tuple[str, list[tuple[float, ...]]]], random: Any) -> None:
    exports = [export(f"{i}", device, rows) for i, (device, rows) in enumerate(devices)]
    whole = encoded(merged(exports))
    random.shuffle(exports)
    at = random.randrange(len(exports) + 1)
    groups = [merged(part) for part in (exports[:at], exports[at:]) if part]
    assert encoded(merged(groups)) == whole


def test_a_memory_that_comes_twice_is_refused() -> None:
    one = export("a", "d", [(1.0, 0.5, 0.0)])
    with pytest.raises(ConfigError, match=r"strata.origins: found a twice, expected each device's export once"):
        merged([one, merged([one, export("b", "d", [])])])


def test_means_are_those_of_numpy_to_a_step() -> None:
    rows = np.random.default_rng(1).uniform([0, 0, 0], [255, 1, 1], (500, 3))
    tally = tally_of([tuple(row) for row in rows])
    assert tally.means() == pytest.approx(rows.mean(axis=0), abs=255 / (1 << 16))
    assert int(tally.bins.sum()) == rows.size
    assert tally.bins[0, 0] == np.count_nonzero(rows[:, 0] < 255 / BINS)
    median = quantile(tally.bins[0].tolist(), 0, 255, 0.5)
    assert median == pytest.approx(float(np.median(rows[:, 0])), abs=255 / BINS)


def test_what_is_beyond_a_scale_counts_at_its_ends() -> None:
    tally = tally_of([(-5.0, 2.0, np.nan), (999.0, np.nan, np.nan)])
    assert (tally.bins[0, 0], tally.bins[0, -1], tally.bins[1, -1]) == (1, 1, 1)
    assert np.isnan(tally.means()[2])


def test_a_block_counts_once_and_a_summary_by_phase() -> None:
    block = Block(NAMES)
    for luma in (10.0, 30.0):
        block.add({"luma": luma, "unknown": 1.0, "finding:near": float("nan")})
    means = block.close()
    assert means[0] == 20.0
    assert np.isnan(means[2])
    assert np.isnan(block.close()).all()
    summary = Summary(SCALES)
    summary.add(means, "dissection")
    summary.add(means, "clipping")
    assert summary.whole().count.tolist() == [2, 0, 0]
    again = Summary.of_json(SCALES, json.loads(json.dumps(summary.as_json())))
    assert again.as_json() == summary.as_json()
    for i in range(100):
        summary.add(means, f"phase {i}")
    assert len(summary.phases) == Summary.MAX_PHASES
    assert summary.whole().count[0] == 102
