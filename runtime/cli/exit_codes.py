"""What `hostel` ends with, and what it means: the table behind help, docs and tests. Codes are never reused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

FAULT: Final = 70
OUTPUT_FAILED: Final = 74
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141

EXIT_CODES: Final[Mapping[int, str]] = {
    0: "done",
    1: "the host failed; the line says at what",
    2: "wrong usage: an argument, a file that cannot be read or written, a grant or limit that does not exist",
    3: "the bundle or its manifest is refused",
    4: "the signature is missing, does not fit, or is not trusted",
    5: "the module is refused by the static checks or the compiler",
    6: "the module costs too much to compile",
    7: "the call was refused before it began",
    8: "the host does not start, or the state directory cannot be used",
    11: "the program answered with an error of its own",
    12: "the program exited instead of answering",
    13: "the program trapped",
    14: "the program used up its processor time, fuel or deadline",
    15: "the program broke the protocol",
    16: "the call was cancelled",
    17: "the program was uninstalled, or its user erased, during the call",
    18: "the worker that ran the call was lost",
    19: "the answer to a prompt was not taken, or what was confirmed could not be carried out",
    20: "what the host keeps does not hold together; the line names the first difference",
    21: "the request was refused or ended on its way to the host",
    22: "the host does not know who asks, or does not allow it to them",
    23: "no host answers there, or is ready in time, or the connection to it was lost",
    24: "the replay differs from the record; the line says where first",
    25: "a scenario failed; the lines before say at which step",
    26: "the program could not be built: a compiler is missing, or it refused the source",
    FAULT: "a fault of hostel itself; the line has an incident id",
    OUTPUT_FAILED: "the output could not be written: a full disk, most likely",
    INTERRUPTED: "interrupted from the keyboard",
    BROKEN_PIPE: "whoever read the output went away",
}
"""Each `exit_code` of runtime/errors.py, and those of the command line alone."""
