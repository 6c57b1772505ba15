"""Attempts to get out of a sandbox, by name: Python code that runs after PRELUDE with the variables of a `World`.

An attempt wins if it prints the canary (which stands in a file outside and in the harness's environment), calls
`won()`, reaches a listener, kills the victim, or changes something outside its folder.
"""

PRELUDE = """
import contextlib, os, sys, time
with contextlib.suppress(ImportError):
    import ctypes, fcntl, resource, signal, socket, stat, struct, subprocess, threading
    libc = ctypes.CDLL(None, use_errno=True)
    lock = open("alive", "w")
    fcntl.flock(lock, fcntl.LOCK_EX)  # whoever inherits it shows, after the run, that something lives on
def call(intel, arm, *arguments):
    return libc.syscall(intel if os.uname().machine == "x86_64" else arm, *arguments)
def won(really=True):
    if really:
        print("ESC" + "APED", flush=True)
def each(*attempts):
    for attempt in attempts:
        with contextlib.suppress(Exception):
            print(attempt())
def read(path):
    with open(path, "rb") as file:
        return file.read(1 << 16)
"""

FILES = {
    "read a file outside": "print(read(SECRET))",
    "read through ..": "print(read('../secret/file'))",
    "read through a path descriptor": "fd = os.open(SECRET, os.O_PATH); print(read(f'/proc/self/fd/{fd}'))",
    "read through openat2": """
how = struct.pack('<QQQ', 0, 0, 0)
fd = call(437, 437, -100, SECRET.encode(), how, len(how))
print(os.read(fd, 100))""",
    "read through a symbolic link": "os.symlink(SECRET, 'link'); print(read('link'))",
    "leave a symbolic link to a file for the harness": "os.symlink(SECRET, 'notes.txt')",
    "leave a symbolic link to a folder for the harness": "os.symlink(os.path.dirname(SECRET), 'more')",
    "leave a hard link for the harness": "os.link(SECRET, 'notes.txt')",
    "leave a pipe that the harness would wait for": "os.mkfifo('notes.txt')",
    "leave a socket for the harness": "socket.socket(socket.AF_UNIX).bind('notes.txt')",
    "leave a link that leads up": "os.symlink('../secret', 'more'); os.symlink('../secret/file', 'link')",
    "leave a link in place of a folder": """
os.makedirs('more', exist_ok=True); os.rmdir('more'); os.symlink(os.path.dirname(SECRET), 'more')""",
    "leave a program that runs as its owner": "os.open('program', os.O_CREAT | os.O_WRONLY, 0o6777)",
    "leave a program that runs as its owner, without a name at first": """
fd = os.open('.', os.O_TMPFILE | os.O_RDWR, 0o6777)
won(os.fstat(fd).st_mode & stat.S_ISUID)""",
    "leave a device by renaming": """
open('a', 'w').close()
call(316, 276, -100, b'a', -100, b'b', 4)""",
    "exchange a file with one outside": """
open('x', 'w').close()
won(call(316, 276, -100, b'x', -100, SECRET.encode(), 2) == 0)""",
    "list the folder outside": "print(os.listdir(OUTSIDE)); won()",
    "list the source tree": "won('src' in os.listdir(CHECKOUT))",
    "read the source tree": "won(b'firesteel' in read(CHECKOUT + '/pyproject.toml'))",
    "read another conversation": "print(read(OTHER))",
    "read the list of users": "won(b'root' in read('/etc/passwd'))",
    "read through a relative descriptor": "fd = os.open('/', os.O_RDONLY); os.chdir(fd); print(read(SECRET[1:]))",
    "write outside": "open(OUTSIDE + '/mark', 'w').write('x')",
    "make a folder outside": "os.mkdir(OUTSIDE + '/mark')",
    "move a file out": "open('x', 'w').close(); os.rename('x', OUTSIDE + '/mark')",
    "move a file in": "os.rename(SECRET, 'stolen'); print(read('stolen'))",
    "remove a file outside": "os.unlink(SECRET)",
    "truncate a file outside": "os.truncate(SECRET, 0)",
    "change the mode of a file outside": "os.chmod(SECRET, 0o777)",
    "change the times of a file outside": "os.utime(SECRET, (1, 1))",
    "set an attribute of a file outside": "os.setxattr(SECRET, 'user.mark', b'x'); won()",
    "write into the shared temporary folder": "open(SHARED, 'w').write('x')",
    "write into shared memory": "open(SHM, 'w').write('x')",
    "open shared memory": "from multiprocessing import shared_memory as s; s.SharedMemory(SHM_NAME, True, 64); won()",
    "save a figure outside": """
import matplotlib.pyplot as plt
plt.plot([1]); plt.savefig(OUTSIDE + '/mark.png')""",
    "watch a file outside": "fd = libc.inotify_init(); won(libc.inotify_add_watch(fd, SECRET.encode(), 2) >= 0)",
}

SECRETS = {
    "the environment": "print(os.environ)",
    "the environment of the C library": """
environ = ctypes.POINTER(ctypes.c_char_p).in_dll(libc, 'environ')
for index in range(200):
    if not environ[index]: break
    print(environ[index])""",
    "the environment of process 1": "print(read('/proc/1/environ'))",
    "the environment of itself": "print(read('/proc/self/environ'))",
    "the environment of the parent": "each(lambda: read(f'/proc/{os.getppid()}/environ'))",
    "the environment of the harness": "print(read(f'/proc/{HARNESS}/environ'))",
    "the environment of any process": "each(*(lambda p=p: read(f'/proc/{p}/environ') for p in os.listdir('/proc')))",
    "the command line of the harness": "won(read(f'/proc/{HARNESS}/cmdline'))",
    "the files of the harness": "print([read(f'/proc/{HARNESS}/fd/{fd}') for fd in (INHERITED,)])",
    "the own root": "print(read('/proc/self/root' + SECRET), read('/proc/thread-self/root' + SECRET))",
    "the memory map of the harness": "won(read(f'/proc/{HARNESS}/maps'))",
    "the terminal of the harness": "won(os.open('/dev/tty', os.O_RDWR))",
    "a descriptor by its path": "each(*(lambda n=n: read(f'/dev/fd/{n}') for n in range(3, 1024)))",
    "the root of process 1": "print(read('/proc/1/root' + SECRET))",
    "the working folder of the harness": "print(os.listdir(f'/proc/{HARNESS}/cwd')); won()",
    "inherited descriptors": """
for fd in range(3, 1024):
    with contextlib.suppress(OSError):
        print(os.pread(fd, 100, 0))""",
    "standard input": "print(sys.stdin.read(), os.read(0, 100))",
    "the frames below": """
frame = sys._getframe()
while frame:
    print(frame.f_locals.get('environment'), frame.f_globals.get('environ'))
    frame = frame.f_back""",
}

NETWORK = {
    "tcp": "socket.create_connection(('127.0.0.1', TCP), 2).send(b'x')",
    "udp": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', UDP))",
    "a unix socket": "s = socket.socket(socket.AF_UNIX); s.connect(UNIX)",
    "an abstract unix socket": "s = socket.socket(socket.AF_UNIX); s.connect(ABSTRACT)",
    "a datagram from a pair": """
one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
one.sendto(b'x', DATAGRAM)""",
    "an address on a connected pair": "socket.socketpair()[0].sendto(b'x', DATAGRAM)",
    "http": "import urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{TCP}', timeout=2)",
    "asyncio": "import asyncio; asyncio.run(asyncio.open_connection('127.0.0.1', TCP))",
    "a raw system call": """
fd = call(41, 198, 2, 1, 0)
call(42, 203, fd, struct.pack('<H', 2) + struct.pack('>H', TCP) + bytes([127, 0, 0, 1]) + bytes(8), 16)""",
    "the x32 numbers": "won(libc.syscall(ctypes.c_long(0x40000000 + 41), 1, 1, 0) >= 0) if sys.maxsize else 0",
    "a socket of the virtual machine": "won(socket.socket(40, socket.SOCK_STREAM))",
    "a packet socket": "won(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))",
    "the kernel's ciphers": "won(socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET, 0))",
    "a descriptor sent to a socket": """
import array
one, two = socket.socketpair()
one.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [1]))]); won()""",
    "netlink": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0); won()",
    "a server": "s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); won()",
}

PROCESSES = {
    "fork": "won(os.fork() == 0)",
    "clone": "won(call(56, 220, 17, 0, 0, 0, 0) == 0)",
    "clone3": "arguments = struct.pack('<11Q', 0, 0, 0, 0, 17, *[0] * 6); won(call(435, 435, arguments, 88) == 0)",
    "run a program": "won(subprocess.run(['/bin/true']).returncode == 0)",
    "run a shell": "os.system('echo ESC\"\"APED')",
    "spawn": "won(os.posix_spawn('/bin/true', ['true'], {}))",
    "replace the process": "os.execv('/bin/sh', ['sh', '-c', 'echo ESC\"\"APED'])",
    "run a program from memory": """
fd = os.memfd_create('program', 0)
os.write(fd, b'#!/bin/sh\\necho ESC""APED\\n')
os.execve(fd, ['program'], {})""",
    "run a program by its descriptor": """
open('program', 'w').write('#!/bin/sh\\necho ESC""APED\\n')
os.chmod('program', 0o755)
fd = os.open('program', os.O_RDONLY)
os.set_inheritable(fd, True)
call(322, 281, fd, b'', (ctypes.c_char_p * 2)(b'x', None), None, 0x1000)""",
    "run an own program": """
open('program', 'w').write('#!/bin/sh\\necho ESC""APED')
os.chmod('program', 0o755)
os.execv('./program', ['program'])""",
    "preload a library": """
code = "print(chr(69) + 'SCAPED')"
os.execve(sys.executable, ['python', '-c', code], {'LD_PRELOAD': './x.so'})""",
    "a daemon that lives on": """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(600)
    os._exit(0)""",
    "leave the session": "os.setsid(); won()",
    "kill another process": "os.kill(VICTIM, signal.SIGKILL)",
    "kill through a descriptor": "signal.pidfd_send_signal(os.pidfd_open(VICTIM), signal.SIGKILL)",
    "kill by the owner of a pipe": """
out, into = os.pipe()
fcntl.fcntl(out, fcntl.F_SETOWN, VICTIM)
fcntl.fcntl(out, fcntl.F_SETFL, os.O_ASYNC)
os.write(into, b'x')""",
    "signal the harness": "os.kill(HARNESS, 0); won()",
    "limit another process": "resource.prlimit(VICTIM, resource.RLIMIT_CPU, (1, 1)); won()",
    "slow another process down": "os.setpriority(os.PRIO_PROCESS, VICTIM, 19); won()",
    "move another process": "os.sched_setaffinity(VICTIM, {0}); won()",
}

# Not run outside a sandbox: they would change this machine or the test, or need rights to mean anything.
PRIVILEGES = {
    "vfork": "won(call(58, 220, 0x4011 if os.uname().machine != 'x86_64' else 0) == 0); os._exit(0)",
    "trace another process": "won(libc.ptrace(16, VICTIM, 0, 0) == 0)",
    "read another process's memory": """
room = ctypes.create_string_buffer(8)
here = struct.pack('<QQ', ctypes.addressof(room), 8)
call(310, 270, VICTIM, here, 1, here, 1, 0)
won(ctypes.get_errno() not in (1, 3))""",
    "take a descriptor of another process": """
fd = call(434, 434, VICTIM, 0)
won(fd >= 0 and call(438, 438, fd, 0, 0) >= 0)""",
    "a thread with descriptors of its own": """
room = ctypes.create_string_buffer(1 << 16)
won(call(56, 220, 0x10900, 0, 0, 0, 0) > 0)""",
    "a process in this one's memory": "won(call(56, 220, 0x4111, 0, 0, 0, 0) == 0); os._exit(0)",
    "the kernel's log": "won(libc.klogctl(3, ctypes.create_string_buffer(4096), 4096) > 0)",
    "set the clock": "each(lambda: won(time.clock_settime(time.CLOCK_REALTIME, time.time())))",
    "restart the machine": "won(call(169, 142, 0xFEE1DEAD, 672274793, 0, 0) != -1)",  # turns off Ctrl-Alt-Del
    "rename the machine": "won(libc.sethostname(b'x', 1) == 0)",
    "a group of processes with limits": "os.mkdir('/sys/fs/cgroup/' + os.path.basename(OUTSIDE)); won()",
    "a program that the kernel would start": "each(lambda: won(open('/proc/sys/kernel/core_pattern', 'w')))",
    "a filter in place of the filter": "won(call(317, 277, 1, 0, struct.pack('<HxxxxxxQ', 1, 0)) == 0)",
    "watch the whole machine": "won(call(300, 262, 0, 0) >= 0)",
    "secret memory": "won(call(447, 447, 0) >= 0)",
    "mount": "os.mkdir('m'); libc.mount(os.path.dirname(SECRET).encode(), b'm', 0, 4096, 0); print(read('m/file'))",
    "the new mount calls": "won(call(428, 428, -100, os.path.dirname(SECRET).encode(), 1) >= 0)",
    "change the root": "os.chroot(os.path.dirname(SECRET)); print(read('/file'))",
    "pivot the root": "os.mkdir('m'); won(call(155, 41, b'm', b'm') == 0)",
    "a new user namespace": "won(libc.unshare(0x10000000) == 0)",
    "a new mount namespace": "won(libc.unshare(0x00020000) == 0)",
    "enter a namespace": "won(libc.setns(os.open('/proc/1/ns/mnt', os.O_RDONLY), 0) == 0)",
    "make a disk": "os.mknod('disk', stat.S_IFBLK | 0o600, os.makedev(254, 0)); won(read('disk'))",
    "open a disk": """
each(*(lambda d=d: won(read('/dev/' + d)) for d in ('vda', 'sda', 'nvme0n1', 'mem', 'kmsg', 'port')))""",
    "open the machine's kernel": """
each(lambda: won(read('/proc/kcore')), lambda: won(read('/sys/kernel/uevent_seqnum')))""",
    "open a file by its handle": """
handle = ctypes.create_string_buffer(struct.pack('<Ii', 128, 0), 200)
number = ctypes.c_int()
won(call(303, 264, -100, SECRET.encode(), handle, ctypes.byref(number), 0) == 0)""",
    "become another user": "os.setuid(1234); won()",
    "become root": "os.setresuid(0, 0, 0); won()",
    "take capabilities": "won(libc.capset(struct.pack('<Ii', 0x20080522, 0), b'\\xff' * 24) == 0)",
    "raise the limits": "resource.setrlimit(resource.RLIMIT_AS, (-1, -1)); won()",
    "outlive the harness": "won(libc.prctl(1, 0, 0, 0, 0) == 0)",
    "load kernel code": "won(call(321, 280, 0, bytes(128), 128) >= 0)",
    "asynchronous system calls": "won(call(425, 425, 8, ctypes.create_string_buffer(120)) >= 0)",
    "performance counters": "won(call(298, 241, struct.pack('<II', 1, 128) + bytes(120), 0, -1, -1, 0) >= 0)",
    "handle page faults": "won(call(323, 282, 1) >= 0)",
    "the keyring": "won(call(250, 219, 0, -3, 0) >= 0)",
    "the 32-bit system calls": """
if os.uname().machine != 'x86_64': sys.exit()
import mmap
room = mmap.mmap(-1, 4096, prot=7)
room.write(bytes.fromhex('53b814000000cd805bc3'))  # push rbx; mov eax, 20 (getpid); int 0x80; pop rbx; ret
won(ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(room)))() > 0)""",
}

# They end by a limit, or are refused. Run with small limits.
EXHAUSTION = {
    "a fork bomb": """
while True:
    with contextlib.suppress(OSError): won(os.fork() == 0)
    with contextlib.suppress(OSError): subprocess.Popen(['/bin/sleep', '100']); won()""",
    "a thread bomb": """
threading.stack_size(1 << 16)
while True:
    threading.Thread(target=time.sleep, args=(100,), daemon=True).start()""",
    "much memory": "won(len(bytearray(3 << 30)))",
    "much memory in small pieces": "rows = []\nwhile len(rows) < 3 << 10: rows.append(b'x' * (1 << 20))\nwon()",
    "much mapped memory": "import mmap; won(mmap.mmap(-1, 8 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))",
    "memory that is shared with nobody": """
libc.mmap.restype, libc.mmap.argtypes = ctypes.c_void_p, [ctypes.c_void_p, *[ctypes.c_size_t] * 5]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
for _ in range(32):  # each time one page stays mapped, and with it all the others in memory
    start = libc.mmap(None, 64 << 20, 3, 0x21, ctypes.c_size_t(-1), 0)
    if start == ctypes.c_size_t(-1).value: sys.exit()
    ctypes.memset(start, 1, 64 << 20)
    libc.munmap(start + 4096, (64 << 20) - 4096)
won()""",
    "the device of zeros as shared memory": """
import mmap
fd = os.open('/dev/zero', os.O_RDWR)
won(mmap.mmap(fd, 1 << 20, mmap.MAP_SHARED))""",
    "files in memory": "won(os.memfd_create('filler'))",
    "segments of shared memory": "won(call(29, 194, 0, 1 << 20, 0o1600) >= 0)",
    "a large file": """
with open('filler', 'wb') as file:
    while True: file.write(bytes(1 << 20))""",
    "many files": """
for number in range(10_000):
    with open(f'filler-{number}', 'wb') as file: file.write(bytes(1 << 20))
won()""",
    "many deleted files": """
held = []
while True:
    held.append(open('filler', 'wb'))
    os.unlink('filler')
    for _ in range(8): held[-1].write(bytes(1 << 20))
    held[-1].flush()""",
    "many deleted files that are only mapped": """
libc.mmap.restype, libc.mmap.argtypes = ctypes.c_void_p, [ctypes.c_void_p, *[ctypes.c_size_t] * 5]
for _ in range(32):
    fd = os.open('filler', os.O_CREAT | os.O_RDWR)
    os.write(fd, bytes(8 << 20))
    libc.mmap(None, 4096, 1, 1, fd, 0)
    os.close(fd)
    os.unlink('filler')
time.sleep(4)
won()""",
    "many nameless files": """
held = []
for _ in range(32):
    held.append(os.open('.', os.O_TMPFILE | os.O_RDWR))
    os.write(held[-1], bytes(8 << 20))
time.sleep(4)
won()""",
    "a folder that moves while it is counted": """
os.mkdir('0')
inside = os.open('0', os.O_RDONLY)
def move():
    while True:
        for number in range(256): os.rename(str(number), str((number + 1) % 256))
threading.Thread(target=move, daemon=True).start()
for number in range(100):
    fd = os.open(f'filler-{number}', os.O_CREAT | os.O_WRONLY, dir_fd=inside)
    os.write(fd, bytes(8 << 20)); os.close(fd)
won()""",
    "many empty files": "for number in range(10 ** 6): open(f'filler-{number}', 'w').close()\nwon()",
    "deep folders": """
while True:
    os.mkdir('d'); os.chdir('d')""",
    "a file with a hole": "os.truncate(os.open('hole', os.O_CREAT | os.O_WRONLY), 1 << 40)",
    "space set aside": "os.posix_fallocate(os.open('hole', os.O_CREAT | os.O_WRONLY), 0, 1 << 30); won()",
    "many descriptors": "held = [os.dup(1) for _ in range(100_000)]; won()",
    "many locks": """
held = [open(f'lock-{n}', 'w') for n in range(50)]
while True:
    for file in held:
        for place in range(0, 10_000, 2): fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)""",
    "names that are no text": r"""
for name in (b'\xff\xfe.txt', b'a\nb.txt', b'\x1b]0;x\x07', b'x' * 255): open(name, 'w').close()""",
    "much output": "while True: print('x' * 10_000)",
    "much output of errors": "while True: os.write(2, b'x' * 10_000)",
    "an endless loop": "while True: pass",
    "an endless loop in all threads": """
for _ in range(8): threading.Thread(target=sum, args=(iter(int, 1),)).start()""",
    "an endless sleep that ignores signals": """
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGXCPU, signal.SIGALRM, signal.SIGPIPE):
    signal.signal(number, signal.SIG_IGN)
os.close(1); os.close(2)
while True: time.sleep(100)""",
    "an exit that never ends": "import atexit; atexit.register(time.sleep, 10 ** 6); sys.exit(0)",
    "a crash": "ctypes.string_at(0)",
    "a lock of its own": "lock = threading.Lock(); lock.acquire(); lock.acquire()",
}

WITHOUT_A_JAIL = FILES | SECRETS | NETWORK | PROCESSES
ALL = WITHOUT_A_JAIL | PRIVILEGES | EXHAUSTION
