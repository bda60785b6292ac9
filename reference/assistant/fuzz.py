"""Damaged GGUF files, each read in a box of its own: whatever becomes of the box, this process goes on.

python -m reference.assistant.fuzz --files 500
"""

import argparse
import random
import tempfile
from collections import Counter
from pathlib import Path

from inframe.assistant import package
from inframe.assistant.box import Box
from inframe.assistant.drafting import WriterGone
from inframe.bundle.sealed import seal
from inframe.core.errors import DeviceFault
from inframe.machine.walls import Limits

HEAD = 30_000
"""Where the header, the vocabulary and the tensors' descriptions are."""


def damaged(good: bytes, rng: random.Random) -> bytes:
    """Cut off or whole, with some bytes changed, most of them in the head."""
    bad = bytearray(good[: rng.randrange(8, len(good))] if rng.random() < 0.3 else good)
    for _ in range(rng.randint(1, 40)):
        bad[rng.randrange(min(len(bad), HEAD if rng.random() < 0.8 else len(bad)))] = rng.randrange(256)
    return bytes(bad)


def outcome(model: bytes, folder: Path) -> str:
    """What became of one."""
    (folder / "bad.gguf").write_bytes(model)
    sealed = seal(folder / "bad.gguf", 1 << 30)
    try:
        with Box(sealed.fd, Limits(512, is_idle=False)) as box:
            list(box.write("x\n", None, 50))
    except DeviceFault as error:
        return f"not loaded: {str(error)[-60:]}"
    except WriterGone as error:
        return f"no text: {str(error)[-60:]}"
    finally:
        sealed.close()
    return "written"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with package.shipped() as model:
        good = bytes(model.sealed.view)
    rng, found = random.Random(options.seed), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.files):
            found[outcome(damaged(good, rng), Path(folder))] += 1
    for what, times in found.most_common():
        print(f"{times:6} {what}")


if __name__ == "__main__":
    main()
