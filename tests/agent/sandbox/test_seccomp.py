import re
import struct
from pathlib import Path

import pytest

from firesteel.agent.sandbox import seccomp

CALLS = seccomp.numbers(seccomp._CALLS) | seccomp.numbers(seccomp._ACTED) | seccomp.numbers(seccomp._MISSING)
ALLOW, ACTED, EPERM, ENOSYS, KILL = 0x7FFF0000, 0x00050000, 0x00050001, 0x00050026, 0x80000000
INTEL, ARM = 0xC000003E, 0xC00000B7


def decide(machine, arch, number, *arguments):
    """Runs the filter, as the kernel would, on a call."""
    program = seccomp.program(machine)
    data = struct.pack("<IIQ6Q", number, arch, 0, *[a % 2**64 for a in (*arguments, *[0] * (6 - len(arguments)))])
    accumulator = line = 0
    while True:
        code, true, false, constant = struct.unpack_from("<HBBI", program, 8 * line)
        line += 1
        if code == 0x20:
            accumulator = struct.unpack_from("<I", data, constant)[0]
        elif code == 0x54:
            accumulator &= constant
        elif code == 0x15:
            line += true if accumulator == constant else false
        else:
            assert code == 0x06
            return constant


def intel(name, *arguments):
    return decide("x86_64", INTEL, CALLS[name][0], *arguments)


def test_listed_calls_are_allowed_and_acted_ones_acted():
    for machine, arch, column in (("x86_64", INTEL, 0), ("aarch64", ARM, 1)):
        assert decide(machine, arch, CALLS["read"][column]) == ALLOW
        assert decide(machine, arch, CALLS["fchmodat"][column]) == ACTED
        assert decide(machine, arch, CALLS["clone3"][column]) == ENOSYS


@pytest.mark.parametrize(
    "number", [57, 58, 59, 322, 41, 42, 49, 62, 200, 234, 101, 165, 161, 272, 308, 310, 321, 425, 434, 88, 86, 133, 319]
)
def test_unlisted_calls_are_refused(number):
    """fork, vfork, exec, socket, connect, bind, kill, ptrace, mount, links, memory files and the like."""
    assert decide("x86_64", INTEL, number) == EPERM


def test_other_architectures_are_killed():
    assert decide("x86_64", 0x40000003, 20) == KILL
    assert decide("x86_64", INTEL, 0x40000000 + 41) == EPERM


def test_clone_makes_threads_only():
    assert intel("clone", 0x3D0F00) == ALLOW
    assert intel("clone", 17) == EPERM
    assert intel("clone", 0x3D0F00 | 0x10000000) == EPERM


@pytest.mark.parametrize("left_out", [0x100, 0x200, 0x400, 0x800])
def test_a_thread_shares_memory_and_descriptors(left_out):
    assert intel("clone", 0x3D0F00 & ~left_out) == EPERM


def test_memory_is_not_shared_unless_it_is_a_files():
    private, shared, shared_checked, anonymous = 0x02, 0x01, 0x03, 0x20
    for flags in (private, shared, shared_checked, private | anonymous, private | anonymous | 0x20000):
        assert intel("mmap", 0, 4096, 3, flags) == ALLOW
    for flags in (shared | anonymous, shared_checked | anonymous, shared | anonymous | 0x40000):
        assert intel("mmap", 0, 4096, 3, flags) == EPERM


@pytest.mark.parametrize(("name", "before"), [("open", ()), ("openat", (3,))])
def test_no_file_is_made_that_runs_as_its_owner(name, before):
    create, nameless, write = 0o100, 0o20200000, 0o1
    assert intel(name, *before, 0, write | create, 0o666) == ALLOW
    assert intel(name, *before, 0, write, 0o4755) == ALLOW  # nothing is made: what stands there means nothing
    for making in (create, nameless):
        for mode in (0o4755, 0o2755, 0o1755):
            assert intel(name, *before, 0, write | making, mode) == EPERM
    assert intel("creat", 0, 0o644) == ALLOW
    assert intel("creat", 0, 0o4755) == EPERM


def test_arguments_are_checked():
    assert intel("socketpair", 1, 1 | 0o2000000) == ALLOW
    assert intel("socketpair", 1, 2) == EPERM
    assert intel("socketpair", 2, 1) == EPERM
    assert intel("sendto", 3, 0, 1, 0, 0) == ALLOW
    assert intel("sendto", 3, 0, 1, 0, 1 << 40) == EPERM
    assert intel("prlimit64", 0, 9, 0) == ALLOW
    assert intel("prlimit64", 0, 9, 1 << 33) == EPERM
    assert intel("prlimit64", 5, 9, 0) == EPERM
    assert intel("fcntl", 3, 3) == ALLOW
    assert intel("fcntl", 3, 8) == EPERM
    assert intel("ioctl", 0, 0x5401) == ALLOW
    assert intel("ioctl", 0, 0x5412) == EPERM
    assert intel("renameat2", 3, 0, 3, 0, 2) == ALLOW
    assert intel("renameat2", 3, 0, 3, 0, 4) == EPERM
    assert intel("prctl", 15) == ALLOW
    assert intel("prctl", 1) == EPERM


@pytest.mark.parametrize(
    ("header", "column"),
    [("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", 0), ("/usr/include/asm-generic/unistd.h", 1)],
)
def test_the_numbers_are_the_kernels(header, column):
    if not Path(header).exists():
        pytest.skip(f"There is no {header} here.")
    text = Path(header).read_text()
    known = {name: int(number) for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text)}
    known |= {"newfstatat": known["fstatat"]} if "fstatat" in known else {}
    for name, pair in CALLS.items():
        if pair[column] is not None and name in known:
            assert pair[column] == known[name], name


def test_an_unknown_machine_has_no_filter():
    with pytest.raises(ValueError, match="no seccomp filter for riscv64"):
        seccomp.program("riscv64")
