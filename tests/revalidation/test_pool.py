"""The same figures for any number of workers, in any order, after any number of kills; what is wrong is said."""

import random
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframe.core.errors import ConfigError
from inframe.revalidating import Subject, figures_digest
from inframe.revalidation.cases import CaseSet
from inframe.revalidation.keeping import Kept, key_of
from inframe.revalidation.pool import measure_here, measure_on_ray
from inframe.revalidation.tally import Tallies, Tally, in_order, merge
from tests.revalidation import kill, made


@pytest.mark.parametrize("workers", [1, 3])
def test_any_number_of_workers(good: Subject, discs: CaseSet, tallies: Tallies, workers: int) -> None:
    jobs = made.jobs(good.path, good.digest, discs)
    random.Random(workers).shuffle(jobs)
    found = {tally.digest: tally for _, tally in measure_here(jobs, workers)}
    assert figures_digest(found) == figures_digest(tallies)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_merge_in_any_order_and_grouping(tallies: Tallies, data: st.DataObject) -> None:
    parts: list[Tallies] = [{one.digest: one} for one in data.draw(st.permutations(in_order(tallies)))]
    parts += data.draw(st.lists(st.sampled_from(parts), max_size=3))  # what came twice counts once
    while len(parts) > 1:
        at = data.draw(st.integers(0, len(parts) - 2))
        parts[at : at + 2] = [merge(parts[at], parts[at + 1])]
    assert figures_digest(parts[0]) == figures_digest(tallies)


def test_two_of_one_case_that_differ_are_refused(tallies: Tallies) -> None:
    one = in_order(tallies)[0]
    other = one.model_copy(update={"frames": one.frames + 1})
    with pytest.raises(ConfigError, match="two of one case that differ"):
        merge({one.digest: one}, {one.digest: other})
    merge({one.digest: one}, {one.digest: one.model_copy(update={"latency": {"anatomy": {1: 1}}})})


def test_what_was_measured_is_kept_and_what_is_damaged_is_not(
    tmp_path: Path, good: Subject, discs: CaseSet, tallies: Tallies
) -> None:
    job, kept = made.jobs(good.path, good.digest, discs)[0], Kept(tmp_path / "work")
    tally: Tally = in_order(tallies)[0]
    assert kept.get(job) is None
    kept.keep(job, tally)
    assert kept.get(job) == tally
    path = tmp_path / "work" / f"{key_of(job)}.tally"
    whole = path.read_bytes()
    for broken in (whole[:-1], whole.replace(b'"frames":40', b'"frames":41'), b"", whole[70:]):
        path.write_bytes(broken)
        assert kept.get(job) is None
    for change in ({"sha256": "1" * 64}, {"digests": {**job.digests, "case.json": "2" * 64}}):
        assert key_of(job.model_copy(update=change)) != key_of(job)
    assert key_of(job.model_copy(update={"folder": "elsewhere"})) == key_of(job)


def test_a_worker_says_what_is_wrong(good: Subject, discs: CaseSet) -> None:
    jobs = made.jobs(good.path, "3" * 64, discs)[:2]
    with pytest.raises(ConfigError, match="sha256"):
        list(measure_here(jobs, 1))


def test_killed_and_gone_on(tmp_path: Path) -> None:
    """Short form of `python -m tests.revalidation.kill --points 20`."""
    found = kill.campaign(tmp_path, points=1, cases=3, seed=3)
    assert found.kills == 1
    assert found.digests == {found.whole}


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed (the extra `ray`)")
def test_on_ray(good: Subject, discs: CaseSet, tallies: Tallies) -> None:
    """A local cluster of one machine."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    try:
        jobs = made.jobs(good.path, good.digest, discs)
        found = {tally.digest: tally for _, tally in measure_on_ray(jobs, cluster.address)}
        assert figures_digest(found) == figures_digest(tallies)
        wrong = [job.model_copy(update={"sha256": "3" * 64}) for job in jobs[:1]]
        with pytest.raises(ConfigError, match="sha256"):
            list(measure_on_ray(wrong, cluster.address))
    finally:
        cluster.shutdown()
