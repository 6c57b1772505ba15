"""`transformers serve` in a process of its own, which tells when it answers.

    python -m serving.hf DIRECTORY

The model's processor of pictures needs torchvision; nobody sends pictures here, so the tokenizer stands in for it.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
import urllib.error
import urllib.request

import transformers
from transformers.cli.transformers import main as command


def tell(url: str) -> None:
    """Prints the URL as soon as it answers."""
    while True:
        try:
            with urllib.request.urlopen(f"{url}/health"):
                break
        except urllib.error.URLError:
            time.sleep(0.2)
    print(url, flush=True)


def main() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    transformers.AutoProcessor = transformers.AutoTokenizer
    threading.Thread(target=tell, args=[f"http://127.0.0.1:{port}"], daemon=True).start()
    sys.argv = ["transformers", "serve", sys.argv[1], "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    command()


if __name__ == "__main__":
    main()
