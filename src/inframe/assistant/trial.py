"""What `inframe doctor` tries: a box, as the assistant's is, with nothing in it; and whether there is an engine."""

from inframe.assistant.box import Box
from inframe.assistant.inside import Inmate
from inframe.assistant.llamacpp import library
from inframe.core.errors import DeviceFault
from inframe.machine import kernel
from inframe.machine.readings import Row
from inframe.machine.walls import Limits

CAP_SYS_NICE = 23


def rest(_inmate: Inmate) -> None:
    """The target: nothing."""


def rows() -> list[Row]:
    """One for the walls, one for how soon it stops, one for the engine."""
    return [_walls(), _stopping(), _engine()]


def _walls() -> Row:
    name = "the assistant's box"
    try:
        with Box(-1, Limits(), f"{__name__}:rest", engine="") as box:
            walls = box.walls
    except DeviceFault as error:
        return Row(name, "WARN", str(error), "no model runs here; the assistant's template does")
    fallen = [f"{wall.name} ({wall.why})" for wall in walls if not wall.stands]
    if fallen:
        return Row(name, "WARN", f"missing: {'; '.join(fallen)}", "run as root, or allow user namespaces and Landlock")
    return Row(name, "OK", f"{len(walls)} walls stand: {', '.join(wall.name for wall in walls)}")


def _stopping() -> Row:
    name = "stopping the assistant"
    if int(kernel.status_of("self", "CapEff"), 16) >> CAP_SYS_NICE & 1:
        return Row(name, "OK", "at once: raised for as long as it takes")
    return Row(name, "WARN", "when it next gets its core: not allowed to raise it", "run as root, or with CAP_SYS_NICE")


def _engine() -> Row:
    found = library()
    if found is None:
        return Row("engine llama.cpp", "SKIP", "not installed", "pip install inframe[assistant]")
    return Row("engine llama.cpp", "OK", "for the assistant; mapped in its box only")
