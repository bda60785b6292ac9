"""The driver for a server inside the hospital: against llama.cpp's own server, and against servers that fail in every way."""

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from inframe.assistant import drafting, hospital, llamacpp
from inframe.assistant.drafting import WriterGone
from inframe.assistant.hospital import InTurn, Server
from inframe.assistant.reading import read
from inframe.core.assist import ServerConfig
from reference.assistant.procedures import procedure
from tests.assistant.stand_in import StandIn

GRAMMAR = 'root ::= "The procedure began. [E0.0]\\n" | "It began. [E0.0]\\n"\n'
FACTS = read(*procedure(1000, "plain"))


@pytest.fixture(scope="module")
def llama() -> Iterator[Server]:
    if llamacpp.library() is None:
        pytest.skip("xllamacpp is not installed")
    command = [sys.executable, "-m", "tests.assistant.llama_server"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        url = next(line for line in process.stdout if line.startswith("http")).strip()
        yield Server(ServerConfig(url=url))
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def test_llama_cpps_own_server_keeps_the_grammar(llama: Server) -> None:
    text = "".join(llama.write("anything\n=>\n", GRAMMAR, 500))
    assert text in ("The procedure began. [E0.0]\n", "It began. [E0.0]\n")


def test_a_draft_from_it_holds(llama: Server) -> None:
    made = drafting.draft(FACTS, "handover", llama)
    assert (made.origin, made.fallbacks) == ("model", ())


def test_endless_cancelled_and_too_long(llama: Server) -> None:
    endless = "root ::= [a-z] root\n"
    assert len("".join(llama.write("x\n", endless, 50)).encode()) <= 50
    pieces = llama.write("x\n", endless, 100_000)
    next(pieces)
    pieces.close()
    assert "".join(llama.write("anything\n=>\n", GRAMMAR, 500))  # the next one is served
    with pytest.raises(WriterGone, match="answers 400"):
        next(llama.write("word " * 4000, None, 500))
    with pytest.raises(WriterGone, match="answers 400"):
        next(llama.write("x", "root ::= ]]", 500))


@contextmanager
def answering(answer: bytes | Callable[[socket.socket], None]) -> Iterator[Server]:
    """A server that answers every connection so, and then closes it."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(1 << 16)
                if callable(answer):
                    answer(connection)
                else:
                    with suppress(OSError):  # who has heard enough is gone
                        connection.sendall(answer)
                        connection.shutdown(socket.SHUT_WR)
                        while connection.recv(1 << 16):  # closed with something unread, it would be a reset
                            pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield Server(ServerConfig(url=f"http://127.0.0.1:{listener.getsockname()[1]}/v1"))
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "answers 503"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n", "answers 302"),
        (b"rubbish\r\n\r\n", "rubbish"),
        (b"", "closed connection without response"),
        (OK, "in the midst"),
        (OK + b"data: {\n\n", "nobody can read"),
        (OK + b"data: []\n\n", "nobody can read"),
        (OK + b'data: {"choices": [1]}\n\n', "nobody can read"),
        (OK + b'data: {"choices": [{"text": "It"}]}\n\n', "in the midst"),
        (OK + b"x" * (1 << 18), "without end"),
    ],
)
def test_servers_that_fail(answer: bytes, why: str) -> None:
    with answering(answer) as server, pytest.raises(WriterGone, match=why):
        list(server.write("x", None, 100))


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(WriterGone, match="refused"):
        next(Server(ServerConfig(url=f"http://127.0.0.1:{port}")).write("x", None, 100))


@pytest.mark.parametrize("dripping", [False, True])
def test_one_that_is_silent_or_drips_is_not_waited_for(dripping: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hospital, "SILENT_S", 0.05 if not dripping else 5.0)
    monkeypatch.setattr(hospital, "LONGEST_S", 0.2)
    over = threading.Event()

    def slowly(connection: socket.socket) -> None:
        connection.sendall(OK)
        while not over.wait(0.01 if dripping else None):
            try:
                connection.sendall(b"x")
            except OSError:
                return

    with answering(slowly) as server:
        with pytest.raises(WriterGone, match=r"timed out|not done after"):
            list(server.write("x", None, 100))
        over.set()


def test_the_next_in_line_writes_and_the_server_is_left_alone() -> None:
    class Down:
        asked = 0

        def write(self, prompt: str, grammar: str | None, most: int) -> Iterator[str]:
            self.asked += 1
            raise WriterGone("down")

    down, box = Down(), StandIn()
    made = drafting.draft(FACTS, "note", InTurn(down, box))
    assert (made.origin, made.fallbacks) == ("model", ())
    assert down.asked == 1
    assert len(box.prompts) > 1
    made = drafting.draft(FACTS, "note", InTurn(Down(), None))
    assert made.origin == "template"


def test_what_has_begun_is_not_begun_anew() -> None:
    class Half:
        def write(self, prompt: str, grammar: str | None, most: int) -> Iterator[str]:
            yield "The proc"
            raise WriterGone("gone")

    pieces = InTurn(Half(), StandIn()).write("x\n=>\n", None, 100)
    assert next(pieces) == "The proc"
    with pytest.raises(WriterGone):
        next(pieces)


def test_a_server_that_lies_changes_nothing() -> None:
    lie = OK + b'data: {"choices": [{"text": "The patient is fine. [E0.0]\\n"}]}\n\ndata: [DONE]\n\n'
    with answering(lie) as server:
        made = drafting.draft(FACTS, "note", server)
    assert made.origin == "template"
    assert "patient" not in str(made.sentences)
