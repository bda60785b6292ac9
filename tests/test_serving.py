"""The assistant over its Unix socket: OpenAI's shapes, streamed and cancelled, and what it does with too much."""

import asyncio
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from inframe import assisting, serving
from inframe.assistant import llamacpp, package
from inframe.assistant.box import Box
from inframe.assistant.drafting import WriterGone
from inframe.assistant.facts import Procedure
from inframe.assistant.reading import read
from inframe.assistant.turns import MOST_WAITING
from inframe.clerk import NOTHING, Clerk
from inframe.core.errors import ConfigError
from inframe.machine.walls import Limits
from reference.assistant.procedures import procedure
from tests.assistant.stand_in import StandIn

WAIT_S = 20.0
HUNDRED = 100


@dataclass
class Held:
    """Writes one piece each time that it is let; remembers whether it was closed."""

    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    over: bool = False
    """Nothing more is written: pytest's process waits at its end for whoever still is."""
    began: threading.Event = field(default_factory=threading.Event)
    closed: threading.Event = field(default_factory=threading.Event)

    def write(self, prompt: str, grammar: str | None, most: int) -> Iterator[str]:
        self.began.set()
        try:
            while self.go.acquire() and not self.over:
                yield "piece "
        finally:
            self.closed.set()


class Client(http.client.HTTPConnection):
    """Over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=WAIT_S)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(WAIT_S)
        self.sock.connect(str(self.path))

    def begin(self, path: str, body: Any = None) -> http.client.HTTPResponse:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        self.request("GET" if body is None else "POST", path, data)
        return self.getresponse()


def ask(at: Path, path: str, body: Any = None) -> tuple[int, Any]:
    with closing(Client(at)) as client:
        response = client.begin(path, body)
        return response.status, json.loads(response.read())


def chat(model: str, text: str = "", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


FACTS = read(*procedure(1000, "plain"))


@contextmanager
def served(folder: Path, writer: Any = None, facts: Callable[[], Procedure | None] = lambda: FACTS) -> Iterator[Path]:
    path, over = folder / "assistant", threading.Event()
    with serving.listen(path) as listener:
        clerk = Clerk(facts, writer)
        thread = threading.Thread(target=lambda: asyncio.run(serving.serve(clerk, listener, over.is_set)))
        thread.start()
        try:
            yield path
        finally:
            over.set()
            thread.join()
            if isinstance(writer, Held):
                writer.over = True
                writer.go.release()


def events(response: http.client.HTTPResponse) -> list[dict[str, Any]]:
    lines = [line for line in response.read().split(b"\n\n") if line]
    assert lines.pop() == b"data: [DONE]"
    return [json.loads(line.removeprefix(b"data: ")) for line in lines]


@pytest.mark.parametrize("kind", ["note", "handover"])
def test_a_draft_with_its_sources(tmp_path: Path, kind: str) -> None:
    with served(tmp_path, StandIn()) as path:
        status, told = ask(path, "/v1/chat/completions", chat(kind))
    expected = assisting.draft(FACTS, kind, StandIn())  # type: ignore[arg-type]
    assert status == 200
    assert told["choices"][0]["message"]["content"].splitlines() == [one.line() for one in expected.sentences]
    assert told["inframe"]["origin"] == "model"
    assert told["inframe"]["sentences"][0]["cites"]
    assert told["choices"][0]["finish_reason"] == "stop"


def test_streamed_it_is_the_same(tmp_path: Path) -> None:
    with served(tmp_path) as path:
        _, whole = ask(path, "/v1/chat/completions", chat("note"))
        with closing(Client(path)) as client:
            parts = events(client.begin("/v1/chat/completions", chat("note", stream=True)))
    assert (
        "".join(part["choices"][0]["delta"].get("content", "") for part in parts)
        == (whole["choices"][0]["message"]["content"])
    )
    assert len(parts) == len(whole["inframe"]["sentences"]) + 1
    assert parts[-1]["choices"][0]["finish_reason"] == "stop"
    assert parts[-1]["inframe"]["sentences"] == whole["inframe"]["sentences"]


def test_a_lying_model_changes_no_draft(tmp_path: Path) -> None:
    with served(tmp_path, StandIn(lambda line: line.replace("began", "ended"))) as path:
        _, told = ask(path, "/v1/chat/completions", chat("note"))
    assert "procedure began" in told["choices"][0]["message"]["content"]


def test_an_answer(tmp_path: Path) -> None:
    with served(tmp_path) as path:
        _, told = ask(path, "/v1/chat/completions", chat("answer", "what does NO CAMERA SIGNAL mean?"))
        assert told["inframe"]["alert"]["reads"] == "NO CAMERA SIGNAL"
        _, nothing = ask(path, "/v1/chat/completions", chat("answer", "zyxw?"))
    assert nothing["choices"][0]["message"]["content"] == NOTHING


def test_a_command_is_understood_and_nothing_is_done(tmp_path: Path) -> None:
    with served(tmp_path) as path:
        _, told = ask(path, "/v1/chat/completions", chat("command", "overlay off"))
        assert told["choices"][0]["message"]["content"] == "switch the overlay off?"
        assert told["inframe"]["intent"]["wish"] == "overlay"
        status, told = ask(path, "/v1/chat/completions", chat("command", "overlay off and stop the device"))
    assert status == 422
    assert "overlay on, overlay off" in told["error"]["message"]


def test_a_draft_is_checked_again(tmp_path: Path) -> None:
    good = assisting.as_json(assisting.draft(FACTS, "note"))
    bad = json.loads(json.dumps(good).replace("began", "ended"))
    with served(tmp_path) as path:
        assert ask(path, "/inframe/check", good)[1]["holds"]
        status, told = ask(path, "/inframe/check", bad)
    assert status == 409
    assert "expected only what the record says" in told["error"]["message"]


def test_the_models(tmp_path: Path) -> None:
    with served(tmp_path) as path:
        _, told = ask(path, "/v1/models")
        assert [one["id"] for one in told["data"]] == ["note", "handover", "answer", "command"]
        assert ask(path, "/v1/chat/completions", chat("text", "x"))[0] == 404
    with served(tmp_path, StandIn()) as path:
        assert "text" in str(ask(path, "/v1/models")[1])


@pytest.mark.parametrize(
    ("path", "body", "status", "why"),
    [
        ("/v1/chat/completions", b"{", 400, "Invalid JSON"),
        ("/v1/chat/completions", {"model": "gpt-4", "messages": []}, 400, "model: "),
        ("/v1/chat/completions", {"model": "note", "messages": []}, 400, "messages: found none"),
        ("/v1/chat/completions", chat("text", max_tokens=10**9), 400, "max_tokens: "),
        ("/v1/completions", {"model": "note", "prompt": "x"}, 400, "prompt: expected a text, and the model `text`"),
        ("/v1/chat/completions", chat("text", "x" * 40_000), 413, "body: expected at most"),
        ("/v1/embeddings", {}, 404, "not there"),
    ],
)
def test_what_is_refused(tmp_path: Path, path: str, body: Any, status: int, why: str) -> None:
    with served(tmp_path, StandIn()) as at:
        found, told = ask(at, path, body)
    assert found == status
    assert why in told["error"]["message"]


def test_a_hundred_at_once_and_cancelled(tmp_path: Path) -> None:
    """One is written, a few wait, the others are told at once; who goes away is not written for."""
    held = Held()
    with served(tmp_path, held) as path:
        first = Client(path)
        first.request("POST", "/v1/completions", json.dumps({"model": "text", "prompt": "x", "stream": True}))
        assert held.began.wait(WAIT_S)
        clients = [Client(path) for _ in range(HUNDRED - 1)]
        for client in clients:
            client.request("POST", "/v1/completions", json.dumps({"model": "text", "prompt": "x"}))
        refused = [client.getresponse() for client in clients[MOST_WAITING:]]
        assert {response.status for response in refused} == {429}
        assert {response.getheader("Retry-After") for response in refused} == {"2"}
        assert json.loads(refused[0].read())["error"]["type"] == "rate_limit_error"
        for response in refused:
            response.close()
        for client in clients:
            client.close()
        held.go.release()
        response = first.getresponse()
        assert b"piece " in response.readline()
        response.close()
        first.close()  # in the midst of it
        while not held.closed.is_set():
            held.go.release()
            held.closed.wait(0.05)


def test_a_box_that_is_gone_is_said(tmp_path: Path) -> None:
    class Gone:
        def write(self, prompt: str, grammar: str | None, most: int) -> Iterator[str]:
            raise WriterGone("the box is gone or silent: nothing came in time")

    with served(tmp_path, Gone()) as path:
        assert ask(path, "/v1/chat/completions", chat("text", "x"))[0] == 503
        _, told = ask(path, "/v1/chat/completions", chat("note"))
    assert told["inframe"]["origin"] == "template"


@pytest.mark.skipif(llamacpp.library() is None, reason="xllamacpp is not installed")
def test_with_a_real_box(tmp_path: Path) -> None:
    """Endless text is cut off where asked, a prompt that does not fit is refused, the next one is served."""
    with (
        package.shipped() as model,
        Box(model.sealed.fd, Limits(256, is_idle=False)) as box,
        served(tmp_path, box) as path,
    ):
        endless = {"model": "text", "prompt": "x\n", "grammar": "root ::= [a-z] root\n", "max_tokens": 20}
        status, told = ask(path, "/v1/completions", endless)
        assert (status, told["choices"][0]["finish_reason"]) == (200, "length")
        status, told = ask(path, "/v1/chat/completions", chat("text", "word " * 4000))
        assert status == 400
        assert "tokens, expected fewer" in told["error"]["message"]
        status, told = ask(path, "/v1/chat/completions", chat("text", "x", grammar="root ::= ]]"))
        assert (status, "grammar" in told["error"]["message"]) == (400, True)
        _, told = ask(path, "/v1/chat/completions", chat("handover"))
        assert told["inframe"]["origin"] == "model"


def test_the_socket_is_this_users_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="expected a socket, or a name that is free"):
        serving.listen(tmp_path / "file")
    with served(tmp_path) as path:
        assert path.stat().st_mode & 0o777 == 0o600
