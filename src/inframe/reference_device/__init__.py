"""The reference device: a rendered procedure and models trained on renderings.

For demonstration and test, never for clinical use.
"""

from pathlib import Path


def device_file() -> Path:
    """Its device file; what it names lies beside it."""
    return Path(__file__).parent / "device.yaml"


def guidance_file() -> Path:
    """The same procedure with a robot's arm: rules on its tip, and a model of video and kinematics."""
    return Path(__file__).parent / "guidance.yaml"


def truth_file() -> Path:
    """What is true of each frame of its procedure."""
    return Path(__file__).parent / "procedure.npz"
