"""Opening the journal of a state directory, for a host and for a command that works on the directory alone.

What lives here: where it lies and which key it is made with.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from host_api.store import Store
from host_api.store.key_file import KEY_BYTES, open_key
from runtime.journal.journal import FOLDER, KEY_PURPOSE, Journal
from runtime.settings import JournalSettings


async def open_journal(store: Store, state: Path | None, settings: JournalSettings | None) -> Journal | None:
    """The journal in `state`; None where there is none and none is to be written. Raises StoreError, OSError."""
    if state is None or (settings is None and not (state / FOLDER).is_dir()):
        return None
    key = await open_key(store, state, KEY_PURPOSE, lambda: secrets.token_bytes(KEY_BYTES))
    return Journal(state / FOLDER, key=key, settings=settings, now_us=store.now_us)
