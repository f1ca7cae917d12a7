"""The jail of a process that runs or compiles guests' code: what it may still ask of the kernel is next to nothing.

Here: `enter`, called once by a single-threaded process that has opened all it needs; `step_down`, its first half, for
a parent whose children enter; `probe`, which tells beforehand how far that goes on this machine; `Level`, the answer.
Standard library only: a compile child's start must stay short, and nothing here may import what will be jailed. Linux
on x86-64 and arm64; elsewhere there is no jail, and the level says so.
"""

from runtime.jail.entry import Deny, JailError, Work, end_with, enter, step_down
from runtime.jail.level import Grade, Level
from runtime.jail.probing import probe

__all__ = ["Deny", "Grade", "JailError", "Level", "Work", "end_with", "enter", "probe", "step_down"]
