"""inframe: AI inference on medical devices, within the current video frame. Not a cleared medical device.

Vendors' telemetry is silenced here, before any of their modules can be imported: this is the first file of ours that any
process runs. ONNX Runtime >= 1.29 opens a telemetry database and resolves a vendor host unless told otherwise before its
import; OpenVINO's Python tools import `openvino_telemetry`, which is kept from being found.
"""

import os
import sys

__version__ = "0.1.0"

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None makes the import fail at once
