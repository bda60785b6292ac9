"""A real server of llama.cpp's, as `llama-server` is: the one within the xllamacpp wheel, in a process of its own, on loopback.
Says its port, and goes when its input ends. No test in here.
"""

import sys

import xllamacpp  # type: ignore[import-untyped]

from inframe import reference_device

if __name__ == "__main__":
    params = xllamacpp.CommonParams()
    params.model.path = f"{reference_device.__path__[0]}/assistant.gguf"
    params.n_ctx, params.n_parallel, params.cpuparams.n_threads, params.warmup = 1024, 1, 1, False
    server = xllamacpp.Server(params)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    sys.stdin.read()
