"""What serving costs, what it survives, and how fast it is beside others. One command, a table for each part.

    python bench/serve.py [PART ...] [--quick]

Servers run in processes of their own; generator and servers share the machine, and each part says how much of it they
used. Without names all parts run, but for `kill`, which takes long, and `speed`, which wants the machine for itself.
"""

from __future__ import annotations

import argparse

from serving import kill, parts, speed

PARTS = {
    "overhead": parts.overhead,
    "events": parts.events,
    "streams": parts.streams,
    "overload": parts.overload,
    "aborts": parts.aborts,
    "speed": speed.speed,
    "threads": speed.threads,
    "kill": kill.kill,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="short, for a try")
    options = parser.parse_args()
    for name in options.parts or PARTS:
        print(f"== {name}: {PARTS[name].__doc__}", flush=True)
        PARTS[name](options.quick)


if __name__ == "__main__":
    main()
