"""How much of a long test is run: a sample in every run, all of it with HOSTEL_LONG=1."""

from __future__ import annotations

import os
from typing import Final

LONG: Final = bool(os.environ.get("HOSTEL_LONG"))
