"""The door: every route for every role, and what attackers try, against the real process."""

import json
import socket
import threading
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inframe.console.door import CSRF_HEADER, HEADERS, LARGEST_BODY
from inframe.console.past import Past
from inframe.console.people import Role
from inframe.console.refused import Refused
from inframe.console.route import Route
from inframe.console.routes import ROUTES
from inframe.console.sessions import FREE_TRIES
from tests.console.conftest import PASSWORDS, ROLES
from tests.console.stand import Browser, Stand, device_of, until

SOUND: dict[str, object] = {
    "/api/control": {"wish": "acknowledge"},
    "/api/candidate": {"order": "keep"},
    "/api/break": {"what": "kill_model"},
    "/api/logout": {},
    "/api/stop": {},
    "/api/sign": {"sha256": "0" * 64},
    "/api/release": {"move": "commit", "why": "QA 12"},
}
QUERIES = {
    "/api/draft": "?kind=note",
    "/api/frame": "?seq=1",
    "/api/recording": "?name=x.000.mcap",
    "/api/recording/moment": "?name=x.000.mcap&at_ms=0",
}
GUARDED = [route for route in ROUTES if route.role is not None and not route.is_open_here]
HARMLESS = [route for route in GUARDED if route.path not in ("/api/logout", "/api/stop")]


def ask(browser: Browser, route: Route) -> int:
    """A sound request to the route."""
    if route.method == "GET":
        return browser.ask("GET", route.path + QUERIES.get(route.path, ""))[0]
    return browser.post(route.path, SOUND[route.path])


def test_without_a_session_only_the_page_and_the_numbers_are_there(people: dict[str, Browser]) -> None:
    nobody = people["nobody"]
    answers = {route.path: ask(nobody, route) for route in GUARDED if not route.demo_only}
    assert set(answers.values()) == {401}
    assert [nobody.ask("GET", path)[0] for path in ("/", "/main.js", "/api/session", "/metrics", "/openapi.json")] == [
        200
    ] * 5
    assert nobody.get("/api/session") == {
        "name": None,
        "role": None,
        "csrf": None,
        "is_logged_in": False,
        "can_log_in": True,
    }


@pytest.mark.parametrize("name", list(ROLES))
def test_each_role_may_what_the_table_says(people: dict[str, Browser], name: str) -> None:
    for route in HARMLESS:
        status = ask(people[name], route)
        if route.demo_only:
            assert status == 404, route.path
        elif ROLES[name] < (route.role or Role.VIEWER):
            assert status == 403, route.path
        elif route.path in QUERIES and "mcap" in QUERIES[route.path]:
            assert status == 404, route.path  # it was let in, and keeps no recordings
        else:  # no candidate's socket is there, and no frame yet, perhaps: it was let in
            assert status in (200, 409, 503), route.path


def test_who_sits_at_the_machine_may_not_end_the_procedure_nor_change_models(open_stand: Stand) -> None:
    browser = open_stand.browser()
    browser.who()
    assert browser.post("/api/stop", {}) == 401
    assert browser.post("/api/candidate", {"order": "keep"}) == 401
    assert browser.post("/api/control", {"wish": "acknowledge"}) == 200


FORGED: list[dict[str, str | None]] = [
    {"X-CSRF": None},
    {"X-CSRF": "x"},
    {"X-CSRF": "ä".encode().decode("latin-1")},
    {"Origin": None},
    {"Origin": "null"},
    {"Origin": "http://evil.example"},
    {"Origin": "http://127.0.0.1:1"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Host": "evil.example"},
]


@pytest.mark.parametrize("forged", FORGED, ids=str)
def test_another_site_changes_nothing(
    people: dict[str, Browser], guarded: Stand, forged: dict[str, str | None]
) -> None:
    before = guarded.board.controls().opacity
    assert people["otto"].post("/api/control", {"wish": "opacity", "value": 0.9}, **forged) == 403
    assert guarded.board.controls().opacity == before


def test_the_secret_of_another_session_is_no_good(people: dict[str, Browser]) -> None:
    otto, secret = people["otto"], people["sara"].csrf
    assert otto.post("/api/control", {"wish": "acknowledge"}, **{"X-CSRF": secret}) == 403
    assert otto.post("/api/control", {"wish": "acknowledge"}, **{CSRF_HEADER: secret}) == 403  # beside its own


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None])
def test_a_form_changes_nothing(people: dict[str, Browser], kind: str | None) -> None:
    assert people["otto"].post("/api/control", {"wish": "acknowledge"}, **{"Content-Type": kind}) == 415


@pytest.mark.parametrize(
    "host", [[], ["evil.example"], ["127.0.0.1"], ["own", "own"], ["own", "evil.example"]], ids=str
)
def test_others_names_for_this_address_see_nothing(guarded: Stand, host: list[str]) -> None:
    own = f"127.0.0.1:{guarded.port}"
    lines = "".join(f"Host: {own if one == 'own' else one}\r\n" for one in host)
    status = raw(guarded, f"GET / HTTP/1.1\r\n{lines}\r\n".encode())[9:12]
    assert status in (b"403", b"400")


PATHS = [
    "/../../../../etc/passwd",
    "/..%2f..%2f..%2fetc/passwd",
    "/vendor/../people.py",
    "/vendor/..%2f..%2fmain.py",
    "/%2e%2e/people.py",
    "/main.py",
    "//etc/passwd",
    "/vendor/",
    "/.git/config",
    "/strings/en.json%00.html",
    "/index.html/..",
    "http://evil.example/",
    "/vendor\\..\\x",
]


@pytest.mark.parametrize("path", PATHS)
def test_no_path_leads_out_of_the_page(guarded: Stand, path: str) -> None:
    answer = raw(guarded, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{guarded.port}\r\n\r\n".encode())
    assert answer[9:12] in (b"404", b"400")


def test_every_answer_is_locked_down(people: dict[str, Browser]) -> None:
    for path in ("/", "/main.js", "/api/session", "/nothing", "/api/state"):
        for headers in ({}, {"Host": "evil.example"}):
            _, found, _ = people["nobody"].ask("GET", path, headers=headers)
            assert {name.lower(): found.get(name.lower()) for name in HEADERS} == {
                name.lower(): value for name, value in HEADERS.items()
            }
            assert "unsafe" not in found["content-security-policy"]
            assert "server" not in found


def raw(stand: Stand, data: bytes, then: bytes = b"") -> bytes:
    """What is answered to these bytes."""
    with socket.create_connection(("127.0.0.1", stand.port), timeout=60) as client:
        client.sendall(data + then)
        answer = b""
        with suppress(ConnectionResetError):
            while b"\r\n\r\n" not in answer and (more := client.recv(4096)):
                answer += more
        return answer


def post_head(stand: Stand, browser: Browser, more: str) -> bytes:
    lines = ["POST /api/control HTTP/1.1", f"Host: 127.0.0.1:{stand.port}", f"Origin: {browser.origin}"]
    lines += ["Content-Type: application/json", f"Cookie: {browser.cookie}", f"X-CSRF: {browser.csrf}", more]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def test_a_long_body_is_refused_before_it_is_read(guarded: Stand, people: dict[str, Browser]) -> None:
    otto = people["otto"]
    assert otto.post("/api/control", {"wish": "x" * LARGEST_BODY}) == 413
    chunk = b"1000\r\n" + bytes(4096) + b"\r\n"
    assert raw(guarded, post_head(guarded, otto, "Transfer-Encoding: chunked"), chunk * 3)[9:12] == b"413"
    assert raw(guarded, post_head(guarded, otto, "X: " + "y" * 70_000))[9:12] in (b"431", b"400", b"")


def test_whoever_is_slow_is_not_waited_for(guarded: Stand, people: dict[str, Browser]) -> None:
    """A head that never ends, a body that never comes, a connection that says nothing: five seconds each, all at once."""
    starts = [
        b"",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1",
        post_head(guarded, people["otto"], "Content-Length: 60"),
    ]
    answers: list[bytes] = [b"none"] * 3

    def wait(i: int) -> None:
        answers[i] = raw(guarded, starts[i])

    threads = [threading.Thread(target=wait, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (answers[0], answers[1], answers[2][9:12]) == (b"", b"", b"408")


def test_a_socket_opens_only_for_the_page_and_a_session(guarded: Stand, people: dict[str, Browser]) -> None:
    vera = people["vera"]
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": None},
        {"Origin": "null"},
        {"Host": "evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Cookie": None},
        {"Cookie": f"inframe-{guarded.port}=guess"},
    ):
        with vera.live(**headers) as live:
            assert live.status == 403, headers
    with vera.live() as live:
        assert live.status == 101
        assert live.picture()
        live.say("anything")
        assert live.closed() == 1008


def test_a_session_begins_anew_and_its_cookie_is_kept_from_scripts(guarded: Stand) -> None:
    """Session fixation: a token that somebody has put there is worth nothing, before and after."""
    browser, name = guarded.browser(), f"inframe-{guarded.port}"
    browser.cookie = f"{name}=known-to-an-attacker"
    body = json.dumps({"name": "vera", "password": PASSWORDS["vera"]}).encode()
    status, headers, _ = browser.ask("POST", "/api/login", body)
    cookie = headers["set-cookie"]
    assert status == 200
    assert "known-to-an-attacker" not in cookie
    assert all(flag in cookie for flag in ("HttpOnly", "SameSite=strict", "Path=/", "Max-Age="))
    assert browser.ask("GET", "/api/state")[0] == 401
    browser.cookie = cookie.partition(";")[0]
    browser.who()
    with browser.live() as live:  # logging out ends what runs under the session, within a look
        assert browser.post("/api/logout", {}) == 200
        assert live.closed() == 4401
    assert browser.ask("GET", "/api/state")[0] == 401


def test_guessing_is_slow_and_tells_nothing(tmp_path_factory: pytest.TempPathFactory, users: object) -> None:
    """Wrong passwords lock the name, whether there is such a person or not, and even the right one then waits."""
    folder = tmp_path_factory.mktemp("guessed")
    with Stand(device_of(folder, screen={"users": str(users)}), recorder=True) as stand:
        browser = stand.browser()
        for name in ("vera", "nosuch"):
            tries = FREE_TRIES if name == "vera" else 1
            said = [
                browser.ask("POST", "/api/login", json.dumps({"name": name, "password": "wrong"}).encode())
                for _ in range(tries)
            ]
            assert {(status, body) for status, _, body in said} == {
                (401, b'{"error":"the name or the password is wrong"}')
            }
        status, headers, _ = browser.ask(
            "POST", "/api/login", json.dumps({"name": "vera", "password": PASSWORDS["vera"]}).encode()
        )
        assert (status, 0 < int(headers["retry-after"]) <= 31) == (429, True)
        until(lambda: "LOCKED_OUT" in trail_names(stand))
        assert {"LOGIN_REFUSED", "LOCKED_OUT"} <= set(trail_names(stand))


def trail_names(stand: Stand) -> list[str]:
    """The names of what people did, as the trail says."""
    try:
        found = Past(stand.device).search(None, "login", 10, 100, each_frame=False)
    except Refused:
        return []
    return [f"{line['name']}" for line in found["lines"]]


def test_all_that_people_do_is_in_the_trail(guarded: Stand, people: dict[str, Browser]) -> None:
    assert people["otto"].post("/api/control", {"wish": "opacity", "value": 0.5}) == 200

    def told() -> list[tuple[str, str, str]]:
        lines = people["vera"].get("/api/trail?kind=login&text=opacity")["lines"]
        return [(line["name"], line["who"], line["data"]["role"]) for line in lines]

    until(lambda: ("CONTROL", "otto", "operator") in told())
    lines = people["vera"].get("/api/trail?kind=login")["lines"]
    assert {("LOGGED_IN", name) for name in PASSWORDS} <= {(line["name"], line["who"]) for line in lines}
    assert not any(password in json.dumps(lines) for password in PASSWORDS.values())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(["wish", "value", "order", "what", "name", "password"])
BODIES = st.binary(max_size=60) | (JSON | st.dictionaries(KEYS, JSON, max_size=3)).map(
    lambda one: json.dumps(one).encode()
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_nothing_that_is_sent_is_a_fault_of_the_console(
    people: dict[str, Browser], guarded: Stand, data: st.DataObject
) -> None:
    route = data.draw(st.sampled_from([one for one in HARMLESS if one.path != "/api/break"]))
    browser = people["sara"]
    if route.method == "POST":
        status = browser.ask("POST", route.path, data.draw(BODIES))[0]
    else:
        pairs = data.draw(
            st.lists(
                st.tuples(
                    st.sampled_from(["seq", "text", "kind", "minutes", "limit", "x"]),
                    st.text(st.characters(codec="ascii", categories=["L", "N"]), max_size=6),
                )
            )
        )
        status = browser.ask("GET", route.path + "?" + "&".join(f"{k}={v}" for k, v in pairs))[0]
    assert status in (200, 400, 409, 413, 415, 422, 429, 503)
    assert not [note for note in guarded.notes() if "\tconsole\t" in note]
