"""`firesteel serve`: the server in this process, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import json
import sys

from firesteel.agent.toolbox import HELP, NAMES
from firesteel.format import strength_number
from firesteel.server import logs
from firesteel.server.names import name_of
from firesteel.server.responses.events import DIALECTS
from firesteel.server.run import run
from firesteel.server.settings import Settings


def serve(settings: Settings, log: str) -> None:
    """Prints where it listens and a question to paste, when it is ready. Exits with the server's code.

    Raises ValueError, before it listens, for options that would only fail with a request.
    """
    _check(settings)
    logs.set_up(log)
    model = settings.name or name_of(settings.backend)

    def ready(url: str) -> None:
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": "What is 47 + 86 + 19?"}]})
        print(f"{model} is at {url} in a browser and at {url}/v1 for programs; try: {_curl(url, body)}", flush=True)

    sys.exit(run(settings, ready))


def _check(settings: Settings) -> None:
    strength_number(settings.strength)
    if settings.raw_reasoning not in DIALECTS:
        raise ValueError(f"--raw-reasoning is one of {', '.join(DIALECTS)}, not {settings.raw_reasoning}.")
    for tool in settings.tools:
        if tool.partition(":")[0] not in NAMES:
            raise ValueError(f"There are no tools {tool}; there are: {HELP}.")


def _curl(url: str, body: str) -> str:
    return f"curl -s {url}/v1/chat/completions -H 'content-type: application/json' -d '{body}'"
