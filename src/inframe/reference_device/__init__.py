"""The reference device: a rendered procedure and models trained on renderings.

For demonstration and test, never for clinical use.
"""

from pathlib import Path


def device_file() -> Path:
    """Its device file; what it names lies beside it."""
    return Path(__file__).parent / "device.yaml"


def truth_file() -> Path:
    """What is true of each frame of its procedure."""
    return Path(__file__).parent / "procedure.npz"
