"""Cases and bundles that the tests of this folder share: nobody changes them."""

import pytest

from inframe.bundle import UNSIGNED
from inframe.revalidating import Subject, subject_of
from inframe.revalidation.answering import answer, tally_of
from inframe.revalidation.cases import CaseSet
from inframe.revalidation.tally import Tallies
from tests.revalidation import made


@pytest.fixture(scope="session")
def discs(tmp_path_factory: pytest.TempPathFactory) -> CaseSet:
    """Eight locked cases."""
    return made.cases(tmp_path_factory.mktemp("discs") / "cases")


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """A bundle that is right."""
    return subject_of(made.bundle(tmp_path_factory.mktemp("good")), UNSIGNED)


def measured(subject: Subject, found: CaseSet) -> Tallies:
    """In this process."""
    tallies = [tally_of(answer(job.model_dump_json())) for job in made.jobs(subject.path, subject.digest, found)]
    return {one.digest: one for one in tallies}


@pytest.fixture(scope="session")
def tallies(good: Subject, discs: CaseSet) -> Tallies:
    """What the good bundle makes of the cases."""
    return measured(good, discs)
