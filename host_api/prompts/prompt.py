"""What a prompt is: what is shown to whom, how it can be answered, and what an answer is held against.

What lives here: values. A prompt is a row of the store (records.py), so it survives the process that opened it; who
shows it is a front end, in this process (cashier.py) or in another one later.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from hashlib import sha256
from typing import Any, Final

LIFE_US: Final = 120_000_000
"""How long a prompt waits for its user, and a token for its answer: no token is good for longer than its prompt."""
ANSWERABLE_AFTER_US: Final = 500_000
"""After its token was issued, which is when it is shown, a front end's answer counts: nobody has read a prompt sooner,
and a click meant for something else that stood there a moment ago is no answer."""
SHOWN_CHARS_MAX: Final = 16_384
"""Of what is shown, and of the bounds, each as JSON."""
ABOUT_CHARS_MAX: Final = 256
_encode: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode
_decode: Final = json.JSONDecoder().raw_decode


class Answer(Enum):
    """How a prompt ended. Only the first two are the user's."""

    APPROVED = "approved"
    DECLINED = "declined"
    TIMED_OUT = "timed_out"
    WITHDRAWN = "withdrawn"
    """Taken back: the waiting call was cancelled, the front end failed, the program was removed."""


class PromptError(Exception):
    """A front end's words were refused; the prompt stays as it is.

    `code` is stable: `prompt_not_found` (unknown, answered, taken back or over), `token_refused`, `answer_early`.
    """

    def __init__(self, code: str, message: str, *, retry_after_ms: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after_ms = retry_after_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a service wants shown: made in the transaction that opens the prompt."""

    shown: Mapping[str, Any]
    """What a front end draws, as plain values for JSON. All of it is the host's, or text that was cleaned before."""
    bounds: Mapping[str, Any] = field(default_factory=dict)
    """Plain values for JSON that the service wants back with the answer; no front end sees them."""
    digest: bytes | None = None
    """The service's own digest of what is shown; None: `digest_of`."""
    expires_us: int | None = None
    """Not to be answered from then on, if that is before the prompt's own time is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One question to one user, as a front end draws it."""

    id: str
    kind: str
    """"payment" or "consent": what `shown` holds follows from it."""
    app_id: str
    user: str
    about: str
    """What the answer is about, in the service's words: an order's id, the scopes asked for."""
    shown: Mapping[str, Any]
    """payment: `payee`, `amount_text` and `subject`, drawn apart from each other, and `amount` as Money."""
    digest: bytes
    """SHA-256 over what is shown; an answer gives it back."""
    opened_us: int
    expires_us: int
    """From then on no answer counts; µs since the epoch."""
    token: str = field(default="", repr=False)
    """256 random bits, good for one answer; only where it was issued. Whoever has it can answer: it goes to the user's
    front end alone."""
    issued_us: int = 0
    """When a token was issued last; 0: none was."""

    @property
    def answerable_us(self) -> int:
        """From then on a front end's answer counts; each issue of a token moves it."""
        return max(self.opened_us, self.issued_us) + ANSWERABLE_AFTER_US

    def with_token(self, token: str) -> Prompt:
        return replace(self, token=token)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPrompt:
    """A prompt's row: with what no front end sees."""

    prompt: Prompt
    bounds: Mapping[str, Any]
    token_hash: bytes
    """SHA-256 of the token; empty while none was issued."""


def digest_of(*, kind: str, app_id: str, user: str, about: str, shown: Mapping[str, Any]) -> bytes:
    """SHA-256 over what a front end is given: who asks whom, about what, in which words."""
    return sha256(b"hostel prompt 1\0" + as_json([kind, app_id, user, about, shown]).encode()).digest()


def token_hash(token: str) -> bytes:
    return sha256(b"hostel prompt token 1\0" + token.encode(errors="surrogatepass")).digest()


def as_json(value: Any) -> str:
    """Canonical: sorted keys, no spaces, ASCII. Raises ValueError for what is too long or no JSON, TypeError."""
    text = _encode(value)
    if len(text) > SHOWN_CHARS_MAX:
        raise ValueError(f"a prompt may show {SHOWN_CHARS_MAX} characters of JSON, not {len(text)}")
    return text


def from_json(text: str) -> Any:
    """What `as_json` made."""
    return _decode(text)[0]
