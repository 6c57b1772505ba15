"""Reads one request (JSON) from standard input, locks itself in, runs the code. A script, not a module.

The order matters: limits, then privileges (only who cannot gain any may lock files without rights), then files
(Landlock, where asked), then system calls (seccomp); only then the code. What the locked process needs later (the
interpreter's library, packages) is named in the request as readable.

No pathlib, no typing: they would cost milliseconds at every start.

Sources: landlock(7) and linux/landlock.h, prctl(2), capset(2).
"""

# ruff: noqa: PTH100, PTH103, PTH110, PTH112, PTH118, PTH120
from __future__ import annotations

import ctypes
import json
import os
import resource
import struct
import sys

LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446  # the same numbers on all architectures
LANDLOCK_ASK_VERSION, LANDLOCK_OLDEST = 1, 3
SET_PDEATHSIG, SET_SECCOMP, SET_NO_NEW_PRIVS, SECCOMP_FILTER = 1, 22, 38, 2
SIGKILL = 9

# Landlock's rights on files, by bit. Executing (0) is given to nothing: mapping a library does not need it.
WRITE, READ, LIST, TRUNCATE = 1 << 1, 1 << 2, 1 << 3, 1 << 14
ON_FILES = WRITE | READ | TRUNCATE
# Writing, reading, listing, removing (4, 5), making folders (7) and files (8), moving between folders (13).
IN_FOLDER = WRITE | READ | LIST | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 13 | TRUNCATE

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> int:
    """Raises OSError if a system call failed: a lock that does not close must end the run."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def limit(request: dict) -> None:
    """CPU seconds, bytes of memory and of one file, open files, processes with threads; no core dumps."""
    for kind, most in (
        (resource.RLIMIT_CPU, request["cpu"]),
        (resource.RLIMIT_AS, request["memory"]),
        (resource.RLIMIT_FSIZE, request["file"]),
        (resource.RLIMIT_NOFILE, request["descriptors"]),
        (resource.RLIMIT_NPROC, request["processes"]),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        if most is not None:
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(kind, (most, most))


def restrict_files(read: list[str], write: list[str], abi: int | None) -> None:
    """Landlock: only `read` may be read and only `write` written; nothing executed, no TCP, no abstract socket.

    Without `abi` the kernel is asked, and nothing is restricted where it has too old a one: a container does without.
    """
    if abi is None:
        abi = libc.syscall(LANDLOCK_CREATE, None, 0, LANDLOCK_ASK_VERSION)
        if abi < LANDLOCK_OLDEST:
            return
    rights = (1 << {3: 15, 4: 15}.get(abi, 16)) - 1  # bit 15, ioctl on devices, came with ABI 5
    net, scope = (3 if abi >= 4 else 0), (3 if abi >= 6 else 0)
    attributes = struct.pack("<QQQ", rights, net, scope)[: 24 if abi >= 6 else 16 if abi >= 4 else 8]
    ruleset = check(libc.syscall(LANDLOCK_CREATE, attributes, len(attributes), 0), "landlock_create_ruleset")
    for paths, allowed in ((read, READ | LIST), (write, IN_FOLDER)):
        for path in paths:
            if not os.path.exists(path):
                continue
            beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
            rule = struct.pack("<Qi", allowed if os.path.isdir(path) else allowed & ON_FILES, beneath)
            check(libc.syscall(LANDLOCK_ADD, ruleset, 1, rule, 0), "landlock_add_rule")
            os.close(beneath)
    check(libc.syscall(LANDLOCK_RESTRICT, ruleset, 0), "landlock_restrict_self")
    os.close(ruleset)


def give_up_privileges() -> None:
    """No capability, and no way to get one. With root's user id, files still belong to root: Landlock guards them."""
    check(libc.prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    version_3_of_this_process = struct.pack("<Ii", 0x20080522, 0)
    check(libc.capset(version_3_of_this_process, bytes(24)), "capset")


def restrict_calls(program: bytes) -> None:
    """Installs the seccomp filter, an array of `struct sock_filter` (8 bytes each)."""
    buffer = ctypes.create_string_buffer(program, len(program))
    argument = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    check(libc.prctl(SET_SECCOMP, SECCOMP_FILTER, argument, 0, 0), "seccomp")


def prepare(request: dict) -> None:
    """The environment of the code, in place of the empty one that the process was started with."""
    os.chdir(request["folder"])
    scratch = os.path.join(request["folder"], request["scratch"])
    os.makedirs(scratch, exist_ok=True)
    os.environ.update(
        HOME=request["folder"],
        TMPDIR=scratch,
        MPLCONFIGDIR=scratch,
        MPLBACKEND="module://firesteel_figures",
        LANG="C.UTF-8",
        OPENBLAS_NUM_THREADS="1",  # each thread reserves memory that counts
        OMP_NUM_THREADS="1",
    )
    # The folder comes late: a file of the conversation named random.py must not stand in for the library's. But its
    # main.py comes before this one.
    jail = sys.path.pop()
    sys.path += [*request["packages"], request["folder"], jail]
    sys.argv = ["<code>"]


def main() -> int:
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))  # an isolated interpreter does not look there itself
    import firesteel_cell  # a name that no file of a conversation has

    request = json.load(sys.stdin)
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    limit(request)
    give_up_privileges()
    if request["landlock"]:
        restrict_files(**request["landlock"])
    if request["parent"]:
        check(libc.prctl(SET_PDEATHSIG, SIGKILL, 0, 0, 0), "parent death signal")
        if os.getppid() != request["parent"]:
            return 1  # The harness ended before the line above: nobody waits for this run.
    restrict_calls(bytes.fromhex(request["seccomp"][os.uname().machine]))
    prepare(request)
    return firesteel_cell.run(request["code"])


if __name__ == "__main__":
    sys.exit(main())
