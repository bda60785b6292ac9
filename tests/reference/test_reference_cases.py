"""The simulator writes cases that a revalidation reads."""

from pathlib import Path

from inframe.revalidation.cases import open_set, write_manifest
from inframe.revalidation.pictures import pictures
from reference.cases import EVERY, Wanted, render


def test_a_simulated_procedure_is_a_case(tmp_path: Path) -> None:
    name = render(Wanted(900_001, 0.4, 180, tmp_path))
    write_manifest(tmp_path, "one", "development")
    (folder,) = open_set(tmp_path).cases
    folder.verify()
    case = folder.read()
    assert (folder.name, case.frames, case.masks["anatomy"].every) == (name, 12, EVERY)
    assert len(list(pictures(folder.folder / case.pictures, case.stream))) == 12
    assert set(case.judged) == {"tip_near_gallbladder", "unexpected_instrument", "out_of_body"}
