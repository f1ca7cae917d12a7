"""The clock a guest is billed by: CPU time of the calling thread, without what Python's garbage collector took of it.

A full collection walks every object of the process (tens of ms in a large service) and strikes whoever allocates next:
it is nobody's bill. Nothing here knows what a guest is.
"""

from __future__ import annotations

import gc
import resource
import threading
from collections.abc import Mapping
from time import thread_time_ns
from typing import Any

import trio

_THREAD_USAGE = hasattr(resource, "RUSAGE_THREAD")  # not on macOS


class _Collected(threading.local):
    """Of each thread: CPU time of the collections it ran, and when the one under way began."""

    ns = 0
    began = 0


_collected = _Collected()


def billed_ns() -> int:
    """Nanoseconds; only differences mean something, and only in one thread."""
    return thread_time_ns() - _collected.ns


def sleeps() -> int:
    """How often this thread gave the processor up by itself: after a guest's slice, that is waiting for the GIL."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw if _THREAD_USAGE else 0


def leave_out_collections() -> None:
    """From now on; called once trio runs. Before, Ctrl-C would now and then strike in what Python calls at a
    collection, and of an exception there nobody hears: trio keeps it for later."""
    if _on_collection not in gc.callbacks:
        gc.callbacks.append(_on_collection)


@trio.lowlevel.enable_ki_protection
def _on_collection(phase: str, info: Mapping[str, Any]) -> None:
    if phase == "start":
        _collected.began = thread_time_ns()
    else:
        _collected.ns += thread_time_ns() - _collected.began
