"""The desk: where services have users asked, front ends answer, and calls wait. One for each host.

What lives here: tasks, and who is woken. What is checked and written is in register.py. A prompt outlives the call that
opened it, and the process: memory only holds who waits here and what is shown here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import trio

from host_api.capability import Authority
from host_api.contract import Clock, Session
from host_api.errors import ApiError, ErrorCode
from host_api.prompts import records
from host_api.prompts.cashier import Cashier, Later
from host_api.prompts.places import OpenPrompt, Place, Places
from host_api.prompts.prompt import ABOUT_CHARS_MAX, Answer, Prompt, PromptError, token_hash
from host_api.prompts.register import Look, Make, Question, Register, Reply, Settle, not_found, not_interactive
from host_api.store.protocol import Store, Transaction

_log = logging.getLogger(__name__)

LISTED_MAX: Final = 1_000
"""`pending` gives the oldest ones."""
_BATCH: Final = 256


class Desk:
    """All prompts of one host. `nursery` is the host's; `cashier` shows prompts in this process; without one they wait
    for a front end, which comes through `pending`, `issue` and `answer`.

    `new_id`: 128 random bits as text. `new_token`: 256. Closing the nursery leaves the prompts as they are: they wait
    in the store until their time is over, and a front end, or a call that asks again, finds them there.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        nursery: trio.Nursery,
        cashier: Cashier | None,
        new_id: Callable[[], str],
        new_token: Callable[[], str],
        installed: Callable[[Transaction, str, str], Authority | None] = lambda *_: None,
    ) -> None:
        """`installed`: what the program of that id may do for that user as it is installed now, None where nobody
        knows; asked in jobs."""
        self._store = store
        self._clock = clock
        self._nursery = nursery
        self._cashier = cashier
        self._new_id = new_id
        self._new_token = new_token
        self._installed = installed
        self._register = Register()
        self._places = Places()

    def register(self, kind: str, settle: Settle) -> None:
        """What an answer to prompts of this kind does; before the first of them, each kind once."""
        self._register.settle[kind] = settle

    # ---- for services ------------------------------------------------------------------------------------------------
    async def ask(self, session: Session, *, kind: str, about: str, make: Make, look: Look = lambda _: None) -> Place:
        """Opens a prompt, or joins the one that is open about this very thing (a request sent again).

        `look` raises what is wrong with what is asked for, and writes nothing: refusals cost no commit. `make` changes
        what the opening changes, and gives what is shown; it follows a `look` in the same transaction. Both are jobs.
        The caller goes on to `wait` at once.

        Raises ApiError: RATE_LIMITED (the user said no too recently, or was asked too often) or what `look` raises,
        whichever stands first in the list of codes; then CASHIER_BUSY, NOT_INTERACTIVE, BUSY; and what the store
        raises.
        """
        if not session.user:
            raise not_interactive()
        if not 1 <= len(about) <= ABOUT_CHARS_MAX:
            raise ValueError(f"what a prompt is about has 1 to {ABOUT_CHARS_MAX} characters")
        question = Question(session=session, kind=kind, about=about, look=look, make=make)
        prompt = self._store.read(lambda tx: self._register.admit(tx, question))
        prompt_id = token = ""
        if prompt is None:
            prompt_id, token = self._new_id(), self._new_token() if self._cashier is not None else ""
            with self._places.asking(session.app_id, session.user):
                prompt = await self._store.write(lambda tx: self._register.open(tx, question, prompt_id, token))
            if self._is_gone(prompt.id):  # since it was written, by a job that knew of nobody to wake
                return Place(prompt=prompt, joined=prompt.id != prompt_id)
        joined = prompt.id != prompt_id
        known = self._places.enter(prompt, self._clock.now_us())
        if not joined:
            known.authority = session.authority.outermost
        self._show_here(known, "" if joined else token)
        return Place(prompt=prompt, joined=joined)

    async def wait(self, place: Place, seconds: float) -> bool:
        """Wait for the prompt's end; True if it came in time. With 0 seconds it only looks.

        Cancelled, it withdraws the prompt if no other call waits for it and no answer is being carried out, and passes
        at once. Raises what kept a cashier's answer from being written.
        """
        known = self._places.find(place.prompt.id)
        if known is None:
            await trio.lowlevel.checkpoint_if_cancelled()
            return True
        if not known.served:  # nobody here ends it when its time is over
            seconds = min(seconds, (place.prompt.expires_us - self._clock.now_us()) / 1e6)
        known.waiting += 1
        try:
            await trio.lowlevel.checkpoint_if_cancelled()
            if seconds > 0:
                with trio.move_on_after(seconds):
                    await known.released.wait()
        except trio.Cancelled:
            if known.waiting == 1 and not known.answering and not self._places.is_asked(*known.place):
                known.withdraw()
                self._nursery.start_soon(self._withdraw_quietly, place.prompt.id, name="prompt withdrawn")
            raise
        finally:
            known.waiting -= 1
        if known.error is not None:
            raise known.error
        return known.ended.is_set()

    def authorities(self, tx: Transaction, prompt: Prompt) -> list[Authority]:
        """As they are now: of the release whose call opened the prompt, unless another process did, and of the one that
        is installed. They outlive the call: what the call alone was held to is for the service to keep with the
        prompt."""
        known = self._places.find(prompt.id)
        found = (None if known is None else known.authority, self._installed(tx, prompt.app_id, prompt.user))
        return [authority for authority in found if authority is not None]

    def refresh(self, app_id: str, user: str) -> None:
        """After a job that deleted a prompt's row by itself, with what the prompt was about: wakes who waits for it."""
        known = self._places.at(app_id, user)
        if known is not None and self._is_gone(known.prompt.id):
            self._places.leave(known.prompt.id)

    def _is_gone(self, prompt_id: str) -> bool:
        return self._store.read(lambda tx: records.by_id(tx, prompt_id)) is None

    def is_awaited(self, prompt_id: str) -> bool:
        """A call of this process waits for it now."""
        known = self._places.find(prompt_id)
        return known is not None and known.waiting > 0

    # ---- for front ends ----------------------------------------------------------------------------------------------
    def pending(self, user: str | None = None) -> list[Prompt]:
        """The prompts that wait now, of one user or of all, the oldest first; LISTED_MAX at most. Without tokens."""
        return [stored.prompt for stored in self._store.read(lambda tx: records.waiting(tx, user, LISTED_MAX))]

    def find(self, prompt_id: str) -> Prompt | None:
        """The prompt, if it waits now. Without a token."""

        def look(tx: Transaction) -> Prompt | None:
            stored = records.by_id(tx, prompt_id)
            return None if stored is None or stored.prompt.expires_us <= tx.now_us else stored.prompt

        return self._store.read(look)

    def count(self) -> int:
        """How many prompts wait now."""
        return self._store.read(records.count)

    async def issue(self, prompt_id: str) -> Prompt:
        """The prompt with a token for one answer, which counts 500 ms from now on: ask for it when the prompt is shown.
        A token issued before is good no more.

        Raises PromptError `prompt_not_found`, and what the store raises.
        """
        token = self._new_token()
        return await self._store.write(lambda tx: self._register.issue(tx, prompt_id, token))

    async def answer(self, prompt_id: str, token: str, digest: bytes, approved: bool) -> Answer:
        """The user's answer, from a front end: how the prompt ended, which is TIMED_OUT if it came too late.

        Raises PromptError (the prompt stays, the refusal is logged): `prompt_not_found`; `token_refused`, for another
        token or digest than those issued; `answer_early`, within 500 ms of the token's issue. Raises ApiError for a
        yes that the service refuses, and what the store raises. Cancelled before the hand-over to the store it does
        nothing; after it, it is carried out.
        """
        return await self._answer(prompt_id, token, digest, approved, by_cashier=False)

    # ---- for the host ------------------------------------------------------------------------------------------------
    async def withdraw(self, prompt_id: str) -> bool:
        """Take a prompt back. False if it had ended before: then that counts. Raises what the store raises: after BUSY
        the prompt is open as before."""
        known = self._places.find(prompt_id)
        with self._taking_back([] if known is None else [known]):
            ended = await self._store.write(lambda tx: self._register.take_back(tx, prompt_id, Answer.WITHDRAWN))
        self._places.leave(prompt_id)
        return ended

    async def withdraw_program(self, app_id: str, user: str | None = None) -> int:
        """For a revoked grant, a removed program, a user who left: take its prompts back; how many there were.

        From the call on no answer to them counts that was not handed to the store before. The one operation that looks
        at every prompt known here. Raises what the store raises: after BUSY those that are left are open as before.
        """
        mine = [known for known in self._places if known.prompt.app_id == app_id and user in (None, known.prompt.user)]
        count = 0
        with self._taking_back(mine):
            while ids := await self._store.write(lambda tx: self._register.take_back_some(tx, app_id, user, _BATCH)):
                count += len(ids)
                for prompt_id in ids:
                    self._places.leave(prompt_id)
        return count

    @contextmanager
    def _taking_back(self, prompts: list[OpenPrompt]) -> Iterator[None]:
        """Inside it no answer to them counts that comes now; they are as before if nothing happened."""
        for known in prompts:
            known.withdraw()
        try:
            yield
        except BaseException as error:  # cancelled: before the hand-over
            for known in prompts:
                if self._places.find(known.prompt.id) is not known:
                    continue
                if isinstance(error, ApiError) and error.code is ErrorCode.UNKNOWN_OUTCOME:
                    self._places.leave(known.prompt.id)  # whoever waits asks the store
                else:
                    known.restore()
                    self._show_here(known, "")
            raise

    def sweep(self, tx: Transaction, at_most: int) -> int:
        """A job: records the end of prompts whose time is over, and forgets declines that count no more; how many rows
        it worked on. Nothing waits for it: both are so without it."""
        return self._register.sweep(tx, at_most)

    # ---- answers -----------------------------------------------------------------------------------------------------
    async def _answer(self, prompt_id: str, token: str, digest: bytes, approved: bool, *, by_cashier: bool) -> Answer:
        reply = Reply(
            prompt_id=prompt_id, token_hash=token_hash(token), digest=digest, approved=approved, by_cashier=by_cashier
        )
        known = self._places.find(prompt_id)
        if known is not None and known.withdrawn:
            raise not_found()
        if known is not None:
            known.answering += 1
        try:
            answer, refused = await self._store.write(lambda tx: self._register.decide(tx, reply))
        except PromptError as error:
            _log.warning("an answer to prompt %s was refused: %s", ascii(prompt_id)[:80], error.message)
            raise
        finally:
            if known is not None:
                known.answering -= 1
        self._places.leave(prompt_id)
        if refused is not None:
            raise refused
        return answer

    async def _withdraw_quietly(self, prompt_id: str) -> None:
        """For a call that is gone: whatever comes of it is found in the store."""
        with trio.CancelScope(shield=True):
            try:
                await self.withdraw(prompt_id)
            except Exception:
                _log.exception("prompt %s could not be taken back", prompt_id)
                self._places.leave(prompt_id)

    # ---- the cashier of this process ---------------------------------------------------------------------------------
    def _show_here(self, known: OpenPrompt, token: str) -> None:
        """Have the cashier show it, if there is one and it does not already. `token`: '' for one to be issued."""
        if self._cashier is not None and not known.served:
            known.served = True
            self._nursery.start_soon(self._serve, known, known.scope, self._cashier, token, name="prompt")

    async def _serve(self, known: OpenPrompt, scope: trio.CancelScope, cashier: Cashier, token: str) -> None:
        """As long as the prompt is open: has the cashier show it, and carries out what comes of it."""
        prompt = known.prompt
        try:
            shown = prompt.with_token(token) if token else await self.issue(prompt.id)
            seconds = max(0, prompt.expires_us - self._clock.now_us()) / 1e6
            with scope, trio.move_on_after(seconds) as patience:
                if await self._show(cashier, shown):
                    await known.ended.wait()
                else:
                    known.put_aside()
            if patience.cancelled_caught and not known.ended.is_set() and not known.withdrawn:
                await self._end_shielded(prompt.id, Answer.TIMED_OUT)
        except PromptError:
            self._places.leave(prompt.id)
        except Exception as error:
            _log.exception("prompt %s could not be ended", prompt.id)
            known.error = error
            self._places.leave(prompt.id)

    async def _show(self, cashier: Cashier, shown: Prompt) -> bool:
        """A broken cashier withdraws the prompt; a wrong answer of its leaves it to others, until its time is over.
        False: the user put it aside."""
        try:
            decision = await cashier.confirm(shown)
            if isinstance(decision, Later):
                return False
            words = decision.token, decision.digest, decision.approved
        except Exception:
            _log.exception("the cashier failed on prompt %s", shown.id)
            await self._end_shielded(shown.id, Answer.WITHDRAWN)
            return True
        with trio.CancelScope(shield=True):
            try:
                await self._answer(shown.id, *words, by_cashier=True)
            except PromptError:
                return True
            except ApiError as error:
                if self._places.find(shown.id) is not None:
                    raise  # the store's: the prompt is open still
                _log.info("the yes to prompt %s was not carried out: %s", shown.id, error.message)
        return True

    async def _end_shielded(self, prompt_id: str, answer: Answer) -> None:
        with trio.CancelScope(shield=True):
            await self._store.write(lambda tx: self._register.take_back(tx, prompt_id, answer))
            self._places.leave(prompt_id)
