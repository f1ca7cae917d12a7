"""Every target by its name. Nothing is declared here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.fuzz.file_targets import FILES
from tests.fuzz.format_targets import FORMATS
from tests.fuzz.protocol_targets import PROTOCOLS
from tests.fuzz.search import Target
from tests.fuzz.session_target import SESSION

TARGETS: Final[Mapping[str, Target]] = {target.name: target for target in (*FORMATS, *FILES, *PROTOCOLS, SESSION)}
