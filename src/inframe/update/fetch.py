"""One visit to the repository: ask, keep what was learnt, choose, check the space, download, fill the slot."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from inframe.core.errors import UpdateError
from inframe.trail.files import Files
from inframe.update import trust as trusts
from inframe.update.client import Answer, Source, ask
from inframe.update.download import Wanted, check_space, download
from inframe.update.releases import Facts, ListedRelease, ReleaseList, choose, must_stop
from inframe.update.sealed import refused
from inframe.update.slots import Slots
from inframe.update.states import Excuse, Release
from inframe.update.transport import Transport
from inframe.update.trust import Trust


class Times(Protocol):
    """Seconds since 1970."""

    def wall_s(self) -> int:
        """The wall clock, which may be wrong."""
        ...

    def trail_s(self) -> int:
        """The trail's newest moment; 0 without one."""
        ...


@dataclass(frozen=True, slots=True)
class Visit:
    """What a visit came to."""

    taken: Release | None
    """What is in the slot `trial` now."""
    reasons: dict[str, str]
    """Why each newer release was not."""
    tries: int = 0
    """Connections that the downloads took."""


@dataclass(frozen=True, slots=True)
class Link:
    """How the repository is reached."""

    source: Source
    transport: Transport
    times: Times
    pause: Callable[[int], None]
    free: Callable[[], int]
    """Bytes free on the disk of the update's folder."""


def visit(files: Files, slots: Slots, link: Link, facts: Facts, excuse: Excuse | None = None) -> Visit:
    """Fetch the newest release for this device, if there is one; by `excuse`, an older one that it speaks for. A refusal
    goes into the trail and is raised as UpdateError; what is active stays as it is whatever happens here."""
    try:
        answer = _asked(files, slots, link)
        if answer.listed is None:
            raise answer.problem or RuntimeError("no list and no problem")
        return _taken(files, slots, link, _excused(facts, answer.listed, excuse), answer)
    except UpdateError as error:
        slots.note("UPDATE_REFUSED", str(error))
        raise


def _asked(files: Files, slots: Slots, link: Link) -> Answer:
    before, damage = _known(files, slots)
    answer = ask(link.source, before, link.transport, link.times.wall_s(), link.times.trail_s())
    if damage and (older := trusts.older(answer.trust, slots.status.seen)):
        seen = ", ".join(f"{role} {version}" for role, version in slots.status.seen.items())
        problem = f" ({answer.problem})" if answer.problem is not None else ""
        raise refused(
            "trust", "content", f"{damage}; and from the repository {older}", f"nothing before {seen}{problem}"
        )
    trusts.write(files, answer.trust)
    slots.saw(answer.trust.seen())
    if damage:
        slots.note("UPDATE_TRUST_LOST", damage)
    return answer


def _known(files: Files, slots: Slots) -> tuple[Trust, str]:
    """What was learnt before; where that is damaged it is learnt anew, as long as the status says what may not be undercut."""
    try:
        return trusts.read(files), ""
    except UpdateError as error:
        if not slots.status.seen:
            raise
        return trusts.learnt_anew(slots.status.seen), str(error)


def _excused(facts: Facts, listed: ReleaseList, excuse: Excuse | None) -> tuple[Facts, ReleaseList]:
    """What to choose from, and by which facts: an authorised downgrade asks for certain bundles, however old."""
    if excuse is None:
        return facts, listed
    named = [one for one in listed.releases if set(one.as_release().digests) <= set(excuse.digests)]
    return replace(facts, counters={}), listed.model_copy(update={"releases": named})


def _taken(files: Files, slots: Slots, link: Link, wish: tuple[Facts, ReleaseList], answer: Answer) -> Visit:
    facts, listed = wish
    on_its_way = slots.status.trial
    if on_its_way is not None:
        why = must_stop(answer.listed or listed, on_its_way)
        if not why:
            return Visit(on_its_way, {})
        slots.roll_back(why, again=True)
    chosen, reasons = choose(listed, facts)
    if chosen is None:
        return Visit(None, reasons)
    wanted = _wanted(listed, chosen, answer.targets)
    missing = [one for one in wanted if not _in_store(files, one)]
    check_space(missing, files, link.free())
    tries = sum(download(files, link.transport, one, link.pause) for one in missing)
    release = _whole(slots, chosen.as_release())
    slots.fetched(release)
    return Visit(release, reasons, tries)


def _wanted(listed: ReleaseList, chosen: ListedRelease, targets: dict[str, str]) -> list[Wanted]:
    return [
        Wanted(targets[one.path], one.sha256, one.size, listed.block, tuple(one.blocks))
        for one in chosen.bundles.values()
    ]


def _in_store(files: Files, wanted: Wanted) -> bool:
    return files.size(f"store/{wanted.digest}") == wanted.size


def _whole(slots: Slots, release: Release) -> Release:
    """The release with the active bundles that it does not replace: a slot holds all that runs."""
    active = slots.status.active
    if active is None:
        return release
    new = {one.name for one in release.bundles}
    kept = tuple(one for one in active.bundles if one.name not in new)
    return replace(release, bundles=tuple(sorted((*release.bundles, *kept), key=lambda one: one.name)))
