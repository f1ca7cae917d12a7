"""The guest ABI `hostel_v1` as tables: what a module may import and what it must export, by name and exact type.

What lives here: names and types only (docs/protocol.md §4). What an import does stands in hostcalls.py and wasi.py; the
static checks and the linker both read these tables, so that what the checks let pass also links. Types of the WASI
functions: the preview1 description files of the WebAssembly System Interface.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Signature(NamedTuple):
    """A function type. One letter a value: `i` is i32, `I` is i64; no other type crosses the boundary."""

    params: str
    results: str


HOSTEL: Final = "hostel_v1"
WASI: Final = "wasi_snapshot_preview1"


def _functions(table: str) -> Mapping[str, Signature]:
    """`name params>results`, one a word pair."""
    words = table.split()
    return {name: Signature(*kind.split(">")) for name, kind in zip(words[::2], words[1::2], strict=True)}


HOSTEL_IMPORTS: Final = _functions("call iiii>i  post ii>i  wait iii>i  take ii>i")
WASI_IMPORTS: Final = _functions("""
    args_get ii>i  args_sizes_get ii>i  environ_get ii>i  environ_sizes_get ii>i
    clock_res_get ii>i  clock_time_get iIi>i
    fd_advise iIIi>i  fd_allocate iII>i  fd_close i>i  fd_datasync i>i  fd_fdstat_get ii>i  fd_fdstat_set_flags ii>i
    fd_fdstat_set_rights iII>i  fd_filestat_get ii>i  fd_filestat_set_size iI>i  fd_filestat_set_times iIIi>i
    fd_pread iiiIi>i  fd_prestat_get ii>i  fd_prestat_dir_name iii>i  fd_pwrite iiiIi>i  fd_read iiii>i
    fd_readdir iiiIi>i  fd_renumber ii>i  fd_seek iIii>i  fd_sync i>i  fd_tell ii>i  fd_write iiii>i
    path_create_directory iii>i  path_filestat_get iiiii>i  path_filestat_set_times iiiiIIi>i  path_link iiiiiii>i
    path_open iiiiiIIii>i  path_readlink iiiiii>i  path_remove_directory iii>i  path_rename iiiiii>i
    path_symlink iiiii>i  path_unlink_file iii>i
    poll_oneoff iiii>i  proc_exit i>  proc_raise i>i  random_get ii>i  sched_yield >i
    sock_accept iii>i  sock_recv iiiiii>i  sock_send iiiii>i  sock_shutdown ii>i
""")
IMPORTS: Final[Mapping[tuple[str, str], Signature]] = {
    **{(HOSTEL, name): kind for name, kind in HOSTEL_IMPORTS.items()},
    **{(WASI, name): kind for name, kind in WASI_IMPORTS.items()},
}
"""(module, name) → type: everything a module may import."""

MEMORY: Final = "memory"
INITIALIZE: Final = "_initialize"
INBOX: Final = "hostel_inbox"
INBOX_SIZE: Final = "hostel_inbox_size"
EXPORTS: Final = _functions("hostel_alloc i>i  hostel_handle ii>I")
"""The functions a module must export; `_initialize` (() -> ()) it may."""
