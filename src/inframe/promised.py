"""The process of the checkpoint `acceptance` where the locked cases are those of a revalidation: what each bundle of a release
promises of itself on them, asked by `revalidation.accepting`. Its last word is one line of JSON, as `validation` has it."""

import json
import os
from pathlib import Path

from inframe.core.errors import InframeError, one_line
from inframe.machine.child import ChildContext
from inframe.revalidation.accepting import accept


def main(ctx: ChildContext) -> None:
    """The process's life. `bundles`: name -> SHA-256; they lie in `store` under it."""
    import cv2

    cv2.setNumThreads(1)
    passed, reason = _asked(dict(ctx.args["bundles"]), Path(ctx.args["store"]), Path(ctx.args["cases"]))
    os.write(ctx.fds["answer"], json.dumps({"passed": passed, "reason": one_line(reason, 400)}).encode() + b"\n")


def _asked(bundles: dict[str, str], store: Path, cases: Path) -> tuple[bool, str]:
    try:
        for name, digest in bundles.items():
            if lines := accept(store / digest, digest, cases):
                return False, f"{name}: {'; '.join(lines)}"
    except InframeError as error:  # bundle or cases are refused: that is the answer
        return False, str(error)
    except MemoryError:
        return False, "found no more memory for the locked cases, expected that worker_memory_mb is enough"
    return True, f"{', '.join(bundles)}: all criteria on the locked cases {cases.name}"
