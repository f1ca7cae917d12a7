"""An executor worker: one thread, one event loop, many guests, in a jail, with one socket to the broker and no more.

What lives here: its life from start to end, and how the broker's frames come. Whatever it knows of the host came over
that socket; it holds no secret and trusts the broker, never the other way round. The broker's side is worker_link.py;
what its frames mean in here is worker.py.

Order of the start: engine, ticker, the proof that a spinning guest is stopped; then the event loop's own descriptors
exist, and the jail is entered; then READY. Nothing is opened, imported or started after that.
"""

from __future__ import annotations

import contextlib
import gc
import mmap
import os
import select
import socket
import sys
import time
from collections import deque
from functools import partial
from pathlib import Path
from time import perf_counter_ns
from typing import Final

import msgspec
import trio

from runtime import jail
from runtime.errors import HostelError
from runtime.executor import frames
from runtime.executor.frames import Order, Ready
from runtime.executor.outbox import Outbox
from runtime.executor.worker import Worker, trace_of
from runtime.sandbox.pool import Pool
from runtime.sandbox.proof import prove
from runtime.sandbox.ticker import Ticker, open_ticker

ALONE_S: Final = 5.0
"""How long the thread of the proof may take to be gone."""
EXIT_FAILED: Final = 70
GARBAGE: Final = 20_000
"""Objects made and not freed before the collector looks at them: a call leaves none, 64 at once hold thousands."""
PASS_NS: Final = 4_000_000
"""How long frames are taken before the socket is looked at again."""
GATHER_NS: Final = 1_000_000
WARM_SLOTS: Final = 16
"""A jail has no memory to map data from, so a slot is as good for any module: one that was used is used again, and the
memory of a thousand is not taken because a thousand programs were called once."""


# ---- the process -----------------------------------------------------------------------------------------------------
def main() -> None:
    """The whole process: `socket's descriptor, board's descriptor, Order as JSON` are its arguments."""
    link_fd, board_fd, told = sys.argv[-3:]
    order = msgspec.json.decode(told, type=Order)
    try:
        link = socket.socket(fileno=int(link_fd))
        link.setblocking(False)
        board = mmap.mmap(int(board_fd), mmap.PAGESIZE)
        os.close(int(board_fd))
        os.nice(order.nice)
        trio.run(partial(_serve, link, memoryview(board).cast("I"), order))
    except HostelError as error:
        _end(error.message)
    except BaseException as error:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        _end(trace_of(error))


def _end(why: str) -> None:
    """Nothing to tidy: the kernel takes all of it, and an engine that is freed in order could still be interrupted."""
    os.write(2, why.encode(errors="replace")[: frames.TEXT_BYTES])
    os._exit(EXIT_FAILED)


async def _serve(link: socket.socket, board: memoryview, order: Order) -> None:
    pool = Pool(
        slots=order.slots, keep_resident_bytes=order.keep_resident_bytes, metered=order.metered,
        warm_slots=WARM_SLOTS if order.jailed else None,
    )  # fmt: skip
    ticker = open_ticker(pool.engine, order.ticker)
    prove(pool, ticker)
    trio.lowlevel.add_instrument(ticker)
    news = select.epoll()
    news.register(link, select.EPOLLIN)
    level = _jailed() if order.jailed else jail.Level.named("none")
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE)
    async with trio.open_nursery() as nursery:
        outbox = Outbox(link, nursery)
        trio.lowlevel.add_instrument(outbox)
        worker = Worker(pool, ticker, outbox, board, nursery)
        trio.lowlevel.add_instrument(worker.turns)
        ready = Ready(ticker=ticker.kind, level=str(level), missing=level.missing)
        outbox.send(frames.READY, 0, msgspec.json.encode(ready))
        inbox = _Inbox(link, worker)
        worker.turns.is_news = inbox.is_news
        await _turns(inbox, worker, outbox, ticker, news)
        os._exit(0)  # the broker is gone


def _jailed() -> jail.Level:
    """From here on nothing new is opened or started."""
    until, threads = time.monotonic() + ALONE_S, Path("/proc/self/task")
    while len(list(threads.iterdir())) > 1 and time.monotonic() < until:
        time.sleep(0.001)  # the thread of the proof has been joined, and the kernel may still know it
    return jail.enter()


class _Inbox:
    """The broker's frames as they come: read by the reader's task, and by a guest that is about to keep the loop."""

    def __init__(self, link: socket.socket, worker: Worker) -> None:
        self.link = link
        self._worker = worker
        self._splitter = frames.Splitter(_any_length)
        self._room = bytearray(frames.RECEIVE_BYTES)
        self._view = memoryview(self._room)
        self._waiting: deque[frames.Frame] = deque()
        self._is_news = False

    def __len__(self) -> int:
        """Frames that have come and were not taken yet."""
        return len(self._waiting)

    def read(self) -> bool:
        """What has come, at most the room; False at the end. Signs of life are given at once: who asks for one wants to
        know whether this process runs, and not whether it has done all it was told. Raises BlockingIOError."""
        try:
            count = self.link.recv_into(self._room)
        except ConnectionResetError:
            return False
        for frame in self._splitter.feed(bytes(self._view[:count])):
            if frame[0] == frames.PING:
                self._worker.take(*frame)
            else:
                self._waiting.append(frame)
        return count > 0

    def take(self) -> None:
        """What was read, for PASS_NS at most: each may be a call that is taken on to its next wait."""
        waiting, take = self._waiting, self._worker.take
        until = perf_counter_ns() + PASS_NS
        while waiting:
            kind, number, body = waiting.popleft()
            take(kind, number, body)
            self._is_news = True
            if perf_counter_ns() > until:
                return

    def is_news(self) -> bool:
        """Something has come since this was asked before: `Turns.is_news`."""
        with contextlib.suppress(BlockingIOError):
            self.read()
        self.take()
        news, self._is_news = self._is_news, False
        return news


async def _turns(inbox: _Inbox, worker: Worker, outbox: Outbox, ticker: Ticker, news: select.epoll) -> None:
    """Turn after turn: what came is read and taken, what came of that is sent: when there is nothing more to read, or
    GATHER_NS after what was sent before, as each time it is sent wakes the broker. Ends with the broker.

    While no call needs the event loop there is nothing in it to wait for, and a turn of it would cost as much as a
    call: this process then waits for its one socket itself.
    """
    strands, turns, sent_ns = worker.strands, worker.turns, 0
    while True:
        try:
            if not inbox.read():
                return
        except BlockingIOError:
            outbox.flush()
            if not inbox and not strands:
                if worker.in_tasks or outbox.backlog:
                    await trio.lowlevel.wait_readable(inbox.link)
                else:
                    ticker.rest()
                    news.poll()
                continue
        turns.next_pass()
        inbox.take()
        strands.next_pass()
        if (now_ns := perf_counter_ns()) - sent_ns > GATHER_NS:
            outbox.flush()
            sent_ns = now_ns
        if worker.in_tasks:
            await trio.lowlevel.checkpoint()


def _any_length(kind: int, number: int) -> int:
    return 1 << 32
