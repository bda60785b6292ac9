"""What an update's checkpoint asks: does this bundle, on this device, reach what it promises of itself on the cases that it names.

The figures themselves are compared, not their bounds: a revalidation has shown those before the bundle was released, and here the
question is whether this machine's processor and engine give the same.
"""

from pathlib import Path

from inframe.bundle import UNSIGNED, open_bundle
from inframe.revalidation.cases import open_set
from inframe.revalidation.criteria import unmet
from inframe.revalidation.measuring import Job, Settings, measure
from inframe.revalidation.tally import Tallies, merge


def accept(bundle: Path, digest: str, cases: Path) -> list[str]:
    """Why not, a line each; none: accepted. `bundle`: its file, whose signatures were verified; `digest`: SHA-256 of it, hex. Runs
    every case in this process. Raises ConfigError and BundleError for cases or a bundle that are not what they should be."""
    found = open_set(cases)
    with open_bundle(bundle, UNSIGNED) as opened:
        promised = opened.manifest.acceptance
    if promised is None:
        return ["acceptance: found nothing in the bundle, expected criteria"]
    if promised.data.sha256 != found.digest:
        return [f"acceptance.data: found cases {found.digest}, expected {promised.data.sha256} ({promised.data.name})"]
    settings = Settings(worst=0)
    tallies: Tallies = {}
    for case in found.cases:
        job = Job(
            bundle=str(bundle),
            sha256=digest,
            case=case.name,
            folder=str(case.folder),
            digests=case.digests,
            settings=settings,
        )
        tally = measure(job)
        tallies = merge(tallies, {tally.digest: tally})
    return unmet(promised.criteria, tallies, settings.rules)
