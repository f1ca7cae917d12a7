"""Asking for consent: one dialog for all that is not decided yet, drawn by the host, answered at the desk.

What lives here: which scopes are asked for, what the user is shown, and what the answer writes. What was decided is in
consent.py; how a prompt opens and ends is the desk's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

from host_api.contract import Session
from host_api.prompts.desk import Desk
from host_api.prompts.prompt import Answer, Prompt, Shown
from host_api.store.protocol import Store, Transaction
from host_api.user.consent import ConsentStore, Standing, standings_in
from host_api.user.purpose import Purpose, purpose
from host_api.user.scopes import SCOPES

KIND: Final = "consent"
TOLD: Final[Mapping[Standing, Literal["granted", "refused", "pending"]]] = {
    Standing.GRANTED: "granted",
    Standing.REFUSED: "refused",
    Standing.UNDECIDED: "pending",
}
"""How a program is told."""
_TRIES: Final = 3


class _DecidedMeanwhile(Exception):
    """What is still to be asked for is not what it was a moment ago: look again."""


class ConsentPrompts:
    """Asks users. Registers with the desk what an answer means: one for each desk."""

    def __init__(self, *, store: Store, desk: Desk, consents: ConsentStore) -> None:
        self._store = store
        self._desk = desk
        self._consents = consents
        desk.register(KIND, self.settle)

    async def ask(self, session: Session, scopes: Sequence[str], wait_ms: int) -> dict[str, Standing]:
        """What the session's user decided on each of `scopes`; asks in one dialog for those that are undecided, and
        waits for the answer up to `wait_ms` (and the limit prompt_wait_ms; the call's deadline stands still).

        The session has a user. Raises ApiError: what `Authority.require` raises of the capability of a scope that is
        asked for, what `Desk.ask` raises, BUSY. Cancelled, it takes the dialog back unless another call waits for it.
        """
        for _ in range(_TRIES):
            found = self._standings(session, scopes)
            undecided = [scope for scope in SCOPES if found.get(scope) is Standing.UNDECIDED]
            if not undecided:
                break
            try:
                await self._dialog(session, undecided, wait_ms)
            except _DecidedMeanwhile:
                continue
            return self._standings(session, scopes)
        return found

    def _standings(self, session: Session, scopes: Iterable[str]) -> dict[str, Standing]:
        return self._consents.standings(session, scopes, self._store.now_us())

    async def _dialog(self, session: Session, scopes: Sequence[str], wait_ms: int) -> None:
        def look(tx: Transaction) -> None:
            for scope in scopes:
                session.authority.require(SCOPES[scope].capability, tx.now_us)
            if set(standings_in(tx, session, scopes, tx.now_us).values()) != {Standing.UNDECIDED}:
                raise _DecidedMeanwhile

        shown = Shown(shown=_shown(session, scopes, self._consents.valid_us))
        place = await self._desk.ask(session, kind=KIND, about=" ".join(scopes), look=look, make=lambda _: shown)
        with session.stand_still():
            await self._desk.wait(place, min(wait_ms, session.limits.prompt_wait_ms) / 1_000)

    def settle(self, tx: Transaction, prompt: Prompt, answer: Answer) -> None:
        """The user's yes or no, for every scope that was shown, with the very text; see `prompts.desk.Settle`."""
        if answer not in (Answer.APPROVED, Answer.DECLINED):
            return
        for ask in prompt.shown["asks"]:
            kept = ask["record"]
            shown = Purpose(text=ask["purpose"], language=kept["language"], version=kept["purpose_version"])
            for scope in kept["scopes"]:
                self._consents.decide(
                    tx,
                    prompt.app_id,
                    prompt.user,
                    scope,
                    shown,
                    given=answer is Answer.APPROVED,
                    valid_us=prompt.shown["valid_us"],
                )


def _shown(session: Session, scopes: Sequence[str], valid_us: int) -> Mapping[str, Any]:
    """What a front end draws: who asks, and for each capability what it covers and why; all of it under the digest."""
    asks = []
    for capability in dict.fromkeys(SCOPES[scope].capability for scope in scopes):
        its = [scope for scope in scopes if SCOPES[scope].capability == capability]
        why = purpose(session.reasons.get(capability, {}), session.locale)
        asks.append(
            {
                "covers": ", ".join(SCOPES[scope].covers for scope in its),
                "purpose": why.text,
                "record": {"scopes": its, "language": why.language, "purpose_version": why.version},
            }
        )
    return {"program": session.program_name, "app_id": session.app_id, "asks": asks, "valid_us": valid_us}
