"""The list of system calls that jailed Python may make, as a seccomp filter for x86-64 and aarch64.

- A list of what is allowed, not of what is forbidden: a call that the kernel learns tomorrow is refused.
- One process with threads, nothing else: no fork, no exec, so nothing can outlive the run or leave its process group.
- No socket but a connected pair (asyncio needs one); no signal to anyone; no symbolic or hard link; no file of
  memory; no change of limits, priorities or of who gets the signals of a descriptor.
- No shared memory without a file: it outlives its mapping as long as one page is mapped, so that the limit on mapped
  memory would not hold it. No thread with a table of descriptors of its own, where nobody would look for open files.
- No file that runs with its owner's rights (set-uid), no device through the back door of a renaming (whiteout).
- Changes of owner, mode and times report success and do nothing: Landlock does not cover them, and copying a file
  (`shutil.copy2`) must work. The same for listing extended attributes: there are none.

Sources: seccomp(2), linux/filter.h, the kernel's tables of system calls.
"""

from __future__ import annotations

import functools
import os
import struct
import sys

# name, its number on x86-64, its number on aarch64; "-" where the architecture has no such call.
_CALLS = """
read 0 63; write 1 64; readv 19 65; writev 20 66; pread64 17 67; pwrite64 18 68; preadv 295 69; pwritev 296 70;
lseek 8 62; close 3 57; close_range 436 436; dup 32 23; dup2 33 -; dup3 292 24; pipe 22 -; pipe2 293 59;
fsync 74 82; fdatasync 75 83; sendfile 40 71; copy_file_range 326 285; ftruncate 77 46; truncate 76 45;
fadvise64 221 223; flock 73 32; poll 7 -; ppoll 271 73; select 23 -; pselect6 270 72; epoll_create 213 -;
epoll_create1 291 20; epoll_ctl 233 21; epoll_wait 232 -; epoll_pwait 281 22; epoll_pwait2 441 441; eventfd 284 -;
eventfd2 290 19; timerfd_create 283 85; timerfd_settime 286 86; timerfd_gettime 287 87; open 2 -; openat 257 56;
creat 85 -; stat 4 -; lstat 6 -; fstat 5 80; newfstatat 262 79; statx 332 291; access 21 -; faccessat 269 48;
faccessat2 439 439; readlink 89 -; readlinkat 267 78; getdents 78 -; getdents64 217 61; getcwd 79 17; chdir 80 49;
fchdir 81 50; mkdir 83 -; mkdirat 258 34; rmdir 84 -; unlink 87 -; unlinkat 263 35; rename 82 -; renameat 264 38;
renameat2 316 276; umask 95 166; statfs 137 43; fstatfs 138 44; brk 12 214; mmap 9 222; munmap 11 215;
mremap 25 216; mprotect 10 226; madvise 28 233; msync 26 227; mincore 27 232; membarrier 324 283; futex 202 98;
set_robust_list 273 99; rseq 334 293; set_tid_address 218 96; gettid 186 178; exit 60 93; exit_group 231 94;
sched_yield 24 124; sched_getaffinity 204 123; sched_getparam 143 121; sched_getscheduler 145 120;
sched_get_priority_max 146 125; sched_get_priority_min 147 126; getcpu 309 168; rt_sigaction 13 134;
rt_sigprocmask 14 135; rt_sigreturn 15 139; rt_sigpending 127 136; rt_sigtimedwait 128 137; rt_sigsuspend 130 133;
sigaltstack 131 132; pause 34 -; restart_syscall 219 128; alarm 37 -; setitimer 38 103; getitimer 36 102;
clock_gettime 228 113; clock_getres 229 114; clock_nanosleep 230 115; nanosleep 35 101; gettimeofday 96 169;
time 201 -; times 100 153; getpid 39 172; getppid 110 173; getuid 102 174; geteuid 107 175; getgid 104 176;
getegid 108 177; getresuid 118 148; getresgid 120 150; getgroups 115 158; getpgrp 111 -; getrlimit 97 163;
getrusage 98 165; sysinfo 99 179; uname 63 160; getrandom 318 278; wait4 61 260; waitid 247 95; recvfrom 45 207;
shutdown 48 210; getsockname 51 204; getpeername 52 205; getsockopt 55 209; clone 56 220; fcntl 72 25; ioctl 16 29;
prctl 157 167; prlimit64 302 261; sendto 44 206; socketpair 53 199
"""
_ACTED = """
chmod 90 -; fchmod 91 52; fchmodat 268 53; fchmodat2 452 452; chown 92 -; fchown 93 55; lchown 94 -; fchownat 260 54;
utime 132 -; utimes 235 -; utimensat 280 88; futimesat 261 -; listxattr 194 11; llistxattr 195 12; flistxattr 196 13
"""
_MISSING = "clone3 435 435"  # its flags lie in memory, where no filter reads them; the C library falls back to clone

_THREAD, _NEW_NAMESPACE = 0x00010F00, 0x7E020080  # a thread shares memory, files, working folder and signals
_ALL = 0xFFFFFFFF
_UNIX, _STREAM, _SOCKET_KIND = 1, 1, 0xF
_DUP_LOCKS_FLAGS = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030)  # fcntl: no owner of signals, no lease, no notification
_TERMINAL_AND_FLAGS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # ioctl: TCGETS, TIOCGWINSZ, FIONREAD, FIO*
_SET_NAME = 15
_SHARED_ANONYMOUS, _SHARED, _ANONYMOUS = 0x21, 0x01, 0x20
_MAKES_FILE, _SPECIAL_MODE = 0o20000100, 0o7000  # O_CREAT and O_TMPFILE; set-uid, set-gid, sticky
_NO_REPLACE, _EXCHANGE = 1, 2

# A condition is (word, mask, values); word 2n is the low half of argument n. A choice is conditions that all hold.
Choice = tuple[tuple[int, int, tuple[int, ...]], ...]

# What an allowed call must fulfil besides: one of the choices.
_CHOICES: dict[str, tuple[Choice, ...]] = {
    "clone": (((0, _THREAD | _NEW_NAMESPACE, (_THREAD,)),),),
    "creat": (((2, _SPECIAL_MODE, (0,)),),),
    "fcntl": (((2, _ALL, _DUP_LOCKS_FLAGS),),),
    "ioctl": (((2, _ALL, _TERMINAL_AND_FLAGS),),),
    "mmap": (((6, _SHARED_ANONYMOUS, (0, _SHARED, _ANONYMOUS)),),),
    "open": (((2, _MAKES_FILE, (0,)),), ((4, _SPECIAL_MODE, (0,)),)),
    "openat": (((4, _MAKES_FILE, (0,)),), ((6, _SPECIAL_MODE, (0,)),)),
    "prctl": (((0, _ALL, (_SET_NAME,)),),),
    "prlimit64": (((0, _ALL, (0,)), (4, _ALL, (0,)), (5, _ALL, (0,))),),  # only its own limits, only to read them
    "renameat2": (((8, _ALL, (0, _NO_REPLACE, _EXCHANGE)),),),
    "sendto": (((8, _ALL, (0,)), (9, _ALL, (0,))),),  # no address: only into a connected pair
    "socketpair": (((0, _ALL, (_UNIX,)), (2, _SOCKET_KIND, (_STREAM,))),),
}

# Classic BPF: (code, jump if true, jump if false, constant).
Line = tuple[int, int, int, int]
_LOAD, _AND, _EQUAL, _RETURN = 0x20, 0x54, 0x15, 0x06
_KILL, _ERROR, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_EPERM, _ENOSYS = 1, 38
_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def obstacle() -> str:
    """Why there is no filter for this machine, in a sentence; "" if there is one."""
    if sys.platform != "linux":
        return "it needs Linux."
    machine = os.uname().machine
    return "" if machine in _AUDIT else f"there is no seccomp filter for {machine}."


def numbers(calls: str) -> dict[str, tuple[int | None, int | None]]:
    """`{name: (number on x86-64, number on aarch64)}` of a table above."""
    rows = (row.split() for row in calls.split(";") if row.strip())
    return {name: (_number(intel), _number(arm)) for name, intel, arm in rows}


def program(machine: str) -> bytes:
    """The filter for `machine` (`os.uname().machine`), an array of `struct sock_filter`.

    Raises ValueError for a machine without a table.
    """
    if machine not in _AUDIT:
        raise ValueError(f"There is no seccomp filter for {machine}: it needs one of {', '.join(_AUDIT)}.")
    column = list(_AUDIT).index(machine)
    code = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, _AUDIT[machine]), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    for calls, action in ((_CALLS, _ALLOW), (_ACTED, _ERROR), (_MISSING, _ERROR | _ENOSYS)):
        for name, pair in numbers(calls).items():
            if (number := pair[column]) is not None:
                block = _decide(_CHOICES.get(name, ((),)), action)
                code += [(_EQUAL, 0, len(block), number), *block]
    code.append((_RETURN, 0, 0, _ERROR | _EPERM))
    return b"".join(struct.pack("<HBBI", *line) for line in code)


@functools.cache
def programs() -> dict[str, str]:
    """The filters of all machines in hexadecimal: what a container runs on may differ from the host."""
    return {machine: program(machine).hex() for machine in _AUDIT}


def _decide(choices: tuple[Choice, ...], action: int) -> list[Line]:
    """Returns the action if all conditions of a choice hold, EPERM if those of none do."""
    lines: list[Line] = []
    for choice in choices:
        rest: list[Line] = [(_RETURN, 0, 0, action)]
        for word, mask, values in reversed(choice):
            last = len(values) - 1
            tests = [(_EQUAL, last - i, len(rest) if i == last else 0, value) for i, value in enumerate(values)]
            rest = [(_LOAD, 0, 0, 16 + 4 * word), (_AND, 0, 0, mask), *tests, *rest]
        lines += rest
    return [*lines, (_RETURN, 0, 0, _ERROR | _EPERM)]


def _number(text: str) -> int | None:
    return None if text == "-" else int(text)
