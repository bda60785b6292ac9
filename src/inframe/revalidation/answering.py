"""A job in JSON -> its tally in JSON, or why there is none. What a process of this machine and a task of a cluster both call: text
goes there and text comes back, and nothing is unpickled that a stranger could have written."""

import json

from inframe.core.errors import BundleError, ConfigError, DeviceFault, InframeError
from inframe.revalidation.measuring import Job, measure
from inframe.revalidation.tally import Tally


def answer(job: str) -> str:
    """`{"tally": …}` or `{"error": …}`; never raises for what is wrong with a case or a bundle."""
    try:
        return json.dumps({"tally": measure(Job.model_validate_json(job)).model_dump_json()})
    except (ConfigError, BundleError) as error:
        where = error.where if isinstance(error, ConfigError) else error.file
        return json.dumps({"error": [where, error.field, str(error.found), error.expected]})
    except (InframeError, OSError, MemoryError) as error:
        return json.dumps({"fault": f"{type(error).__name__}: {error}"})


def tally_of(said: str) -> Tally:
    """What was answered. Raises ConfigError, DeviceFault."""
    found = json.loads(said)
    if "error" in found:
        raise ConfigError(*found["error"])
    if "fault" in found:
        raise DeviceFault(f"a case could not be measured: {found['fault']}")
    return Tally.model_validate_json(found["tally"], strict=True)
