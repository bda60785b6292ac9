"""The overlay: what must be on the picture, what must not, and that nothing makes it fail."""

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from inframe.core.clock import NS_PER_MS, NS_PER_S
from inframe.core.types import (
    WHOLE,
    Alert,
    Audio,
    Boxes,
    Controls,
    Decision,
    Finding,
    Heat,
    Masks,
    Mode,
    NoSignal,
    Output,
    Pixels,
    Presence,
    Priority,
    Result,
    Scores,
    Steps,
    Verdict,
)
from inframe.drivers.cameras.synthetic import encode_number, read_number
from inframe.pipeline.alerts import flash_on
from inframe.pipeline.overlay import Overlay
from inframe.pipeline.palette import ALERT, AUTOMATIC, HEAT, PAPER, look

WIDTH, HEIGHT = 640, 360
LOOKS = {
    "anatomy": look(("background", "liver", "duct"), {"liver": "#ff0000", "duct": "#00ff00"}),
    "quiet": look(("background", "liver"), {"liver": None}),
    "tools": look(("grasper", "hook"), {"grasper": "#0000ff", "hook": None}),
    "phase": look(("preparation", "dissection"), {}),
    "risk": look(("risk",), {}, full_scale=2.0),
}


def scene(width: int = WIDTH, height: int = HEIGHT) -> Pixels:
    rng = np.random.default_rng(7)
    picture = rng.integers(40, 200, (height, width, 3), np.uint8)
    picture.flags.writeable = False
    return picture


def decision(*outputs: tuple[str, Output], verdict: Verdict = Verdict.SHOW, **more: Any) -> Decision:
    steps = Steps(0, 1, 2, 3)
    shown = tuple(Result(model, 1, 0, output, steps) for model, output in outputs)
    values: dict[str, Any] = {"mode": Mode.NOMINAL, "findings": (), "alerts": (), "shown": shown, "age_ns": 0}
    return Decision(verdict, **(values | more))


def floats(values: list[float]) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def alert(priority: Priority, presence: Presence = Presence.ON, text: str = "TIP NEAR DUCT") -> Alert:
    return Alert("rule", text, priority, presence, 0)


def drawn(what: Decision, controls: Controls | None = None, now_ns: int = 0, source: Pixels | None = None) -> Pixels:
    source = scene() if source is None else source
    height, width, _ = source.shape
    into = np.full_like(source, 255)
    Overlay("theatre 3", LOOKS, width, height).draw(into, source, what, controls or Controls(), now_ns)
    return into


def middle(picture: Pixels) -> Pixels:
    """The part that belongs to the surgeon: four fifths of the width, the middle half of the height."""
    height, width, _ = picture.shape
    return picture[height // 4 : 3 * height // 4, width // 10 : 9 * width // 10]


def square(value: int = 1, size: int = 64) -> Masks:
    classes = np.zeros((size, size), np.uint8)
    classes[size // 4 : 3 * size // 4, size // 4 : 3 * size // 4] = value
    return Masks(classes)


# --- results --------------------------------------------------------------------------------------------------------


def test_without_results_the_middle_is_the_frame_bit_for_bit() -> None:
    assert np.array_equal(middle(drawn(decision())), middle(scene()))


def test_a_fill_is_translucent_inside_and_leaves_the_outside_as_it_was() -> None:
    source, picture = scene(), drawn(decision(("anatomy", square())), Controls(opacity=0.5))
    inside = np.s_[110:140, 180:460]  # away from the lines at the border and the name in the middle
    red = np.array([255, 0, 0])
    assert np.abs(picture[inside].astype(int) - (source[inside] * 0.5 + red * 0.5)).max() <= 1
    for outside in (np.s_[100:260, 70:150], np.s_[100:260, 490:600]):
        assert np.array_equal(picture[outside], source[outside])


@given(opacity=st.floats(0, 1))
def test_blending_a_pixel_with_itself_leaves_it_at_any_opacity(opacity: float) -> None:
    every = np.arange(256, dtype=np.uint8)[None]
    assert np.array_equal(cv2.addWeighted(every, 1 - opacity, every, opacity, 0), every)


def test_opacity_zero_leaves_only_lines_and_names() -> None:
    picture = drawn(decision(("anatomy", square())), Controls(opacity=0.0))
    assert np.array_equal(picture[110:140, 180:460], scene()[110:140, 180:460])
    assert not np.array_equal(picture[85:95], scene()[85:95])


def test_a_label_without_colour_is_not_drawn() -> None:
    assert np.array_equal(middle(drawn(decision(("quiet", square())))), middle(scene()))


def test_two_models_are_blended_once_each() -> None:
    both = decision(("anatomy", square(1)), ("anatomy", Masks(np.full((8, 8), 2, np.uint8), (0.0, 0.0, 0.2, 1.0))))
    picture = drawn(both, Controls(opacity=0.5))
    assert np.abs(picture[120, 300].astype(int) - (scene()[120, 300] * 0.5 + [127.5, 0, 0])).max() <= 1
    assert np.abs(picture[120, 80].astype(int) - (scene()[120, 80] * 0.5 + [0, 127.5, 0])).max() <= 1


def test_a_mask_of_a_part_of_the_frame_stays_in_that_part() -> None:
    masks = Masks(np.ones((32, 32), np.uint8), (0.25, 0.25, 0.75, 0.75))
    picture = drawn(decision(("anatomy", masks)), Controls(opacity=1.0))
    outside = np.ones((HEIGHT, WIDTH), bool)
    outside[90:270, 160:480] = False
    outside[:60], outside[-60:] = False, False
    assert np.array_equal(picture[outside], scene()[outside])
    assert (picture[100, 170] == [255, 0, 0]).all()


def test_a_letterboxed_mask_is_cut_at_the_frame() -> None:
    picture = drawn(
        decision(("anatomy", Masks(np.ones((32, 32), np.uint8), (0.0, -0.4, 1.0, 1.4)))), Controls(opacity=1.0)
    )
    assert (picture[100:140, 100:540] == [255, 0, 0]).all()


def test_noise_is_drawn_in_blocks() -> None:
    classes = np.random.default_rng(3).integers(0, 3, (256, 256)).astype(np.uint8)
    picture = drawn(decision(("anatomy", Masks(classes))), Controls(opacity=1.0))
    colours = {tuple(int(v) for v in pixel) for pixel in middle(picture)[::7, ::7].reshape(-1, 3)}
    assert {(255, 0, 0), (0, 255, 0)} <= colours


def test_names_stand_at_their_regions_and_do_not_tremble() -> None:
    overlay, into = Overlay("d", LOOKS, WIDTH, HEIGHT), np.empty_like(scene())
    pictures = []
    for shift in (0, 1, 0):
        masks = Masks(np.roll(square().classes, shift, axis=1))
        overlay.draw(into, scene(), decision(("anatomy", masks)), Controls(opacity=0.0), 0)
        pictures.append(into[170:190, 280:360].copy())
    assert not np.array_equal(pictures[0], scene()[170:190, 280:360])
    assert np.array_equal(pictures[0], pictures[1])


def test_a_name_makes_way_for_the_watermark() -> None:
    overlay = Overlay("d", LOOKS, WIDTH, HEIGHT, watermark="NOT FOR CLINICAL USE")
    classes = np.zeros((64, 64), np.uint8)
    classes[58:, 40:] = 1  # its name would stand on the watermark
    with_name, without = np.empty_like(scene()), np.empty_like(scene())
    overlay.draw(with_name, scene(), decision(("anatomy", Masks(classes))), Controls(opacity=0.0), 0)
    overlay.draw(without, scene(), decision(), Controls(opacity=0.0), 0)
    x0, y0, x1, y1 = overlay._furniture.watermark_at(HEIGHT)
    inner = np.s_[y0:y1, x0 : min(x1, WIDTH - 6)]
    assert np.array_equal(with_name[inner], without[inner])


def test_boxes_have_their_colour_name_and_score() -> None:
    boxes = Boxes(np.array([[0.25, 0.4, 0.5, 0.7]], np.float32), floats([0.87]), np.array([0], np.int32))
    picture = drawn(decision(("tools", boxes)))
    assert (picture[160, 160] == [0, 0, 255]).all()
    assert not np.array_equal(picture[137, 165:200], scene()[137, 165:200])
    assert np.array_equal(picture[170:240, 170:310], scene()[170:240, 170:310])
    hidden = drawn(decision(("tools", Boxes(boxes.boxes, boxes.scores, np.array([1], np.int32)))))
    assert np.array_equal(middle(hidden), middle(scene()))


def test_more_boxes_than_can_be_drawn_are_told() -> None:
    rng = np.random.default_rng(1)
    corners = np.sort(rng.random((1000, 2, 2)), axis=1).reshape(-1, 4).astype(np.float32)
    few, many = (
        drawn(decision(("tools", Boxes(corners[:n], np.ones(n, np.float32), np.zeros(n, np.int32)))))
        for n in (100, 1000)
    )
    changed = np.argwhere((few != many).any(axis=2))
    assert changed.size
    assert changed[:, 0].min() > HEIGHT * 0.8
    assert changed[:, 1].max() < WIDTH * 0.4


def test_heat_is_hottest_where_the_value_is() -> None:
    y, x = np.mgrid[:64, :64] / 64
    heat = (2.4 * np.exp(-((x - 0.5) ** 2 + (y - 0.5) ** 2) * 20)).astype(np.float32)
    picture = drawn(decision(("risk", Heat(heat, 0.9))), Controls(opacity=1.0))
    assert tuple(picture[180, 320]) == HEAT[-1]
    assert np.array_equal(picture[100:260, 10:60], scene()[100:260, 10:60])  # less than an eighth of full scale


def test_noisy_heat_is_drawn_too() -> None:
    heat = np.random.default_rng(1).random((256, 256)).astype(np.float32) * 20
    assert not np.array_equal(middle(drawn(decision(("risk", Heat(heat, 1.0))))), middle(scene()))


def test_the_best_score_is_written_in_the_left_lower_corner() -> None:
    first, second = (drawn(decision(("phase", Scores(floats(s))))) for s in ([0.9, 0.1], [0.2, 0.8]))
    changed = np.argwhere((first != second).any(axis=2))
    assert changed[:, 0].min() > HEIGHT * 0.8
    assert changed[:, 1].max() < WIDTH // 2


def test_a_finding_without_priority_is_a_line() -> None:
    finding = Finding("r", "CRITICAL VIEW REACHED", Priority.NONE, 0, 1.0)
    picture = drawn(decision(findings=(finding,)))
    assert not np.array_equal(picture[HEIGHT - 40 :, :200], drawn(decision())[HEIGHT - 40 :, :200])


# --- verdicts and controls ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "controls"),
    [
        (decision(("anatomy", square()), verdict=Verdict.WITHHOLD), Controls()),
        (decision(("anatomy", square())), Controls(overlay_on=False)),
    ],
)
def test_a_picture_without_ai_is_marked_all_around_and_shows_no_result(what: Decision, controls: Controls) -> None:
    picture, plain = drawn(what, controls), drawn(decision())
    assert np.array_equal(middle(picture), middle(scene()))
    for edge in (picture[0], picture[-1], picture[:, 0], picture[:, -1]):
        assert set(np.unique(edge)) == {16, 240}
    top = np.s_[5:30, WIDTH // 2 - 40 : WIDTH // 2 + 40]
    assert not np.array_equal(picture[top], plain[top])


def test_held_is_told_from_shown_and_its_age_is_written() -> None:
    corner = np.s_[:40, -120:]
    shown = drawn(decision(("anatomy", square())))[corner]
    held = [drawn(decision(verdict=Verdict.HOLD, age_ns=age * NS_PER_MS))[corner] for age in (67, 68, 1067)]
    assert (shown > 220).sum() < (held[0] > 220).sum() / 2  # black on white against white on black
    assert not np.array_equal(held[0], held[1])
    assert not np.array_equal(held[1], held[2])


def test_each_mode_looks_different() -> None:
    corners = [drawn(decision(mode=mode))[:40, :200].tobytes() for mode in Mode]
    assert len(set(corners)) == len(Mode)


def test_silenced_sound_is_written() -> None:
    corner = np.s_[:60, -200:]
    plain, off = drawn(decision())[corner], drawn(decision(), Controls(audio=Audio.OFF))[corner]
    paused = drawn(decision(), Controls(audio=Audio.PAUSED, audio_until_ns=90 * NS_PER_S))[corner]
    over = drawn(decision(), Controls(audio=Audio.PAUSED, audio_until_ns=0), now_ns=NS_PER_S)[corner]
    assert len({p.tobytes() for p in (plain, off, paused)}) == 3
    assert np.array_equal(over, plain)


def test_the_device_name_and_the_watermark_are_written() -> None:
    into = np.empty_like(scene())
    Overlay("theatre 3", LOOKS, WIDTH, HEIGHT, watermark="NOT FOR CLINICAL USE").draw(
        into, scene(), decision(), Controls(), 0
    )
    assert not np.array_equal(into[-40:, -150:], drawn(decision())[-40:, -150:])
    assert not np.array_equal(into[10:20, 100:140], scene()[10:20, 100:140])


# --- alerts ---------------------------------------------------------------------------------------------------------


def band_paper(picture: Pixels, row: int = 0) -> tuple[int, ...]:
    """The colour of the band's row `row` (0 is the lowest), away from its text."""
    return tuple(int(v) for v in picture[HEIGHT - 4 - 20 * row, WIDTH - 4])


@pytest.mark.parametrize("priority", [Priority.LOW, Priority.MEDIUM, Priority.HIGH])
def test_the_band_flashes_in_the_priority_s_colour(priority: Priority) -> None:
    lit = {}
    overlay = Overlay("d", LOOKS, WIDTH, HEIGHT)
    for moment in range(0, 2 * NS_PER_S, 50 * NS_PER_MS):
        picture = np.empty_like(scene())
        overlay.draw(picture, scene(), decision(alerts=(alert(priority),)), Controls(), moment)
        on = flash_on(priority, moment)
        assert band_paper(picture) == (ALERT[priority][0] if on else PAPER)
        assert tuple(picture[HEIGHT - 4, 1]) == ALERT[priority][0]  # the stripe at the left never goes out
        lit[on] = picture
    assert set(lit) == ({True} if priority is Priority.LOW else {True, False})


def test_latched_flashes_on_and_acknowledged_does_not() -> None:
    moment = next(t for t in range(0, NS_PER_S, NS_PER_MS) if flash_on(Priority.HIGH, t))
    states = (Presence.ON, Presence.LATCHED, Presence.ACKNOWLEDGED, Presence.OFF)
    pictures = {s: drawn(decision(alerts=(alert(Priority.HIGH, s),)), now_ns=moment) for s in states}
    assert band_paper(pictures[Presence.ON]) == band_paper(pictures[Presence.LATCHED]) == ALERT[Priority.HIGH][0]
    assert band_paper(pictures[Presence.ACKNOWLEDGED]) == PAPER
    assert np.array_equal(pictures[Presence.OFF], drawn(decision(), now_ns=moment))
    assert not np.array_equal(pictures[Presence.ON], pictures[Presence.LATCHED])


def test_the_most_urgent_stands_on_top_and_the_middle_stays_free() -> None:
    alerts = (
        alert(Priority.LOW),
        alert(Priority.MEDIUM),
        alert(Priority.HIGH),
        alert(Priority.LOW),
        alert(Priority.LOW),
    )
    moment = next(
        t for t in range(0, 10 * NS_PER_S, NS_PER_MS) if flash_on(Priority.HIGH, t) and flash_on(Priority.MEDIUM, t)
    )
    picture = drawn(decision(alerts=alerts), now_ns=moment)
    height = Overlay("d", {}, WIDTH, HEIGHT)._furniture._row
    papers = [tuple(int(v) for v in picture[HEIGHT - 2 - height * row, WIDTH // 4]) for row in range(3)]
    assert papers == [ALERT[p][0] for p in (Priority.LOW, Priority.MEDIUM, Priority.HIGH)]
    assert np.array_equal(middle(picture), middle(scene()))


# --- no signal ------------------------------------------------------------------------------------------------------


def test_the_card_is_black_says_so_and_counts() -> None:
    overlay = Overlay("d", LOOKS, WIDTH, HEIGHT)
    what = decision(verdict=Verdict.WITHHOLD, mode=Mode.FAULT, alerts=(alert(Priority.HIGH),))
    cards = []
    for seconds in (3, 4):
        into = scene().copy()
        overlay.card(into, what, NoSignal("endoscope", 0, seconds * NS_PER_S), Controls())
        cards.append(into)
    body = middle(cards[0])
    assert 0.8 < (body == 0).mean() < 0.99
    assert not np.array_equal(middle(cards[0]), middle(cards[1]))
    assert set(np.unique(cards[0][0])) == {16, 240}


# --- robustness -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(HEIGHT, WIDTH + 1, 3), (HEIGHT, WIDTH, 4)])
def test_another_shape_is_a_wrong_call(shape: tuple[int, ...]) -> None:
    overlay = Overlay("d", LOOKS, WIDTH, HEIGHT)
    with pytest.raises(RuntimeError, match="expected"):
        overlay.draw(np.zeros(shape, np.uint8), np.zeros(shape, np.uint8), decision(), Controls(), 0)
    with pytest.raises(RuntimeError, match="expected"):
        overlay.card(np.zeros(shape, np.uint8), decision(), NoSignal("s", 0, 0), Controls())


@pytest.mark.parametrize("verdict", list(Verdict))
@pytest.mark.parametrize(("width", "height"), [(320, 240), (640, 480), (1280, 720)])
def test_the_coded_frame_number_outlasts_everything_drawn(verdict: Verdict, width: int, height: int) -> None:
    source = np.array(scene(width, height))
    encode_number(source, 123_456)
    what = decision(("anatomy", square()), verdict=verdict, alerts=(alert(Priority.HIGH), alert(Priority.LOW)))
    assert read_number(drawn(what, source=source)) == 123_456


regions = st.one_of(
    st.just(WHOLE),
    st.tuples(st.floats(-0.5, 0.4), st.floats(-0.5, 0.4), st.floats(0.6, 1.5), st.floats(0.6, 1.5)),
    st.tuples(st.floats(1.1, 1.2), st.floats(0, 0.4), st.floats(1.3, 1.4), st.floats(0.6, 1)),
)
masks = st.builds(
    Masks,
    hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.integers(0, 2)),
    regions,
)
boxes = st.integers(0, 5).flatmap(
    lambda n: st.builds(
        Boxes,
        hnp.arrays(np.float32, (n, 4), elements=st.floats(-1e6, 1e6, width=32)),
        hnp.arrays(np.float32, n, elements=st.floats(0, 1, width=32)),
        hnp.arrays(np.int32, n, elements=st.integers(0, 1)),
    )
)
heats = st.builds(
    Heat,
    hnp.arrays(
        np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=20), elements=st.floats(-1e6, 1e6, width=32)
    ),
    st.floats(-1e6, 1e6),
    regions,
)
alerts = st.builds(
    Alert, st.just("k"), st.text(max_size=60), st.sampled_from(Priority), st.sampled_from(Presence), st.just(0)
)
SIZES = [(16, 16), (33, 17), (96, 64)]
OVERLAYS = {size: Overlay("d" * 64, LOOKS, *size, watermark="W") for size in SIZES}


@settings(max_examples=150, deadline=None)
@given(
    size=st.sampled_from(SIZES),
    outputs=st.tuples(masks, boxes, heats),
    verdict=st.sampled_from(Verdict),
    mode=st.sampled_from(Mode),
    raised=st.lists(alerts, max_size=5),
    controls=st.builds(
        Controls, st.floats(-1, 2), st.booleans(), st.just(0), st.sampled_from(Audio), st.integers(0, 10**12)
    ),
    now_ns=st.integers(0, 10**12),
)
def test_whatever_comes_is_drawn_in_a_picture_of_any_size(  # hypothesis passes by name
    size: tuple[int, int],
    outputs: tuple[Masks, Boxes, Heat],
    verdict: Verdict,
    mode: Mode,
    raised: list[Alert],
    controls: Controls,
    now_ns: int,
) -> None:
    named = (("anatomy", outputs[0]), ("tools", outputs[1]), ("risk", outputs[2]))
    what = decision(*named, verdict=verdict, mode=mode, alerts=tuple(raised), age_ns=now_ns)
    source = scene(*size)
    OVERLAYS[size].draw(np.empty_like(source), source, what, controls, now_ns)


# --- palette --------------------------------------------------------------------------------------------------------


def test_colours_come_from_the_device_file_or_the_table() -> None:
    chosen = look(("background", "a", "b", "c"), {"a": "#0a0B0c", "b": None})
    assert chosen.colours == (None, (10, 11, 12), None, AUTOMATIC[3])
    assert look(("background",), {"background": "#ffffff"}).colours == ((255, 255, 255),)
