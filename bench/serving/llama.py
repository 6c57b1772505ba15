"""The stock llama.cpp server in a process of its own, with its defaults but for what a comparison must fix.

python -m serving.llama MODEL.gguf --slots 8 --context 1024 --threads 2
"""

from __future__ import annotations

import argparse
import signal

import xllamacpp


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--slots", type=int, required=True)
    parser.add_argument("--context", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    params = xllamacpp.CommonParams()
    params.verbosity = -1
    params.model.path = options.model
    params.n_parallel = options.slots
    params.n_ctx = options.slots * options.context
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = options.threads
    params.n_gpu_layers = 0
    params.special = True  # control tokens are part of what is said
    params.ui = False
    params.port = 0
    server = xllamacpp.Server(params)
    address = server.listening_address
    print(address if isinstance(address, str) else address.decode(), flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    main()
