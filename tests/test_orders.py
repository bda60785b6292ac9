"""The socket at which a running device takes orders."""

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from inframe import candidate_cli
from inframe.core.config import BundleConfig, ModelConfig
from inframe.core.errors import ConfigError, DeviceFault, UpdateError
from inframe.core.health import Health, Phase
from inframe.orders import AT_ONCE, Orders, ask
from tests.pipeline import script


class Obedient:
    """Writes down what it was told."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.models: Mapping[str, ModelConfig] = {}
        self.bundles: Mapping[str, BundleConfig] = {}
        self.last: tuple[str, Health] = "kept", Health(Phase.TRIAL)

    def propose(self, models: Mapping[str, ModelConfig], bundles: Mapping[str, BundleConfig]) -> None:
        self.done.append("propose")
        self.models, self.bundles = models, bundles

    def switch(self) -> None:
        raise UpdateError("candidate: switch: found phase NONE, expected SHADOW")

    def back(self) -> None:
        self.done.append("back")

    def keep(self) -> None:
        self.done.append("keep")

    def health(self) -> Health:
        return Health(Phase.SHADOW, ("organs",), 7)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Deeper than the name of a socket may be long."""
    return tmp_path / ("d" * 60) / ("e" * 60) / "control"


@pytest.fixture
def orders(place: Path) -> Iterator[Orders]:
    one = Orders(place, Obedient())
    yield one
    one.close()


def asked(orders: Orders, question: Callable[[], Any]) -> Any:
    """What comes of a question while the device looks around."""
    results: list[Any] = []

    def put() -> None:
        try:
            results.append(question())
        except UpdateError as error:
            results.append(error)

    thread = threading.Thread(target=put)
    thread.start()
    while not results:
        orders.step()
    thread.join()
    return results[0]


def obedient(orders: Orders) -> Obedient:
    assert isinstance(orders._device, Obedient)
    return orders._device


def test_an_order_is_carried_out_and_answered(orders: Orders, place: Path) -> None:
    answer = asked(orders, lambda: ask(place, {"order": "back"}))
    assert obedient(orders).done == ["back"]
    assert (answer["health"]["phase"], answer["health"]["models"]) == (Phase.SHADOW, ["organs"])
    assert answer["last"]["why"] == "kept"


def test_models_arrive_as_they_were_sent(orders: Orders, place: Path) -> None:
    model = script.device({"organs": script.model(state={"a": "b"})}).models["organs"]
    asked(orders, lambda: ask(place, {"order": "propose", "models": {"organs": model.model_dump(mode="json")}}))
    assert obedient(orders).models == {"organs": model}


def test_what_the_device_refuses_is_the_asker_s_error(orders: Orders, place: Path) -> None:
    refused = asked(orders, lambda: ask(place, {"order": "switch"}))
    assert str(refused) == "candidate: switch: found phase NONE, expected SHADOW"
    refused = asked(orders, lambda: ask(place, {"order": "dance"}))
    assert str(refused) == "order: found dance, expected one of: health, propose, switch, back, keep, release"
    refused = asked(orders, lambda: ask(place, {"order": "propose", "models": {"organs": {"file": "x"}}}))
    assert "models" in str(refused)


def test_no_device_is_one_line(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path / "no" / "folder"):
        with pytest.raises(UpdateError, match="expected a running device"):
            ask(path, {"order": "health"})


def test_only_this_user_may_ask_and_nothing_is_left(place: Path) -> None:
    place.parent.mkdir(parents=True)
    place.write_text("left by another")
    one = Orders(place, Obedient())
    assert place.stat().st_mode & 0o777 == 0o600
    one.close()
    assert not place.exists()


def test_a_place_that_can_not_be_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DeviceFault, match=r"candidate\.control: no socket can be made here"):
        Orders(tmp_path / "file" / "control", Obedient())


def test_an_asker_that_is_gone_or_shouts_holds_up_nobody(orders: Orders, place: Path) -> None:
    folder = os.open(place.parent, os.O_PATH)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:  # without a name: nobody to answer to
        own.setblocking(False)
        for _ in range(AT_ONCE):
            own.sendto(b'{"order": "keep"}', f"/proc/self/fd/{folder}/control")
    os.close(folder)
    orders.step()
    assert obedient(orders).done == ["keep"] * AT_ONCE


KEYS = st.sampled_from(["order", "models", "propose", "organs"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda one: st.lists(one) | st.dictionaries(KEYS, one)
)


@given(st.binary() | ANYTHING.map(lambda value: json.dumps(value).encode()))
def test_whatever_comes_is_answered(data: bytes) -> None:
    one = Orders.__new__(Orders)
    one._device = Obedient()
    answer = one.answer(data)
    assert set(answer) in ({"error"}, {"health", "last"})
    assert json.dumps(answer)


def device_file(folder: Path, **changes: Any) -> Path:
    """A device file whose socket is `control` beside it; one whose model says other things where there are changes."""
    values = script.device({"organs": script.model(**changes)}).model_dump(mode="json")
    (folder / "organs.onnx").write_bytes(b"")
    path = folder / ("other.yaml" if changes else "device.yaml")
    path.write_text(yaml.safe_dump(values | {"candidate": {"control": "control"}}))
    return path


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, other = device_file(tmp_path), device_file(tmp_path, budget_ms=15)
    orders = Orders(tmp_path / "control", Obedient())
    report = tmp_path / "report.json"
    for command in (
        lambda: candidate_cli.status(path, report),
        lambda: candidate_cli.propose(path, other),
        lambda: candidate_cli.back(path),
        lambda: candidate_cli.keep(path),
    ):
        asked(orders, lambda command=command: command() or True)  # type: ignore[misc]
    assert obedient(orders).done == ["propose", "back", "keep"]
    assert obedient(orders).models["organs"].budget_ms == 15
    assert json.loads(report.read_text())["health"]["phase"] == Phase.SHADOW
    assert "candidate: SHADOW" in capsys.readouterr().out
    assert "found phase NONE" in str(asked(orders, lambda: candidate_cli.switch(path)))
    orders.close()


def test_what_a_person_can_get_wrong(tmp_path: Path) -> None:
    path = device_file(tmp_path)
    with pytest.raises(ConfigError, match="models: found the same as in"):
        candidate_cli.propose(path, path)
    with pytest.raises(ConfigError, match=r"models\.organs\.every: found 2, expected 1, as it runs"):
        candidate_cli.propose(path, device_file(tmp_path, every=2))
    values = yaml.safe_load(path.read_text()) | {"candidate": None}
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(ConfigError, match="candidate: found nothing, expected `candidate:`"):
        candidate_cli.status(path)


class Slotted:
    """A device that takes updates, as far as orders go."""

    def __init__(self) -> None:
        self.moves: list[tuple[str, str, float]] = []

    def asked(self, move: str, why: str, hours: float) -> None:
        self.moves.append((move, why, hours))

    def told(self) -> dict[str, Any]:
        return {"state": "shadow", "moves": len(self.moves)}


def test_the_release_on_its_way_is_told_of_and_moved(place: Path) -> None:
    slotted = Slotted()
    one = Orders(place, Obedient(), slotted)
    try:
        assert asked(one, lambda: ask(place, {"order": "release"}))["release"] == {"state": "shadow", "moves": 0}
        order = {"order": "release", "move": "defer", "why": "a long list", "hours": 12}
        assert asked(one, lambda: ask(place, order))["release"]["moves"] == 1
        assert slotted.moves == [("defer", "a long list", 12)]
        wrongs: tuple[dict[str, Any], ...] = (
            {"why": ""},
            {"why": 7},
            {"why": "x" * 301},
            {"move": 7},
            {"hours": "1"},
            {"hours": True},
        )
        for wrong in wrongs:
            assert isinstance(asked(one, partial(ask, place, order | wrong)), UpdateError), wrong
        assert len(slotted.moves) == 1
    finally:
        one.close()


def test_a_device_without_updates_says_so(orders: Orders, place: Path) -> None:
    assert "takes updates" in str(asked(orders, lambda: ask(place, {"order": "release"})))
