"""Loads damaged models one after the other: ``python -m tests.drivers.engines.fuzz ENGINE FIRST LAST``; prints each number first.

A process of its own, as a worker is: OpenVINO 2026.4's reader was seen to end in a segmentation fault on changed bytes. The
device survives that because it loads models in children only; a test in the test runner's own process would not.
"""

import random
import sys

from inframe.core.config import EngineConfig
from inframe.core.errors import ConfigError, DeviceFault
from inframe.drivers.engines import load_engine
from inframe.drivers.onnxfile import read_facts
from tests.drivers import onnx_models as om


def damaged(number: int) -> bytes:
    """Case `number`: random bytes, or a sound model with up to four bytes changed."""
    rng = random.Random(number)
    if number % 3 == 0:
        return rng.randbytes(rng.randrange(300))
    data = bytearray(om.convolution(labels=2, size=4))
    for _ in range(rng.randint(1, 4)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def attempt(data: bytes, name: str) -> None:
    """Whatever is refused is refused in one line. Any other exception ends the process."""
    config = EngineConfig.model_validate({"name": name})
    for read in (lambda: load_engine(data, "m.onnx", config).close(), lambda: read_facts(data, "m.onnx")):
        try:
            read()
        except (ConfigError, DeviceFault) as error:
            if "\n" in str(error):
                raise RuntimeError("more than one line") from error


if __name__ == "__main__":
    for number in range(int(sys.argv[2]), int(sys.argv[3])):
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
        attempt(damaged(number), sys.argv[1])
