"""The text of a PDF, read by pypdf in a process of its own.

A hostile file can make any PDF reader loop or swell, so the child has a deadline and, where the system knows such
limits, one for its memory. It prints its pages as JSON.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

SECONDS = 20.0
MEMORY = 1_000_000_000  # bytes
MOST_PAGES = 200


def pages_of_pdf(data: bytes) -> list[str]:
    """The text of each page, at most 200. Blocks; raises ValueError for a file that cannot be read in 20 seconds."""
    if importlib.util.find_spec("pypdf") is None:
        raise ValueError("Reading a PDF needs the web extra: pip install 'firesteel[web]'.")
    try:
        child = subprocess.run(
            [sys.executable, "-P", Path(__file__)], input=data, capture_output=True, timeout=SECONDS, check=True
        )
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
        raise ValueError("The PDF could not be read: it is damaged, encrypted or too large.") from error
    pages: list[str] = json.loads(child.stdout)
    return pages


def main() -> None:
    from io import BytesIO

    from pypdf import PdfReader

    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    document = PdfReader(BytesIO(sys.stdin.buffer.read()))
    count = len(document.pages)
    pages = [document.pages[index].extract_text() for index in range(min(count, MOST_PAGES))]
    if count > MOST_PAGES:
        pages.append(f"[The rest, {count - MOST_PAGES} pages, is left out.]")
    sys.stdout.write(json.dumps(pages))


if __name__ == "__main__":
    main()
