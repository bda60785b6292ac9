"""A bundle against the plan: which modification it claims, whether each change is within that one's bounds, whether the protocol
was followed as far as the bundle and signed evidence tell, and what is still missing."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from inframe.bundle import Bundle
from inframe.bundle.manifest import Criterion
from inframe.bundle.policy import Policy
from inframe.pccp.changes import changes
from inframe.pccp.evidence import Evidence
from inframe.pccp.items import Item, Status, demand
from inframe.pccp.plan import Modification, Plan
from inframe.revalidation.criteria import bound_of


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found."""

    claim: str | None
    items: tuple[Item, ...]

    @property
    def status(self) -> Status:
        """The worst of all lines: outside or failed, then missing, then holds."""
        found = {one.status for one in self.items}
        order = (Status.OUTSIDE, Status.FAILED, Status.MISSING)
        return next((one for one in order if one in found), Status.HOLDS)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        lines = [
            {"what": i.what, "status": i.status.value, "found": i.found, "expected": i.expected} for i in self.items
        ]
        return {"claim": self.claim, "status": self.status.value, "items": lines}


def check(plan: Plan, old: Bundle, new: Bundle, evidence: Evidence | None, policy: Policy) -> Checked:
    """`policy`: whose keys signed the bundles, by role; with none, a plan that asks for signatures is not met."""
    claim = new.manifest.pccp
    claimed = plan.modifications.get(claim) if claim is not None else None
    items = [
        demand(
            "bundle", (old.manifest.bundle, new.manifest.bundle) == (plan.bundle,) * 2, new.manifest.bundle, plan.bundle
        )
    ]
    if claimed is None:
        known = ", ".join(plan.modifications)
        said = "no modification claimed" if claim is None else f"the claim {claim}"
        return Checked(claim, (*items, Item("pccp", Status.OUTSIDE, said, f"one of {known}")))
    items += changes(claimed.changes, old, new)
    items += _data(claimed, old, new, evidence)
    items += _retraining(claimed, new)
    items += _evaluation(claimed, old, new, evidence)
    items += _update(claimed, new, policy)
    return Checked(claim, tuple(items))


def refusal(plan: Plan, old: Bundle, new: Bundle, evidence: Evidence | None, policy: Policy) -> str | None:
    """Why an update must not go on, in one line; None: the modification that the bundle claims holds. A bundle that claims none
    is refused too: where there is a plan, every change is one of it."""
    checked = check(plan, old, new, evidence, policy)
    if checked.status is Status.HOLDS:
        return None
    first = next(one for one in checked.items if one.status is checked.status)
    others = sum(one.status is not Status.HOLDS for one in checked.items) - 1
    return f"{plan.plan}, {checked.claim or 'no modification'}: {first}" + (f" (and {others} more)" if others else "")


def _data(claimed: Modification, old: Bundle, new: Bundle, evidence: Evidence | None) -> Iterator[Item]:
    wanted, sets = claimed.data, {one.sha256: one.name for one in new.manifest.training.data}
    yield demand(
        "data.training",
        len(sets) >= wanted.least_training_sets,
        f"{len(sets)} sets",
        f"at least {wanted.least_training_sets}",
    )
    if wanted.keeps:
        gone = [one.name for one in old.manifest.training.data if one.sha256 not in sets]
        yield demand("data.keeps", not gone, ", ".join(gone) or "all of them", "the training data of the bundle before")
    locked = {evidence.cases} if evidence is not None else set()
    locked |= {new.manifest.acceptance.data.sha256} if new.manifest.acceptance is not None else set()
    locked |= {wanted.cases.sha256} if wanted.cases is not None else set()
    leaked = [sets[one] for one in locked & sets.keys()]
    yield demand(
        "data.separate", not leaked, ", ".join(leaked) or "apart", "evaluated cases that nothing was trained on"
    )
    if evidence is not None:
        if wanted.cases is not None:
            yield demand("data.cases", evidence.cases == wanted.cases.sha256, evidence.cases, wanted.cases.sha256)
        yield demand(
            "data.least_cases", evidence.count >= wanted.least_cases, evidence.count, f"at least {wanted.least_cases}"
        )


def _retraining(claimed: Modification, new: Bundle) -> Iterator[Item]:
    wanted, told = claimed.retraining, new.manifest.training
    if wanted.code:
        yield demand("retraining.code", told.code in wanted.code, told.code, f"one of {', '.join(wanted.code)}")
    for name, bounds in wanted.hyperparameters.items():
        value = told.hyperparameters.get(name)
        what = f"retraining.hyperparameters.{name}"
        expected = f"{_edge(bounds.at_least, '-∞')} to {_edge(bounds.at_most, '∞')}"
        if value is None:
            yield Item(what, Status.MISSING, "nothing", expected)
        else:
            number = isinstance(value, int | float) and not isinstance(value, bool)
            low, high = bounds.at_least, bounds.at_most
            within = number and (low is None or float(value) >= low) and (high is None or float(value) <= high)
            yield demand(what, within, value, expected)


def _edge(value: float | None, none: str) -> str:
    return none if value is None else f"{value:g}"


def _evaluation(claimed: Modification, old: Bundle, new: Bundle, evidence: Evidence | None) -> Iterator[Item]:
    wanted = claimed.evaluation
    if evidence is None:
        yield Item(
            "evaluation", Status.MISSING, "no test result", "one of this bundle, with its lock (`inframe revalidate`)"
        )
        return
    yield demand("evaluation.bundle", evidence.bundle == new.digest, evidence.bundle, new.digest)
    yield demand("evaluation.result", evidence.result == "PASSED", evidence.result, "PASSED")
    alpha = evidence.lock.protocol.alpha
    yield demand("evaluation.alpha", alpha <= wanted.alpha, f"{alpha:g}", f"at most {wanted.alpha:g}")
    yield demand(
        "evaluation.cases", evidence.cases == evidence.lock.cases.sha256, evidence.cases, evidence.lock.cases.sha256
    )
    for one in wanted.criteria:
        yield _criterion(one, evidence)
    if wanted.against_old:
        compared = evidence.against == old.digest
        yield demand("evaluation.against", compared, evidence.against or "nothing", f"{old.digest}, the bundle before")
        margins = any(one.margin is not None for one in evidence.lock.protocol.endpoints)
        yield demand("evaluation.margin", margins, "none" if not margins else "declared", "a margin, declared before")


def _criterion(one: Criterion, evidence: Evidence) -> Item:
    """It must have been locked, no weaker than the plan has it, and shown."""
    what = f"evaluation: {one.metric} of {one.model}" + (f"/{one.label}" if one.label is not None else "")
    asked = [
        e
        for e in evidence.lock.protocol.endpoints
        if (e.metric, e.model, e.label) == (one.metric, one.model, one.label)
    ]
    side = "at least" if one.at_least is not None else "at most"
    expected = f"{side} {bound_of(one):g}, locked and shown"
    if not asked:
        return Item(what, Status.MISSING, "not an endpoint of the lock", expected)
    sign, bound = (1 if one.at_least is not None else -1), bound_of(asked[0])
    if sign * bound < sign * bound_of(one):
        return Item(what, Status.FAILED, f"locked with {side} {bound:g}", expected)
    return demand(
        what, asked[0].name in evidence.passed, "shown" if asked[0].name in evidence.passed else "not shown", expected
    )


def _update(claimed: Modification, new: Bundle, policy: Policy) -> Iterator[Item]:
    wanted = claimed.update
    roles = Counter(key.role for key in policy.keys if key.name in new.signed_by)
    for role, count in wanted.signatures.items():
        yield demand(f"update.signatures.{role}", roles[role] >= count, roles[role], f"at least {count}")
    if wanted.latency:
        told = {one.model for one in new.manifest.latency}
        silent = [name for name in new.manifest.models if name not in told]
        yield demand(
            "update.latency", not silent, f"nothing of {', '.join(silent)}" if silent else "told", "of each model"
        )
