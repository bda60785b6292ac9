"""Many cases: in processes of this machine, or as tasks of a Ray cluster. Answers come in any order, and add up to the same.

A worker is a fresh interpreter (decision 6) with one thread, so as many as there are cores do not stand in each other's way.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from queue import Queue

from inframe.core.errors import ConfigError, DeviceFault, one_line
from inframe.revalidation.answering import answer, tally_of
from inframe.revalidation.measuring import Job
from inframe.revalidation.tally import Tally

_COMMAND = (sys.executable, "-m", "inframe.revalidation.worker")
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
Answer = tuple[Job, Tally]


def measure_here(jobs: Sequence[Job], workers: int) -> Iterator[Answer]:
    """In `workers` processes. Raises ConfigError for a case or bundle that is wrong, DeviceFault for a worker that died."""
    todo, done = iter(jobs), Queue[tuple[Job, str | None]]()
    lock, processes = threading.Lock(), [_start() for _ in range(min(workers, len(jobs)))]
    threads = [threading.Thread(target=_feed, args=(p, todo, lock, done), daemon=True) for p in processes]
    try:
        for thread in threads:
            thread.start()
        for _ in jobs:
            job, said = done.get()
            if said is None:
                raise DeviceFault(f"the process that measured {job.case} died: memory, or a fault in an engine")
            yield job, tally_of(said)
    finally:  # also when the one who asks has had enough
        for process in processes:
            process.kill()
            process.wait()
        for thread in threads:
            thread.join()
        for process in processes:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


def _start() -> subprocess.Popen[str]:
    environment = {**os.environ, **_ONE_THREAD}
    return subprocess.Popen(_COMMAND, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def _feed(
    process: subprocess.Popen[str], todo: Iterator[Job], lock: threading.Lock, done: "Queue[tuple[Job, str | None]]"
) -> None:
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("a worker has both pipes")
    while True:
        with lock:
            job = next(todo, None)
        if job is None:
            return
        try:
            process.stdin.write(job.model_dump_json() + "\n")
            process.stdin.flush()
            said = process.stdout.readline()
        except (OSError, ValueError):  # it died, or was killed as others have failed
            said = ""
        done.put((job, said if said.endswith("\n") else None))
        if not said.endswith("\n"):
            return


def measure_on_ray(jobs: Sequence[Job], address: str) -> Iterator[Answer]:
    """On the cluster at `address` ("auto": the one that this machine belongs to), whose machines see bundle and cases under the
    same paths. Raises ConfigError, DeviceFault."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # it would phone home
    try:
        import ray
    except ImportError:
        raise ConfigError("inframe revalidate", "--ray", "Ray is not installed", "the extra `ray`") from None
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(
            "inframe revalidate", "--ray", one_line(error), "the address of a Ray cluster, or auto"
        ) from None
    try:
        task = ray.remote(num_cpus=1, max_retries=3)(answer)
        waiting = {task.remote(job.model_dump_json()): job for job in jobs}
        while waiting:
            ready, _ = ray.wait(list(waiting))
            for one in ready:
                job = waiting.pop(one)
                yield job, tally_of(_got(ray, one, job))
    finally:
        ray.shutdown()


def _got(ray: object, reference: object, job: Job) -> str:
    try:
        return str(ray.get(reference))  # type: ignore[attr-defined]  # the module, imported late
    except Exception as error:  # noqa: BLE001  # Ray wraps whatever ended a task: a lost machine, no memory
        raise DeviceFault(f"the task that measured {job.case} failed: {one_line(error)}") from None
