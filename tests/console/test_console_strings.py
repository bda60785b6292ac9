"""The page's strings: both languages have the same keys, all that the page uses is there, and nothing else is."""

import json
import re
from pathlib import Path

from inframe.console.files import PAGE, page_files
from inframe.core.events import EVENTS

STRINGS = {path.stem: json.loads(path.read_text("utf-8")) for path in (PAGE / "strings").glob("*.json")}
SOURCES = [path for path in PAGE.glob("*") if path.suffix in (".js", ".html")]


def placeholders(text: str) -> list[str]:
    return sorted(re.findall(r"\{\w+\}", text))


def test_every_language_has_every_string() -> None:
    assert set(STRINGS) == {"en", "de"}
    english, german = STRINGS["en"], STRINGS["de"]
    assert english.keys() == german.keys()
    for key, text in english.items():
        assert placeholders(text) == placeholders(german[key]), key


def test_every_string_is_used_and_every_use_is_there() -> None:
    text = "\n".join(path.read_text("utf-8") for path in SOURCES)
    used = set(re.findall(r'data-(?:text|label)="([^"]+)"', text)) | set(
        re.findall(r'"([a-z_0-9]+(?:\.[A-Za-z_0-9]+)*)"', text)
    )
    families = set(re.findall(r"`([a-z_]+)\.\$\{", text)) | {"processes", "streams", "sensors"}
    named = set(re.findall(r'\btext\("([^"]+)"', text)) | set(re.findall(r'data-(?:text|label)="([^"]+)"', text))
    assert named - {"key"} - STRINGS["en"].keys() == set()  # "key" is an example in a comment
    unused = {key for key in STRINGS["en"] if key not in used and key.partition(".")[0] not in families}
    assert unused == set()


def test_what_the_device_says_of_itself_is_in_every_language() -> None:
    english, german = STRINGS["en"], STRINGS["de"]
    said = {f"event.{name}": event.text for name, event in EVENTS.items() if event.text}
    assert {key: text for key, text in english.items() if key.startswith("event.")} == said
    assert {key for key in said if german[key] == english[key]} == set()


def test_nothing_in_the_page_comes_from_elsewhere_and_nothing_is_inline() -> None:
    for path, (_, data) in page_files().items():
        text = data.decode()
        assert not re.search(r"\b(?:XMLHttpRequest|importScripts|sendBeacon|EventSource|eval\(|new Function)", text), (
            path
        )
        if path == "/vendor/uplot.js":
            assert not re.search(r"\bfetch\(|^import ", text, flags=re.M)
            continue  # its comments name pages
        addresses = set(re.findall(r"(?:https?:)?//[a-z0-9-]+\.[a-z]{2,}", re.sub(r"/\*.*?\*/", "", text, flags=re.S)))
        assert addresses <= {"//www.w3.org", "http://www.w3.org"}, path
        assert path.startswith("/vendor/") or ".innerHTML" not in text
        if path.endswith(".html"):
            assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son[a-z]+=", text)


def test_the_vendored_code_has_its_licence() -> None:
    assert "MIT" in (PAGE / "vendor" / "LICENSE.uplot").read_text("utf-8")
    assert (Path(__file__).with_name("vendor") / "LICENSE.axe-core").exists()
