"""What a frame costs while a long answer streams into a conversation of 500 turns: `python bench/frames.py`.

- Work is the processor time of the page's main thread from one frame to the next (Chromium's trace), which other
  programs on the machine do not lengthen; the interval between frames, which they do, stands beside it. Both are
  medians of the runs' percentiles.
- Server and browser are processes of their own; the model is a script that writes Markdown, a piece every 10 ms.

Needs playwright and a chromium on the path.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import shutil
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator
from operator import itemgetter
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright
from serving.process import running

from firesteel.backends import Delta, Request
from firesteel.server.run import run
from firesteel.server.settings import Settings

RUNS, TURNS = 5, 500
PIECE, PAUSE = 4, 0.01  # characters of a piece, seconds between two
WATCHED = 8  # seconds
BLOCK = (
    "### Part {0}\n\nA paragraph of **some** words with `code`, a [link](https://example.org) and *emphasis*, as "
    "answers have them: it goes on for a few lines, so that lines break and the page grows with each of them.\n\n"
    "- one\n- two\n\n```python\ndef part_{0}(count: int) -> str:\n    return 'a line of code' * count  # a comment\n"
    "```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n"
)
BEGUN = "".join(BLOCK.format(number) for number in range(20))  # said at once, so that the answer is long already
ANSWER = "".join(BLOCK.format(number) for number in range(20, 30))
CATEGORIES = ["toplevel", "devtools.timeline", "disabled-by-default-devtools.timeline"]
KINDS = {"script": ("FunctionCall", "EvaluateScript", "RunMicrotasks"), "style": ("UpdateLayoutTree",)}
KINDS |= {"layout": ("Layout",), "paint": ("PrePaint", "Paint", "Layerize", "Commit")}


class Writer:
    """A backend that writes the same answer again and again."""

    name, tokenizer, context, slots = "writer", None, None, 8

    async def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
        yield Delta(index=0, text=f" to=user<|message|>{BEGUN}", token_ids=(1,))
        text = f"{ANSWER}<|eot|>"
        for at in range(0, len(text), PIECE):
            await asyncio.sleep(PAUSE)
            yield Delta(index=0, text=text[at : at + PIECE], token_ids=(1,))
        yield Delta(index=0, finish_reason="stop", prompt_tokens=10)

    async def close(self) -> None:
        pass


def serve(data: Path) -> int:
    settings = Settings(port=0, backend="writer", data=data, drain_seconds=2, log_requests=False)
    logging.disable(logging.INFO)
    return run(settings, lambda url: print(url, flush=True), lambda _: Writer())


def thread_of(count: int) -> dict[str, Any]:
    """The file of a conversation of `count` turns."""

    def message(role: str, kind: str, text: str) -> dict[str, Any]:
        return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}

    turns = [
        {
            "id": f"resp_{number}",
            "previous": f"resp_{number - 1}" if number else None,
            "created_at": 1.7e9 + number,
            "status": "completed",
            "model": "writer",
            "input": [message("user", "input_text", f"question {number}")],
            "output": [message("assistant", "output_text", BLOCK.format(number))],
        }
        for number in range(count)
    ]
    head = {"object": "firesteel.thread", "version": 1, "created_at": 1.7e9, "title": "long", "settings": {}}
    return head | {"leaf": turns[-1]["id"], "turns": turns}


def watched(browser: Browser, url: str, trace: Path) -> tuple[list[float], list[float], Counter[str]]:
    """(work in ms of each frame, intervals in ms, work in ms by kind) of one answer."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    answer = page.request.post(f"{url}/v1/threads/import", data=thread_of(TURNS))
    page.goto(f"{url}/#/t/{answer.json()['id']}")
    page.get_by_text(f"question {TURNS - 1}").wait_for()
    page.locator("#composer").fill("write")
    page.keyboard.press("Enter")
    page.get_by_text("Part 20").wait_for()
    page.evaluate("""() => {
        window.times = [];
        const note = (now) => { window.times.push(now); requestAnimationFrame(note); };
        requestAnimationFrame(note);
    }""")
    browser.start_tracing(page=page, path=trace, categories=CATEGORIES)
    page.wait_for_timeout(WATCHED * 1000)
    times = page.evaluate("times")
    browser.stop_tracing()
    page.close()
    work, kinds = read(json.loads(trace.read_text())["traceEvents"])
    return work, [after - before for before, after in itertools.pairwise(times)], kinds


def read(events: list[dict[str, Any]]) -> tuple[list[float], Counter[str]]:
    """Work of each frame, and of all by kind, in ms, on the main thread that had the most of it."""
    tasks = sorted((each for each in events if each["name"] == "RunTask" and "tdur" in each), key=itemgetter("ts"))
    names = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}
    used: Counter[tuple[int, int]] = Counter()
    for task in tasks:
        if names.get((task["pid"], task["tid"])) == "CrRendererMain":
            used[task["pid"], task["tid"]] += task["tdur"]
    main = used.most_common(1)[0][0]
    mine = [event for event in events if (event["pid"], event["tid"]) == main]
    frames = [event["ts"] for event in mine if event["name"] == "FireAnimationFrame"]
    work, spent = [], 0.0
    for task in tasks:
        if (task["pid"], task["tid"]) != main:
            continue
        spent += task["tdur"] / 1000
        if any(task["ts"] <= at <= task["ts"] + task["dur"] for at in frames):
            work.append(spent)
            spent = 0.0
    kinds: Counter[str] = Counter()
    for kind, members in KINDS.items():
        kinds[kind] = sum(event.get("tdur", 0) for event in mine if event["name"] in members) / 1000 / len(work)
    return work[1:], kinds


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))]


def main() -> None:
    chromium = shutil.which("chromium")
    assert chromium, "a chromium is needed on the path"
    rows, kinds = [], Counter[str]()
    with (
        tempfile.TemporaryDirectory() as folder,
        running("frames.py", "serve", f"{folder}/data") as server,
        sync_playwright() as playwright,
    ):
        url = f"http://{server.host}:{server.port}"
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for number in range(RUNS):
            work, intervals, found = watched(browser, url, Path(folder) / "trace.json")
            rows.append([percentile(each, share) for each in (work, intervals) for share in (0.5, 0.95, 0.99)])
            kinds += found
            print(f"run {number + 1}: {len(work)} frames;", " ".join(f"{value:.1f}" for value in rows[-1]), flush=True)
        browser.close()
    middle = [statistics.median(column) for column in zip(*rows, strict=True)]
    print("work of a frame, ms:      p50 {:.1f}  p95 {:.1f}  p99 {:.1f}".format(*middle[:3]))
    print("between two frames, ms:   p50 {:.1f}  p95 {:.1f}  p99 {:.1f}".format(*middle[3:]))
    print("of the work, mean ms:    ", "  ".join(f"{kind} {spent / RUNS:.2f}" for kind, spent in kinds.items()))


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        sys.exit(serve(Path(sys.argv[2])))
    main()
