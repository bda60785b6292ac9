"""The page's own files, read once: what is not in this table does not exist, whatever a path says."""

from pathlib import Path

PAGE = Path(__file__).with_name("page")
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}


def page_files() -> dict[str, tuple[str, bytes]]:
    """Path of the address -> media type and bytes."""
    found = {
        f"/{path.relative_to(PAGE).as_posix()}": (_KINDS[path.suffix], path.read_bytes())
        for path in sorted(PAGE.rglob("*"))
        if path.suffix in _KINDS
    }
    return found | {"/": found["/index.html"]}
