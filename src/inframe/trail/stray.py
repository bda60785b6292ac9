"""Files in a trail's folder that are not of the trail."""

from inframe.trail.files import Files
from inframe.trail.read import CHECKPOINT, MINIMUM, WITNESSED
from inframe.trail.tail import PATH as TAIL
from inframe.trail.tiles import HEIGHT, WIDTH, entries_path, tile_path, width_at

_TOP = {CHECKPOINT, MINIMUM, WITNESSED, TAIL, "tile"}


def strays(files: Files, size: int) -> list[str]:
    """Paths that a trail of `size` published leaves does not have. `*.new` at the top is what a crash leaves of a
    replacement, and is overwritten by the next."""
    found = [name for name in files.names("") if name not in _TOP and not name.endswith(".new")]
    for kind in files.names("tile"):
        level = 0 if kind == "entries" else int(kind) if kind.isdigit() and int(kind) < 64 // HEIGHT else None
        if level is None:
            found.append(f"tile/{kind}")
            continue
        found += [path for path in _walk(files, f"tile/{kind}") if not _belongs(path, kind, level, size)]
    return found


def _walk(files: Files, folder: str) -> list[str]:
    """All files below a folder. A name with a dot or an x may be a folder of tiles; others are tiles."""
    found = []
    for name in files.names(folder):
        path = f"{folder}/{name}"
        below = _walk(files, path) if name.startswith("x") or name.endswith(".p") else []
        found += below if below or name.startswith("x") or name.endswith(".p") else [path]
    return found


def _belongs(path: str, kind: str, level: int, size: int) -> bool:
    full, dot, width = path.partition(".p/")
    digits = full.removeprefix(f"tile/{kind}/").replace("x", "").replace("/", "")
    if not digits.isdigit() or (dot and not width.isdigit()):
        return False
    index = int(digits)
    tile = entries_path(index) if kind == "entries" else tile_path(level, index)
    # One tile beyond what is published may be there: a crash came between the tiles and their checkpoint.
    most = width_at(size + WIDTH, level, index)
    return tile == full and (0 < int(width) <= min(most, WIDTH - 1) if dot else most == WIDTH)
