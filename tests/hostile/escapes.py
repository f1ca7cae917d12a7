"""What code that has taken over a worker might try, one function each; escape_child.py runs them in and out of a jail.

`Held` is what was open before, so that the act itself is tried and not the opening. An attempt that is refused raises
OSError; one that works does no harm: it acts on a decoy, or is undone.
"""

from __future__ import annotations

import array
import ctypes
import fcntl
import mmap
import os
import platform
import resource
import signal
import socket
import struct
import termios
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = LIBC.syscall.restype = ctypes.c_long
ARM = platform.machine() == "aarch64"
NUMBERS = {  # x86-64, arm64
    "clone": (56, 220), "clone3": (435, 435), "ptrace": (101, 117), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138), "io_uring_setup": (425, 425),
    "userfaultfd": (323, 282), "bpf": (321, 280), "perf_event_open": (298, 241), "keyctl": (250, 219),
    "add_key": (248, 217), "unshare": (272, 97), "setns": (308, 268), "seccomp": (317, 277), "capset": (126, 91),
    "personality": (135, 92), "shmget": (29, 194), "shmctl": (31, 195), "pidfd_getfd": (438, 438), "kcmp": (312, 272),
    "pidfd_send_signal": (424, 424), "execveat": (322, 281), "open_by_handle_at": (304, 265), "syslog": (103, 116),
    "landlock_create_ruleset": (444, 444), "timer_create": (222, 107), "fanotify_init": (300, 262),
}  # fmt: skip
PAGE = mmap.PAGESIZE


@dataclass(frozen=True, kw_only=True)
class Target:
    """Who is attacked, outside."""

    parent: int
    at: int
    """Where the parent keeps a secret."""
    sibling: int
    tcp: int
    udp: int
    folder: str


@dataclass(frozen=True, kw_only=True)
class Held:
    """Open before the jail."""

    target: Target
    tcp: socket.socket = field(default_factory=socket.socket)
    udp: socket.socket = field(default_factory=lambda: socket.socket(type=socket.SOCK_DGRAM))
    link: tuple[socket.socket, socket.socket] = field(default_factory=socket.socketpair)
    unix: socket.socket = field(default_factory=lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    file: int = field(default_factory=lambda: os.open(__file__, os.O_RDONLY))
    folder: int = field(default_factory=lambda: os.open("/", os.O_RDONLY))
    namespace: int = field(default_factory=lambda: os.open("/proc/self/ns/net", os.O_RDONLY))
    pidfd: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pidfd", os.pidfd_open(self.target.parent))
        socket.send_fds(self.link[1], [b"take"], [self.file])


Attempt = Callable[[Held], object]


def checked(result: int) -> int:
    if result == -1:
        raise OSError(ctypes.get_errno(), "refused")
    return result


def syscall(name: str, *arguments: Any) -> int:
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    return checked(LIBC.syscall(ctypes.c_long(NUMBERS[name][ARM]), *words))


def in_child(pid: int) -> None:
    """A new process ends at once: that it began is the whole proof."""
    if pid == 0:
        os._exit(0)


def thread() -> None:
    try:
        threading.Thread(target=time.sleep, args=(0,), daemon=True).start()
    except RuntimeError as error:
        raise OSError(1, str(error)) from None


def map_memory(protection: int, flags: int, descriptor: int) -> int:
    size = ctypes.c_size_t(PAGE)
    return checked(LIBC.mmap(None, size, protection, flags, descriptor, ctypes.c_long(0)))


def run_code(code: bytes) -> int:
    """Native code of its own: a worker has to be able to, so mprotect gives it."""
    at = map_memory(mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1)
    ctypes.memmove(at, code, len(code))
    checked(LIBC.mprotect(ctypes.c_void_p(at), ctypes.c_size_t(PAGE), mmap.PROT_READ | mmap.PROT_EXEC))
    result = int(ctypes.CFUNCTYPE(ctypes.c_int)(at)())
    if result < 0:
        raise OSError(-result, "refused")
    return result


VFORK = b"\xb8\x3a\0\0\0\x0f\x05\x85\xc0\x75\x09\x31\xff\xb8\x3c\0\0\0\x0f\x05\xc3"
"""vfork; in the child exit(0); ret."""
GETPID_32 = b"\x53\xb8\x14\0\0\0\xcd\x80\x5b\xc3"
"""push rbx; getpid by int 0x80; pop rbx; ret."""
GETPID_X32 = b"\xb8\x27\0\0\x40\x0f\x05\xc3"


def connect(held: Held) -> None:
    held.tcp.connect(("127.0.0.1", held.target.tcp))


def new_socket(family: int) -> Attempt:
    """Of whichever type the family has."""

    def act(held: Held) -> None:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
            try:
                socket.socket(family, kind).close()
            except OSError as error:
                refused = error
            else:
                return
        raise refused

    return act


def abstract(held: Held) -> None:
    try:
        held.unix.connect("\0nobody listens here")
    except ConnectionRefusedError:  # so the kernel has looked: nothing refused it
        return


def read_mem(held: Held) -> bytes:
    return os.pread(os.open(f"/proc/{held.target.parent}/mem", os.O_RDONLY), 8, held.target.at)


def vm(name: str, held: Held) -> None:
    mine = ctypes.create_string_buffer(8)
    ours = struct.pack("<QQ", ctypes.addressof(mine), 8)
    theirs = struct.pack("<QQ", held.target.at, 8)
    if name == "process_vm_writev":
        mine.raw = b"a secret"
    syscall(name, held.target.parent, ours, 1, theirs, 1, 0)


def mount(held: Held) -> None:
    checked(LIBC.mount(b"none", held.target.folder.encode(), b"tmpfs", 0, None))
    checked(LIBC.umount2(held.target.folder.encode(), 2))


def shared_memory(_: Held) -> None:
    syscall("shmctl", syscall("shmget", 0, PAGE, 0o600), 0, None)


def perf() -> int:
    return syscall("perf_event_open", struct.pack("<IIQ112x", 1, 128, 0), 0, -1, -1, 0)


def send_rights(held: Held) -> None:
    socket.send_fds(held.link[0], [b"x"], [held.file])


def other_clock(held: Held) -> float:
    return time.clock_gettime((~held.target.sibling << 3) | 2)


def raise_limit(_: Held) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


SEIZE = 0x4206
RULES = struct.pack("<Q", 1)

FILES: dict[str, Attempt] = {
    "open a file": lambda held: os.open(__file__, os.O_RDONLY),
    "read /etc/passwd": lambda held: Path("/etc/passwd").read_text(),
    "write a file": lambda held: os.open(f"{held.target.folder}/new", os.O_WRONLY | os.O_CREAT),
    "stat a file": lambda held: Path("/etc/passwd").stat(),
    "list an open folder": lambda held: os.listdir(held.folder),  # noqa: PTH208  a path has no descriptor
    "remove a file": lambda held: Path(held.target.folder, "bait").unlink(),
    "copy an open file to a socket (sendfile)": lambda held: os.sendfile(held.link[0].fileno(), held.file, 0, 1),
    "read /proc/PARENT/mem": read_mem,
    "map an open file": lambda held: map_memory(mmap.PROT_READ, mmap.MAP_PRIVATE, held.file),
    "make a memory file": lambda held: os.memfd_create("x"),
}
FAMILIES = {name: int(family) for name, family in sorted(vars(socket).items()) if name.startswith("AF_")}
NETWORK: dict[str, Attempt] = {
    "connect TCP (socket made before)": connect,
    "listen on TCP (socket made before)": lambda held: held.tcp.bind(("127.0.0.1", 0)),
    "send UDP (socket made before)": lambda held: held.udp.sendto(b"out", ("127.0.0.1", held.target.udp)),
    "send UDP by sendmsg": lambda held: held.udp.sendmsg([b"out"], [], 0, ("127.0.0.1", held.target.udp)),
    "connect UDP (socket made before)": lambda held: held.udp.connect(("127.0.0.1", held.target.udp)),
    "connect an abstract socket": abstract,
    **{f"new socket {name}": new_socket(family) for name, family in FAMILIES.items()},
    "new socket pair": lambda held: socket.socketpair(),
    "pass a descriptor over its link": send_rights,
    "send out of band over its link": lambda held: held.link[0].send(b"x", socket.MSG_OOB),
    "take a descriptor from its link": lambda held: socket.recv_fds(held.link[0], 8, 1),
}  # fmt: skip
PROCESSES: dict[str, Attempt] = {
    "fork": lambda held: in_child(os.fork()),
    "clone without CLONE_THREAD": lambda held: in_child(syscall("clone", signal.SIGCHLD, 0, 0, 0, 0)),
    "clone3": lambda held: in_child(syscall("clone3", struct.pack("<QQQQQ24x", 0, 0, 0, 0, signal.SIGCHLD), 64)),
    "start a thread": lambda held: thread(),
    "exec": lambda held: os.execv("/bin/true", ["true"]),
    "execveat": lambda held: syscall("execveat", -100, b"/bin/true", array.array("Q", [0]).tobytes(), None, 0),
    "ptrace the parent": lambda held: syscall("ptrace", SEIZE, held.target.parent, 0, 0),
    "ptrace a sibling": lambda held: syscall("ptrace", SEIZE, held.target.sibling, 0, 0),
    "read the parent's memory": lambda held: vm("process_vm_readv", held),
    "write the parent's memory": lambda held: vm("process_vm_writev", held),
    "signal the parent (kill)": lambda held: os.kill(held.target.parent, signal.SIGCONT),
    "signal a sibling (kill)": lambda held: os.kill(held.target.sibling, signal.SIGCONT),
    "signal a sibling (tgkill)": lambda held: syscall(
        "tgkill", held.target.sibling, held.target.sibling, signal.SIGCONT
    ),
    "name the parent (pidfd_open)": lambda held: os.pidfd_open(held.target.parent),
    "signal through a pidfd made before": lambda held: syscall("pidfd_send_signal", held.pidfd, signal.SIGCONT, 0, 0),
    "take a descriptor of the parent (pidfd_getfd)": lambda held: syscall("pidfd_getfd", held.pidfd, 0, 0),
    "slow a sibling down": lambda held: os.setpriority(os.PRIO_PROCESS, held.target.sibling, 5),
    "limit a sibling": lambda held: resource.prlimit(held.target.sibling, resource.RLIMIT_CORE),
    "read a sibling's clock": other_clock,
    "make shared memory": shared_memory,
}
KERNEL: dict[str, Attempt] = {
    "map executable memory": lambda held: map_memory(7, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1),
    "io_uring": lambda held: syscall("io_uring_setup", 4, bytes(120)),
    "userfaultfd": lambda held: syscall("userfaultfd", 1),
    "bpf": lambda held: syscall("bpf", 0, struct.pack("<IIII112x", 2, 4, 4, 1), 128),
    "perf_event_open": lambda held: perf(),
    "keyctl": lambda held: syscall("keyctl", 0, -3, 1),
    "read the kernel's log": lambda held: syscall("syslog", 10, None, 0),
    "mount": mount,
    "unshare": lambda held: syscall("unshare", 0x1000_0000),
    "setns": lambda held: syscall("setns", held.namespace, 0),
    "chroot": lambda held: os.chroot("/"),
    "become root": lambda held: os.setresuid(0, 0, 0),
    "take capabilities": lambda held: syscall("capset", struct.pack("<Ii", 0x2008_0522, 0), bytes(24)),
    "prctl: be dumpable again": lambda held: checked(LIBC.prctl(4, 1, 0, 0, 0)),
    "prctl: outlive the parent": lambda held: checked(LIBC.prctl(1, 0, 0, 0, 0)),
    "personality": lambda held: syscall("personality", 0xFFFF_FFFF),
    "raise a limit": raise_limit,
    "another filter": lambda held: syscall("seccomp", 2, 0, struct.pack("<I", 0x7FFF_0000)),
    "another landlock": lambda held: syscall("landlock_create_ruleset", RULES, 8, 0),
    "ioctl": lambda held: fcntl.ioctl(held.link[0], termios.FIONREAD, bytes(4)),
    "fcntl": lambda held: fcntl.fcntl(held.link[0], fcntl.F_GETFL),
    "duplicate a descriptor": lambda held: os.dup(held.file),
    "make a pipe": lambda held: os.pipe(),
    "make a timer": lambda held: syscall("timer_create", 1, None, bytes(8)),
}
OTHER_ABI: dict[str, Attempt] = {} if ARM else {
    "vfork": lambda held: run_code(VFORK),
    "32-bit system call (int 0x80)": lambda held: run_code(GETPID_32),
    "x32 system call": lambda held: run_code(GETPID_X32),
}  # fmt: skip
"""By machine code. The last two end the process in every mode: their numbers mean something else."""
ALWAYS_END = ("32-bit system call (int 0x80)", "x32 system call")
ATTEMPTS: dict[str, Attempt] = {**FILES, **NETWORK, **PROCESSES, **KERNEL, **OTHER_ABI}
EVERYWHERE = ("AF_UNIX", "AF_INET", "AF_NETLINK")
NOT_EVERYWHERE = {
    "x32 system call",
    "32-bit system call (int 0x80)",
    "io_uring",
    "userfaultfd",
    "send out of band over its link",
} | {f"new socket {name}" for name in FAMILIES.keys() - EVERYWHERE}
"""What a kernel may be built or set without, jail or not."""
FOR_ROOT = {"mount", "setns", "chroot", "bpf", "perf_event_open", "read the kernel's log", "become root", "keyctl",
            "ptrace the parent", "ptrace a sibling", "read the parent's memory", "write the parent's memory",
            "read /proc/PARENT/mem", "take a descriptor of the parent (pidfd_getfd)", "unshare"}  # fmt: skip
"""What an ordinary user may be refused without a jail too."""
