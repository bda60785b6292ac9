"""EVENTS: every condition of the device that people or the record must know of, in one table that tests and docs read.

A row says when it is raised, what the device does then, how it is announced, and which risk control it serves.
Findings (clinical statements made by rules) are not here: they belong to the device file.
"""

from dataclasses import dataclass

from inframe.core.types import Priority


@dataclass(frozen=True, slots=True)
class Event:
    """One row."""

    name: str
    condition: str
    effect: str
    priority: Priority
    text: str
    """What the operator reads."""
    risk_control: str


def _table(*rows: Event) -> dict[str, Event]:
    table = {row.name: row for row in rows}
    if len(table) != len(rows):
        raise RuntimeError("two events of one name")
    return table


N, L, M, H = Priority.NONE, Priority.LOW, Priority.MEDIUM, Priority.HIGH

EVENTS: dict[str, Event] = _table(
    # the picture
    Event(
        "NO_SIGNAL",
        "no frame within the stream's stall_ms",
        "black screen that says so; mode FAULT",
        H,
        "NO CAMERA SIGNAL",
        "RC-01",
    ),
    Event(
        "CAMERA_FROZEN",
        "the same picture bit for bit for frozen_ms",
        "picture shown, overlay withheld",
        H,
        "CAMERA PICTURE FROZEN",
        "RC-01",
    ),
    Event(
        "CAMERA_CORRUPT",
        "the decoder concealed errors, three frames within a second",
        "frame shown, overlay withheld",
        M,
        "CAMERA PICTURE DAMAGED",
        "RC-01",
    ),
    Event(
        "CAMERA_RESIZED",
        "the picture size differs from the declared one",
        "letterboxed, overlay withheld",
        M,
        "CAMERA PICTURE SIZE CHANGED",
        "RC-01",
    ),
    Event("CAPTURE_LOST", "a capture process died or hung", "restarted", H, "CAMERA PROCESS RESTARTING", "RC-01"),
    Event(
        "DEADLINE_MISSED",
        "a frame reached the screen after its deadline",
        "counted; mode DEGRADED when repeated",
        L,
        "PICTURE LATE",
        "RC-02",
    ),
    Event("DISPLAY_LOST", "the display process died or hung", "restarted", H, "DISPLAY RESTARTING", "RC-02"),
    # the models
    Event(
        "AI_LATE",
        "a required model's result was not there in time, three times within a second",
        "overlay held or withheld",
        M,
        "AI LATE",
        "RC-03",
    ),
    Event(
        "AI_INVALID",
        "a model's output holds NaN or infinity or has a wrong shape, three times within a second",
        "result refused",
        M,
        "AI OUTPUT INVALID",
        "RC-03",
    ),
    Event(
        "AI_FAILED",
        "a model's engine or decoder raised, three times within a second",
        "result refused",
        M,
        "AI FAILED",
        "RC-03",
    ),
    Event(
        "AI_INPUT_ABSENT",
        "an input of a model (a sensor, another stream, another model) has no value, three times within a second",
        "the model says nothing",
        M,
        "AI INPUT MISSING",
        "RC-03",
    ),
    Event("WORKER_LOST", "a worker died or hung", "restarted", M, "AI RESTARTING", "RC-03"),
    Event(
        "WORKER_GIVEN_UP",
        "a worker used up its restarts",
        "mode VIDEO_ONLY; DEGRADED while all required results still come",
        H,
        "AI OFF",
        "RC-03",
    ),
    # a candidate, beside the model shown
    Event(
        "CANDIDATE_PROPOSED",
        "a candidate is started; it runs in shadow",
        "never shown; its disagreement with the model shown is measured",
        Priority.NONE,
        "",
        "RC-07",
    ),
    Event(
        "CANDIDATE_SHOWN",
        "the candidate is shown, on trial",
        "the model before it goes on running, unseen",
        L,
        "AI MODEL ON TRIAL",
        "RC-07",
    ),
    Event(
        "CANDIDATE_TAKEN_BACK",
        "a health rule is violated, or on command",
        "the candidate ends; on trial the model before it is shown from the next frame on",
        L,
        "AI MODEL TAKEN BACK",
        "RC-07",
    ),
    Event(
        "CANDIDATE_KEPT",
        "the candidate is kept after its trial",
        "the model before it ends",
        Priority.NONE,
        "",
        "RC-07",
    ),
    Event(
        "SHADOW_LOST",
        "the process that measures a candidate died or hung",
        "restarted; it begins to count anew",
        Priority.NONE,
        "",
        "RC-07",
    ),
    # everything beside the frame path
    Event(
        "RECORDER_LOST",
        "the recorder or the recording died or hung",
        "restarted; goes on where the record ended",
        L,
        "RECORDING INTERRUPTED",
        "RC-05",
    ),
    Event(
        "RECORDER_BEHIND",
        "records or frames were not kept because the recorder or the recording was too slow",
        "counted, the gap is recorded",
        L,
        "RECORDING INCOMPLETE",
        "RC-05",
    ),
    Event(
        "DISK_FULL",
        "the recorder or the recording can't write",
        "retried; records wait in memory; dropped ones are counted, the gap is recorded",
        L,
        "DISK FULL: NOT RECORDING",
        "RC-05",
    ),
    Event(
        "DISK_SLOW",
        "a second's records are not safely on the disk after 2 s",
        "kept in memory meanwhile",
        L,
        "DISK SLOW: RECORDING LATE",
        "RC-05",
    ),
    Event(
        "TRAIL_DAMAGED",
        "the trail on the disk was changed since it was written",
        "kept for examination; a new one is begun",
        L,
        "RECORD DAMAGED",
        "RC-05",
    ),
    Event(
        "COUNTER_LOST",
        "the trail's monotonic counter could not be read or stepped",
        "the record goes on without it; that it was replaced by an older copy would not be noticed",
        L,
        "RECORD NOT COUNTED",
        "RC-05",
    ),
    Event("CONSOLE_LOST", "the console died or hung", "restarted", L, "CONSOLE RESTARTING", "RC-06"),
    Event("SCREEN_LOST", "a screen process died or hung", "restarted", L, "SCREEN OUTPUT RESTARTING", "RC-02"),
    Event(
        "PROCESS_GIVEN_UP", "a background process used up its restarts", "mode DEGRADED", L, "A SERVICE IS OFF", "RC-06"
    ),
    Event(
        "RING_CORRUPT",
        "a slot of shared memory does not verify",
        "spare header used, else the frame is skipped",
        M,
        "MEMORY ERROR CORRECTED",
        "RC-04",
    ),
    Event(
        "CLOCK_STEPPED",
        "the wall clock jumped against the monotonic clock",
        "none: deadlines use the monotonic clock",
        L,
        "WALL CLOCK STEPPED",
        "RC-05",
    ),
    Event(
        "CONFIG_CHANGED",
        "the device file on disk is no longer the one running",
        "none until the next start",
        L,
        "DEVICE FILE CHANGED ON DISK",
        "RC-04",
    ),
    # updates
    Event("UPDATE_FETCHED", "a release is on this device, whole", "what is active goes on", N, "", "RC-07"),
    Event("UPDATE_VERIFIED", "its signatures, names and counters hold", "what is active goes on", N, "", "RC-07"),
    Event("UPDATE_INSTALLED", "it is where bundles are loaded from", "what is active goes on", N, "", "RC-07"),
    Event("UPDATE_CHECKED", "it passed every checkpoint on this device", "what is active goes on", N, "", "RC-07"),
    Event("UPDATE_SHADOW", "it runs beside the active release", "it is not shown", N, "", "RC-07"),
    Event("UPDATE_COMPARED", "its shadow run is over, without a violation", "it waits for its trial", N, "", "RC-07"),
    Event("UPDATE_DEFERRED", "a person puts its trial off", "its trial does not begin before then", N, "", "RC-07"),
    Event("UPDATE_TRIED", "a procedure has ended while it was on trial", "counted", N, "", "RC-07"),
    Event("UPDATE_TRIAL", "a release is on trial", "it is shown, and goes at the first violation", N, "", "RC-07"),
    Event(
        "UPDATE_COMMITTED", "a trial was confirmed", "it is the active release; the floor rises to it", N, "", "RC-07"
    ),
    Event(
        "UPDATE_ROLLED_BACK",
        "a release on its way failed, was stopped or was given up",
        "what was active is shown; the reason is kept",
        L,
        "UPDATE ROLLED BACK",
        "RC-07",
    ),
    Event(
        "UPDATE_RESTORED",
        "by authorisation, or since the active release does not verify",
        "the previous release is active",
        L,
        "PREVIOUS MODEL RESTORED",
        "RC-07",
    ),
    Event(
        "UPDATE_REFUSED",
        "the repository, a download or a bundle did not hold",
        "what is active goes on",
        L,
        "UPDATE REFUSED",
        "RC-07",
    ),
    Event(
        "UPDATE_TRUST_LOST",
        "what was learnt from the repository was damaged",
        "learnt anew, and nothing older than was seen before",
        N,
        "",
        "RC-07",
    ),
    Event(
        "UPDATE_DAMAGED",
        "the active release does not verify, and there is no other",
        "no model runs",
        M,
        "MODEL DAMAGED",
        "RC-07",
    ),
    Event(
        "UPDATE_EVENTS_LOST",
        "the trail could not be written for long",
        "the oldest events go, counted",
        L,
        "UPDATE RECORD INCOMPLETE",
        "RC-07",
    ),
    # statistics: for service, never an alarm about a patient
    Event(
        "DRIFT",
        "at a procedure's end a chart is above its limit, until it has come down to half of it",
        "reported to service: what drifted, and since when",
        N,
        "",
        "RC-08",
    ),
    Event(
        "PICTURE_UNUSUAL",
        "for two half seconds the picture is black, still, or unlike all that the model was validated on",
        "reported, until it is over for two seconds",
        L,
        "CHECK CAMERA AND LENS",
        "RC-08",
    ),
    Event("MONITOR_LOST", "the monitor died or hung", "restarted; goes on with this procedure", N, "", "RC-08"),
    Event(
        "MONITOR_DAMAGED",
        "the monitor's memory on the disk was damaged",
        "put aside; a new one is begun",
        N,
        "",
        "RC-08",
    ),
    Event(
        "ASSISTANT_LOST",
        "the assistant's process or its guard died or hung",
        "the assistant is restarted; without a guard there is no model, and the template writes",
        N,
        "",
        "RC-08",
    ),
    # sensors
    Event(
        "SENSOR_LOST",
        "a sensor's process died or hung",
        "restarted; its stream is absent meanwhile",
        L,
        "SENSOR PROCESS RESTARTING",
        "RC-09",
    ),
    Event(
        "SENSOR_ABSENT",
        "a stream of samples has no value at a frame, three frames within a second",
        "each rule that reads it does what it says for that",
        L,
        "SENSOR WITHOUT A VALUE",
        "RC-09",
    ),
    Event(
        "SENSOR_CLOCK_STEPPED",
        "a source's clock jumped",
        "its samples are no values until its clock is known again",
        L,
        "SENSOR CLOCK STEPPED",
        "RC-09",
    ),
    Event(
        "UNPARTITIONED",
        "the operating system refused a real-time request",
        "runs on; deadlines are not protected",
        L,
        "REAL-TIME PROTECTION OFF",
        "RC-02",
    ),
)

EVENT_INDEX: dict[str, int] = {name: i for i, name in enumerate(EVENTS)}
"""The row of each event in the shared board; part of its layout."""
