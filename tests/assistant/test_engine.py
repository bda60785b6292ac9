"""llama.cpp in its box, with the model that is shipped: under a grammar and without, cancelled, overfed, and fed with
rubbish.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from inframe.assistant import drafting, llamacpp, package
from inframe.assistant.box import Box
from inframe.assistant.drafting import WriterGone
from inframe.assistant.reading import read
from inframe.bundle.policy import UNSIGNED
from inframe.bundle.sealed import seal
from inframe.core.errors import BundleError, DeviceFault
from inframe.machine.walls import Limits
from reference.assistant.procedures import procedure
from tests.bundle.made import policy, signer

pytestmark = pytest.mark.skipif(llamacpp.library() is None, reason="xllamacpp is not installed")
LIMITS = Limits(256, is_idle=False)  # what is tested here is not who waits for whom
GRAMMAR = 'root ::= "The procedure began. [E0.0]\\n" | "It began. [E0.0]\\n"\n'


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with package.shipped() as model, Box(model.sealed.fd, LIMITS) as made:
        yield made


def test_a_grammar_is_kept(box: Box) -> None:
    text = "".join(box.write("anything\n=>\n", GRAMMAR, 500))
    assert text in ("The procedure began. [E0.0]\n", "It began. [E0.0]\n")
    assert "".join(box.write("anything\n=>\n", GRAMMAR, 500)) == text  # no state from text to text


def test_it_writes_a_draft_that_holds(box: Box) -> None:
    facts = read(*procedure(1000, "plain"))
    made = drafting.draft(facts, "handover", box)
    assert made.origin == "model"
    assert made.fallbacks == ()
    assert len(made.sentences) >= 3


def test_a_canary_is_gone_with_its_box(box: Box) -> None:
    """What one procedure's box has read changes nothing that another's writes, and the process that read it is gone."""
    before = "".join(box.write("anything\n=>\n", None, 20))
    with package.shipped() as model, Box(model.sealed.fd, LIMITS) as other:
        canary = "".join(other.write("CANARY CANARY CANARY\n=>\n", None, 20))
        pid = other.pid
    assert not Path(f"/proc/{pid}").exists()
    with package.shipped() as model, Box(model.sealed.fd, LIMITS) as next_one:
        assert "".join(next_one.write("anything\n=>\n", None, 20)) == before
    assert "CANARY" not in before
    assert "".join(box.write("CANARY CANARY CANARY\n=>\n", None, 20)) == canary  # nor within one box, from text to text
    assert "".join(box.write("anything\n=>\n", None, 20)) == before


def test_cancelled_it_takes_the_next(box: Box) -> None:
    pieces = box.write("anything\n=>\n", None, 5000)
    next(pieces)
    pieces.close()
    assert "".join(box.write("anything\n=>\n", GRAMMAR, 500)).endswith("[E0.0]\n")


def test_a_hundred_at_once(box: Box) -> None:
    """One text at a time: the others are told so at once, and the one goes on."""
    first = box.write("x\n", GRAMMAR, 500)
    begun = next(first)
    for _ in range(99):
        with pytest.raises(WriterGone, match="another text"):
            next(box.write("x\n", GRAMMAR, 500))
    assert (begun + "".join(first)).endswith("[E0.0]\n")


def test_an_endless_text_ends(box: Box) -> None:
    """No grammar, no end that the model would know: it stops where its context is full."""
    assert len("".join(box.write("x\n", "root ::= [a-z] root\n", 100_000))) < 100_000
    assert len("".join(box.write("x\n", 'root ::= "a" root\n', 50)).encode()) <= 60


@pytest.mark.parametrize(
    ("prompt", "grammar", "why"),
    [
        ("word " * 4000, GRAMMAR, "tokens, expected fewer"),
        ("x", "root ::= ]]", "a grammar that llama.cpp does not read"),
        ("", GRAMMAR, "without a token"),
        ("x" * (1 << 16), GRAMMAR, "expected at most"),
    ],
)
def test_what_it_can_not_do_it_says(box: Box, prompt: str, grammar: str, why: str) -> None:
    with pytest.raises(WriterGone, match=why):
        list(box.write(prompt, grammar, 500))
    assert "".join(box.write("anything\n=>\n", GRAMMAR, 500))


def test_rubbish_for_a_model_ends_the_box_and_nothing_else(tmp_path: Path) -> None:
    """The short form of `python -m reference.assistant.fuzz`."""
    with package.shipped() as model:
        good = bytes(model.sealed.view)
    rng = random.Random(5)
    ended = 0
    for n in range(6):
        bad = bytearray(good[: rng.randrange(8, len(good))] if n % 2 else good)
        for _ in range(rng.randint(1, 30)):
            bad[rng.randrange(min(len(bad), 30_000))] = rng.randrange(256)
        (tmp_path / "bad.gguf").write_bytes(bad)
        sealed = seal(tmp_path / "bad.gguf", 1 << 30)
        try:
            with Box(sealed.fd, LIMITS) as box:
                list(box.write("x", None, 50))
        except (DeviceFault, WriterGone):
            ended += 1
        finally:
            sealed.close()
    assert ended > 0


# --- on its way into the box -----------------------------------------------------------------------------------------


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    (tmp_path / "m.gguf").write_bytes(b"GGUF" + bytes(range(200)))
    about = package.About(name="small", version="1")
    (tmp_path / "m.bundle").write_bytes(b"".join(package.pack(about, tmp_path / "m.gguf", signer("anna"))))
    return tmp_path / "m.bundle"


ANNA = policy(anna=("research", signer("anna")))


def test_a_signed_model_is_opened(packed: Path) -> None:
    with package.opened(packed, ANNA) as model:
        assert model.signed_by == ("anna",)
        assert bytes(model.sealed.view) == b"GGUF" + bytes(range(200))


def test_one_that_nobody_trusted_signed_is_not(packed: Path) -> None:
    with pytest.raises(BundleError), package.opened(packed, policy(otto=("quality", signer("otto")))):
        pass


def test_every_flipped_byte_is_refused_before_a_box_is_made(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inframe.assistant.package.Model", None)  # what comes after the checks: not reached
    good = packed.read_bytes()
    for at in range(0, len(good), 7):
        packed.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        with pytest.raises(BundleError), package.opened(packed, ANNA):
            pass


def test_a_bundle_of_something_else_is_refused(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(packed.read_bytes().replace(b"model.gguf", b"model.ggum"))
    with pytest.raises(BundleError), package.opened(tmp_path / "other", UNSIGNED):
        pass


def test_the_shipped_model_is_the_very_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "SHIPPED_SHA256", "0" * 64)
    with pytest.raises(BundleError), package.shipped():
        pass
