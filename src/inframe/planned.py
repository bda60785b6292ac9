"""The checkpoint `plan`: is what a release changes within a change control plan of this device, and was it shown?

Evidence of a bundle is two files in a folder, named by the SHA-256 of the bundle: DIGEST.result.json and DIGEST.lock.json, what
`inframe revalidate` wrote and what it was locked by. Nothing of a model is parsed.
"""

from collections.abc import Mapping
from pathlib import Path

from inframe.bundle import UNSIGNED, Policy, open_bundle
from inframe.pccp import Evidence, Plan, read_evidence, read_plan, refusal

RESULT, LOCK = ".result.json", ".lock.json"


def plans_of(files: list[Path]) -> dict[str, Plan]:
    """By the bundle that they are of. Raises ConfigError."""
    return {plan.bundle: plan for plan in map(read_plan, files)}


def why_not(
    plans: Mapping[str, Plan],
    old: Mapping[str, Path],
    new: Mapping[str, Path],
    evidence: Path | None,
    policy: Policy | None,
) -> str | None:
    """Why the release must not go on, one line; None: every change of it holds. `old`, `new`: the bundles by name. Raises
    BundleError and ConfigError for files that can't be read or are not signed as the policy asks."""
    trusted = policy if policy is not None else UNSIGNED
    for name, file in new.items():
        if name not in old:
            return f"{name}: found no bundle before it, expected one that a plan's change begins from"
        with open_bundle(old[name], trusted) as before, open_bundle(file, trusted) as now:
            if before.digest == now.digest:
                continue
            if name not in plans:
                return f"{name}: found no plan of it, expected one in update.plans: {', '.join(plans)}"
            why = refusal(plans[name], before, now, _evidence(evidence, now.digest, trusted), trusted)
        if why is not None:
            return why
    return None


def _evidence(folder: Path | None, digest: str, policy: Policy) -> Evidence | None:
    if folder is None:
        return None
    result, lock = folder / f"{digest}{RESULT}", folder / f"{digest}{LOCK}"
    return read_evidence(result, lock, policy) if result.exists() and lock.exists() else None


def said(names: list[str], plans: Mapping[str, Plan]) -> str:
    """What holds."""
    return "; ".join(f"{name}: within {plans[name].plan}" for name in names if name in plans) or "nothing changes"
