"""The tables of the jail against the kernel's own headers, for both processors: numbers of system calls, constants and
the layout of what is packed by hand. Neither has to be the processor that this runs on."""

from __future__ import annotations

import platform
import re
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Final

import pytest

from runtime.jail import privileges, seccomp
from runtime.jail.syscalls import _NUMBERS, MACHINES
from tests.hostile import escapes

HEADERS: Final = {
    "x86_64": ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/x86_64-linux-gnu/include/asm/unistd_64.h"),
    # What arm64 has is the generic table, which comes with the headers of every processor.
    "aarch64": ("/usr/include/asm-generic/unistd.h", "/usr/aarch64-linux-gnu/include/asm-generic/unistd.h"),
}
COMPILERS: Final = {"x86_64": "x86_64-linux-gnu-gcc", "aarch64": "aarch64-linux-gnu-gcc"}
NOT_ASKED_FOR: Final = {("membarrier", "x86_64")}
"""That processor has it, and nothing in a jail there needs it."""
FACTS: Final = {
    "AUDIT_ARCH_X86_64": MACHINES["x86_64"].audit, "AUDIT_ARCH_AARCH64": MACHINES["aarch64"].audit,
    "SECCOMP_RET_ALLOW": seccomp.ALLOW, "SECCOMP_RET_ERRNO": seccomp.ERRNO,
    "SECCOMP_RET_KILL_PROCESS": seccomp.KILL_PROCESS,
    "SECCOMP_SET_MODE_FILTER": seccomp._SET_MODE_FILTER, "SECCOMP_FILTER_FLAG_TSYNC": seccomp._TSYNC,
    "BPF_LD | BPF_W | BPF_ABS": seccomp._LOAD, "BPF_JMP | BPF_JEQ | BPF_K": seccomp._EQUAL,
    "BPF_JMP | BPF_JGE | BPF_K": seccomp._AT_LEAST, "BPF_ALU | BPF_AND | BPF_K": seccomp._AND,
    "BPF_RET | BPF_K": seccomp._RETURN, "sizeof(struct sock_filter)": 8,
    "offsetof(struct seccomp_data, nr)": seccomp._NUMBER_AT, "offsetof(struct seccomp_data, arch)": seccomp._ARCH_AT,
    "offsetof(struct seccomp_data, args)": seccomp._ARGUMENTS_AT,
    "sizeof(struct sock_fprog)": struct.calcsize("<H6xQ"), "offsetof(struct sock_fprog, filter)": 8,
    "LANDLOCK_CREATE_RULESET_VERSION": 1,
    "PR_SET_PDEATHSIG": privileges._PDEATHSIG, "PR_SET_DUMPABLE": privileges._DUMPABLE,
    "PR_SET_NO_NEW_PRIVS": privileges._NO_NEW_PRIVS, "_LINUX_CAPABILITY_VERSION_3": privileges._CAPABILITIES_V3,
    "sizeof(struct __user_cap_header_struct)": 8, "2 * sizeof(struct __user_cap_data_struct)": 24,
    "CLONE_NEWUSER": privileges._NEW_USER, "CLONE_NEWIPC": privileges._NEW_IPC, "CLONE_NEWNET": privileges._NEW_NET,
    # mmap and tgkill are checked by these, as Python has them where it runs
    "MAP_ANONYMOUS": 0x20, "PROT_EXEC": 4, "SIGABRT": 6,
    # the ticker's, for its timer and its handler
    "sizeof(struct sigaction)": struct.calcsize("<Q128xi4xQ"), "offsetof(struct sigaction, sa_mask)": 8,
    "offsetof(struct sigaction, sa_flags)": 136, "offsetof(siginfo_t, si_value)": 24,
    "sizeof(struct sigevent)": struct.calcsize("<QiiI44x"), "offsetof(struct sigevent, sigev_signo)": 8,
    "offsetof(struct sigevent, sigev_notify)": 12, "offsetof(struct sigevent, _sigev_un)": 16,
    "sizeof(struct itimerspec)": 32, "sizeof(timer_t)": 8, "SIGEV_THREAD_ID": 4,
    "SA_RESTART | SA_ONSTACK | SA_SIGINFO": 0x1000_0000 | 0x0800_0000 | 0x4,
}  # fmt: skip
INCLUDES: Final = (
    "signal.h", "stddef.h", "time.h", "sched.h", "sys/mman.h", "linux/filter.h", "linux/seccomp.h", "linux/landlock.h",
    "linux/capability.h", "linux/audit.h", "linux/prctl.h",
)  # fmt: skip


def numbers(which: str) -> dict[str, int]:
    """System calls by name, as the headers of a processor have them."""
    found = next((Path(path) for path in HEADERS[which] if Path(path).exists()), None)
    if found is None:
        pytest.skip(f"NOT COMPARED: no {HEADERS[which][0]}: apt-get install linux-libc-dev")
    text = dict(re.findall(r"^#define (__NR\w+)\s+(\w+)", found.read_text(), re.MULTILINE))

    def number(word: str) -> int | None:
        while word in text:
            word = text[word]
        return int(word) if word.isdigit() else None

    named = {name.removeprefix("__NR_"): number(name) for name in text if name.startswith("__NR_")}
    return {name: value for name, value in named.items() if value is not None}


@pytest.mark.parametrize("which", MACHINES)
@pytest.mark.parametrize("table", ["the jail's", "the escape drill's"])
def test_every_number_is_the_kernels(which: str, table: str) -> None:
    ours = _NUMBERS if table == "the jail's" else escapes.NUMBERS
    theirs, column = numbers(which), MACHINES[which].column
    known = {name: theirs.get(name) for name in ours if (name, which) not in NOT_ASKED_FOR}
    assert {name: ours[name][column] for name in known} == known
    assert len(theirs) > 280, "the header was not understood"


@pytest.mark.parametrize("which", MACHINES)
def test_constants_and_layouts_are_the_kernels(which: str, tmp_path: Path) -> None:
    """The compiler is asked; nothing is run."""
    compiler = shutil.which(COMPILERS[which]) or (shutil.which("cc") if platform.machine() == which else None)
    if compiler is None:
        pytest.skip(f"NOT COMPARED: no {COMPILERS[which]}: apt-get install gcc-{which.replace('_', '-')}-linux-gnu")
    source = tmp_path / "facts.c"
    includes = "".join(f"#include <{name}>\n" for name in INCLUDES)
    asserted = "".join(f'_Static_assert(({what}) == {value}ll, "{what}");\n' for what, value in FACTS.items())
    source.write_text(f"#define _GNU_SOURCE\n{includes}{asserted}")
    done = subprocess.run([compiler, "-fsyntax-only", str(source)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
