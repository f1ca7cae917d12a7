"""The tick that takes a guest's turn away: once a millisecond the engine's epoch goes up by one. Stands still while
no guest runs.

Best: a timer signal to one thread, whose handler is a few bytes of machine code that jump to wasmtime's increment. No
thread, no GIL, on time beside busy threads. The timer carries where its engine stands, so one handler serves every
engine of the process. Where there is no such code for the processor: a Python thread, later beside busy threads
(10–40 ms), and told so.

Rules: armed by the first guest that runs; told to rest when the event loop is about to sleep and no guest runs. Setting
the timer can cost more than a call, an idle armed one 3–5 % of a core: so resting is a word in memory, and the first
tick that finds it there disarms the timer itself. Closed by the thread that opened it, before its engine is freed: no
tick can be under way then.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import platform
import signal
import struct
import sys
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import trio
import wasmtime

from runtime.errors import StartupError
from runtime.sandbox import binding
from runtime.sandbox.cpu_clock import leave_out_collections

PERIOD_S = 0.0008
"""So that a guest is stopped within 1 ms of its budget: this, and what reading the clock and going on take."""
_PERIOD_NS = int(PERIOD_S * 1e9)
_ON, _OFF = struct.pack("<4q", 0, _PERIOD_NS, 0, _PERIOD_NS), bytes(32)
_SPARSE_NS = 10_000_000
_SPARSE = struct.pack("<4q", 0, _SPARSE_NS, 0, _PERIOD_NS)
"""One tick a period after a slice began, then few. A thread that waits long for the GIL after its slice is woken by
each tick for nothing, and that CPU time is on the guest's bill; but one that strikes before the slice begins is
lost."""
_SIGEV_THREAD_ID = 4
_ENGINE, _RESTS, _ARMED, _TIMER, _NEVER = range(5)
"""Words of what a timer carries: the engine; whether no guest runs; whether the timer does, which the handler takes
back when it disarms it; the timer; and from there on how it is set so that it stands still."""
_WORDS = _NEVER + len(_OFF) // 8


class Ticker(trio.abc.Instrument):
    """One for each engine. `enter` and `leave` count the guests that may run. Added to the event loop as an instrument,
    it stops ticking before the loop sleeps."""

    kind: str
    needs_gil: bool
    """True where a guest must not be polled with the GIL held: the tick could not come."""

    def __init__(self, engine: wasmtime.Engine) -> None:
        self.engine = engine
        self.engine_at = binding.address(engine.ptr())
        self.running = 0
        self.resting = True
        """No guest runs, and it may stand still."""
        self.gil_is_scarce = False
        """Whether the last slice's thread had to wait for the GIL after it: a hint, set by its sandbox."""

    def enter(self) -> None:
        self.running += 1
        if self.resting:
            self.resting = False
            self._arm(True)

    def leave(self) -> None:
        self.running -= 1

    def rest(self) -> None:
        """Stands still if no guest runs, from the next tick on at the latest."""
        if not self.running and not self.resting:
            self.resting = True
            self._arm(False)

    def before_io_wait(self, timeout: float) -> None:
        """Called by trio; `timeout` is 0 while there is work."""
        if timeout > 0:
            self.rest()

    def elsewhere(self) -> AbstractContextManager[None]:
        """Around a guest's turn in another thread: where `here` ticks for it, this thread's ticks may stand still."""
        return contextlib.nullcontext()

    def here(self) -> AbstractContextManager[Callable[[], object]]:
        """Ticks for a guest that is polled in the calling thread, inside the block. What it gives is to be called right
        before each slice."""
        return contextlib.nullcontext(_nothing)

    @abstractmethod
    def _arm(self, on: bool) -> None: ...

    @abstractmethod
    def close(self) -> None: ...


def _nothing() -> None:
    """Where ticks come anyway."""


def _stub(timer_settime: int) -> bytes | None:
    """What a tick does, as machine code; None for a processor we have none for. It is a SA_SIGINFO handler, whose
    second argument has the timer's words at offset 24 (si_value; Linux, 64 bit), and reads:

        words = info->si_value
        if !words[_RESTS]: increment_epoch(words[_ENGINE])
        else: words[_ARMED] = 0; timer_settime(words[_TIMER], 0, &words[_NEVER], NULL)
    """
    increment = binding.INCREMENT_EPOCH or 0
    match platform.machine():
        case "x86_64":
            return (
                b"\x48\x8b\x46\x18" b"\x48\x8b\x38"  # mov rax, [rsi+24]; mov rdi, [rax]
                b"\x48\x83\x78\x08\x00" b"\x75\x0c"  # cmp qword [rax+8], 0; jne +12
                b"\x48\xb8" + struct.pack("<Q", increment) + b"\xff\xe0"  # mov rax, increment; jmp rax
                b"\x48\xc7\x40\x10\x00\x00\x00\x00"  # mov qword [rax+16], 0
                b"\x48\x8b\x78\x18" b"\x31\xf6"  # mov rdi, [rax+24]; xor esi, esi
                b"\x48\x8d\x50\x20" b"\x31\xc9"  # lea rdx, [rax+32]; xor ecx, ecx
                b"\x48\xb8" + struct.pack("<Q", timer_settime) + b"\xff\xe0"  # mov rax, timer_settime; jmp rax
            )  # fmt: skip
        case "aarch64":
            return struct.pack(
                "<14I2Q",
                0xF9400C29, 0xF9400120, 0xF940052A,  # ldr x9, [x1, #24]; ldr x0, [x9]; ldr x10, [x9, #8]
                0xB500006A, 0x58000150, 0xD61F0200,  # cbnz x10, +12; ldr x16, increment; br x16
                0xF900093F, 0xF9400D20, 0x52800001,  # str xzr, [x9, #16]; ldr x0, [x9, #24]; mov w1, #0
                0x91008122, 0xD2800003, 0x580000B0,  # add x2, x9, #32; mov x3, #0; ldr x16, timer_settime
                0xD61F0200, 0xD503201F,  # br x16; nop
                increment, timer_settime,
            )  # fmt: skip
        case _:
            return None


class SignalTicker(Ticker):
    """Linux: timer_create(2) with SIGEV_THREAD_ID: each timer interrupts one thread, the one that runs the guest. A
    tick for another thread comes late when that one has to be given a processor first."""

    kind, needs_gil = "signal", False
    _page: mmap.mmap | None = None  # never freed: a handler stays installed for the life of the process
    _signo = 0
    _installing = threading.Lock()

    def __init__(self, engine: wasmtime.Engine) -> None:
        super().__init__(engine)
        self._libc = ctypes.PyDLL(None, use_errno=True)
        self._settime: Any = self._libc["timer_settime"]
        self._settime.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p]
        with self._installing:
            self._install()
        self._thread = threading.get_native_id()
        self._words = self._create()

    @property
    def armed(self) -> bool:
        """The timer runs."""
        return bool(self._words[_ARMED])

    def _arm(self, on: bool) -> None:
        words = self._words
        words[_RESTS] = not on  # first: from here on no tick disarms it
        if on and not words[_ARMED]:
            words[_ARMED] = 1
            self._must(self._settime(words[_TIMER], 0, _ON, None))

    def close(self) -> None:
        if threading.get_native_id() != self._thread:
            raise RuntimeError("a ticker is closed by the thread that opened it")
        self._must(
            self._libc.timer_delete(ctypes.c_void_p(self._words[_TIMER]))
        )  # a tick still pending strikes before it returns

    @contextlib.contextmanager
    def elsewhere(self) -> Iterator[None]:
        self.leave()
        try:
            yield
        finally:
            self.enter()

    @contextlib.contextmanager
    def here(self) -> Iterator[Callable[[], object]]:
        words = self._create()
        timer = words[_TIMER]
        try:
            yield lambda: self._settime(timer, 0, _SPARSE if self.gil_is_scarce else _ON, None)
        finally:
            self._must(self._libc.timer_delete(ctypes.c_void_p(timer)))

    def _create(self) -> memoryview[int]:
        """The words of a timer for the calling thread, not armed: to be kept as long as it is. The thread may have
        inherited a mask that blocks its signal."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (self._signo,))
        room = ctypes.create_string_buffer(_WORDS * 8)
        words = memoryview(room).cast("B").cast("Q")
        words[_ENGINE] = self.engine_at
        at, thread = ctypes.addressof(room), threading.get_native_id()
        event = struct.pack("<QiiI44x", at, self._signo, _SIGEV_THREAD_ID, thread)
        timer = ctypes.c_void_p()
        self._must(self._libc.timer_create(time.CLOCK_MONOTONIC, event, ctypes.byref(timer)))
        words[_TIMER] = timer.value or 0
        return words

    def _install(self) -> None:
        """The handler, once a process, on a real-time signal nobody uses."""
        if SignalTicker._page is not None:
            return
        code = _stub(ctypes.cast(self._settime, ctypes.c_void_p).value or 0)
        if code is None or not sys.platform.startswith("linux"):
            raise OSError("no signal stub for this processor")
        # A fresh page: on arm64 the kernel makes the instruction cache see it when it is first made executable.
        page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        page.write(code)
        at = ctypes.addressof(ctypes.c_char.from_buffer(page))
        self._must(
            self._libc.mprotect(ctypes.c_void_p(at), ctypes.c_size_t(mmap.PAGESIZE), mmap.PROT_READ | mmap.PROT_EXEC)
        )
        # SA_ONSTACK: it may strike while the stack is a fiber's. SA_RESTART: system calls go on.
        action = struct.pack("<Q128xi4xQ", at, 0x1000_0000 | 0x0800_0000 | 0x4, 0)
        for signo in range(signal.SIGRTMIN + 2, signal.SIGRTMAX):
            if signal.getsignal(signo) == signal.SIG_DFL:
                self._must(self._libc.sigaction(signo, action, None))
                SignalTicker._page, SignalTicker._signo = page, signo
                return
        raise OSError("no free real-time signal")

    @staticmethod
    def _must(failed: int) -> None:
        if failed:
            raise OSError(ctypes.get_errno(), "timer")


class ThreadTicker(Ticker):
    """Anywhere: a Python thread. Late beside busy Python threads, so `Host.statistics()` says which kind runs."""

    kind, needs_gil = "thread", True

    def __init__(self, engine: wasmtime.Engine) -> None:
        super().__init__(engine)
        self._armed, self._closed = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="hostel-ticker", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while self._armed.wait() and not self._closed:
            time.sleep(PERIOD_S)
            binding.increment_epoch(self.engine_at)

    def _arm(self, on: bool) -> None:
        if on:
            self._armed.set()
        else:
            self._armed.clear()

    def close(self) -> None:
        self._closed = True
        self._armed.set()
        self._thread.join()


def open_ticker(engine: wasmtime.Engine, kind: str = "auto") -> Ticker:
    """The best ticker there is. `kind`: auto, signal or thread. Guests that it stops are billed without collections."""
    leave_out_collections()
    if kind != "thread":
        with contextlib.suppress(OSError, AttributeError):
            return SignalTicker(engine)
        if kind == "signal":
            raise StartupError("a signal ticker was asked for, and there is none for this system")
    return ThreadTicker(engine)
