"""The kinematics of the demo procedure, as a robot would have recorded them: ``python -m reference.fusion.demo [--out FILE]``.

One arm holds the hook, and then the grasper. Its tip in the camera's axes, mm, 100 times a second, with the noise of a reading.
"""

import argparse
from pathlib import Path

import numpy as np

from reference.anomaly.pairs import Scene
from reference.guidance import NOISE_MM, tip_mm
from reference.render import DEMO, FPS, SEED

RATE_HZ, CHANGED_S = 100, 15.8
HOOK, GRASPER = 0, 2


def lines() -> list[str]:
    """The file; empty fields while the tool is out of the body."""
    scene, rng = Scene(SEED, DEMO, (36, 64), FPS), np.random.default_rng(SEED)
    made = ["time,x,y,z"]
    for k in range(int(DEMO.seconds * RATE_HZ)):
        t = k / RATE_HZ
        n = HOOK if t < CHANGED_S else GRASPER
        inside = DEMO.uses[n].enters < t < DEMO.uses[n].leaves
        at = np.array(tip_mm(scene, n, t)) + rng.normal(0, NOISE_MM, 3)
        made.append(f"{t:.2f}," + (",".join(f"{value:.2f}" for value in at) if inside else ",,"))
    return made


def main() -> None:
    """See the top."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("src/inframe/reference_device/pose.csv"))
    parser.parse_args().out.write_text("\n".join(lines()) + "\n")


if __name__ == "__main__":
    main()
