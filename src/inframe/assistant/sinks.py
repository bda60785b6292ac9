"""Text on its way out, escaped for where it goes. A draft's sentences need none of it; whatever else is printed beside them does,
and the day that a sentence holds what it should not, this is the second wall."""

import html
import json
from collections.abc import Callable, Mapping

from inframe.core.errors import one_line

LONGEST = 2000


def terminal(text: str) -> str:
    """One line, without anything that a terminal acts on: control, format and direction characters are written as escapes."""
    return one_line(text, LONGEST)


def web(text: str) -> str:
    """For HTML text and quoted attributes."""
    return html.escape(terminal(text), quote=True)


def json_string(text: str) -> str:
    """A JSON string, quotes included, in ASCII; `<`, `>` and `&` escaped too, so that it may stand in a page's script."""
    raw = json.dumps(text[:LONGEST])
    return raw.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


_HL7 = str.maketrans({"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\"})


def hl7(text: str) -> str:
    """A field of an HL7 v2 message with the usual delimiters (chapter 2.7): no separator survives, and no segment end."""
    return terminal(text).translate(_HL7)


def markdown(text: str) -> str:
    """For Markdown: every character that could begin something is escaped, and nothing is HTML."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]()#+-.!|>~" else c for c in html.escape(terminal(text), quote=False))


SINKS: Mapping[str, Callable[[str], str]] = {
    "terminal": terminal,
    "web": web,
    "json": json_string,
    "hl7": hl7,
    "markdown": markdown,
}
