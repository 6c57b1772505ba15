"""`firesteel serve`: the server in this process, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import json
import sys

from firesteel.server import logs
from firesteel.server.names import name_of
from firesteel.server.run import run
from firesteel.server.settings import Settings


def serve(settings: Settings, log: str) -> None:
    """Prints where it listens and a question to paste, when it is ready. Exits with the server's code."""
    logs.set_up(log)
    model = settings.name or name_of(settings.backend)

    def ready(url: str) -> None:
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": "What is 47 + 86 + 19?"}]})
        print(f"{model} is at {url} in a browser and at {url}/v1 for programs; try: {_curl(url, body)}", flush=True)

    sys.exit(run(settings, ready))


def _curl(url: str, body: str) -> str:
    return f"curl -s {url}/v1/chat/completions -H 'content-type: application/json' -d '{body}'"
