"""What answers the methods that need a running host: calls, programs, figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from runtime.bundle_reader import read_bundle
from runtime.calls import Words
from runtime.control import calling, front_ends, programs, proof
from runtime.control.method import Done
from runtime.daemon.control.answers import Answer, StateAnswers, by_name
from runtime.daemon.control.registry_answers import DeveloperAnswers, ProgramAnswers, ReleaseAnswers
from runtime.daemon.control.running import Done as WhenDone
from runtime.daemon.control.running import cancelled
from runtime.daemon.control.upkeep_answers import JournalAnswers, UpkeepAnswers
from runtime.errors import CallCancelled, HostelError
from runtime.host import Host
from runtime.receipt import Reply


class HostAnswers:
    """For one host."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def all(self) -> Mapping[str, Answer]:
        """With those of its state."""
        host = self._host
        others = (
            StateAnswers(host), JournalAnswers(host), UpkeepAnswers(host), DeveloperAnswers(host.developers),
            ReleaseAnswers(host.releases), ProgramAnswers(host),
        )  # fmt: skip
        return {**{name: answer for each in others for name, answer in each.all().items()}, **by_name(
            Answer(calling.CALL, self.call),
            Answer(calling.NOTIFY, self.notify),
            Answer(programs.INSTALL, self.install),
            Answer(programs.SET_FEES, self.set_fees),
            Answer(front_ends.ISSUE_TOKEN, self.issue_token),
            Answer(proof.STATISTICS, self.statistics),
        )}  # fmt: skip

    # ---- calls -------------------------------------------------------------------------------------------------------
    async def call(self, asked: calling.Call) -> calling.Replied:
        reply = await self._host.call_with(asked.app, asked.method, asked.params, _words(asked))
        return calling.Replied(value=reply.value, receipt=reply.receipt)

    def begin_call(self, asked: calling.Call, done: WhenDone) -> Callable[[], None] | None:
        """As `call`, without a task for it (running.Begin)."""
        if asked.deadline_ms is not None:
            return None
        words = _words(asked)
        unwanted = False

        def over(reply: Reply | HostelError) -> None:
            if isinstance(reply, Reply):
                done(calling.Replied(value=reply.value, receipt=reply.receipt))
            else:
                done(cancelled(calling.CALL.effect) if unwanted and isinstance(reply, CallCancelled) else reply)

        give_up = self._host.begin_call(asked.app, asked.method, asked.params, words, over)
        if give_up is None:
            return None

        def stop() -> None:
            nonlocal unwanted
            unwanted = True
            give_up()

        return stop

    async def notify(self, asked: calling.Notify) -> calling.Taken:
        words = Words(asked.user, trace_id=asked.trace_id, traceparent=asked.trace or "")
        receipt = await self._host.notify_with(asked.app, asked.method, asked.params, words)
        return calling.Taken(receipt=receipt)

    # ---- programs ----------------------------------------------------------------------------------------------------
    async def install(self, asked: programs.Install) -> programs.Installed:
        app = await self._host.install(
            await read_bundle(asked.bundle), grant=asked.grant, limits=asked.limits, payee=asked.payee,
            sector=asked.sector, config=asked.config, allow_unsigned=asked.allow_unsigned, new_owner=asked.new_owner,
            isolation=asked.isolation,
        )  # fmt: skip
        return programs.Installed(app=app)

    async def set_fees(self, asked: programs.SetFees) -> Done:
        await self._host.set_fees(asked.app, asked.terms)
        return Done()

    # ---- front ends --------------------------------------------------------------------------------------------------
    def issue_token(self, asked: front_ends.IssueToken) -> front_ends.TokenIssued:
        token = self._host.front_end.issue_token(
            asked.user, interactive=asked.interactive, locale=asked.locale, time_zone=asked.time_zone,
            currency=asked.currency, programs=asked.programs, life_s=asked.life_s,
        )  # fmt: skip
        return front_ends.TokenIssued(token=token)

    # ---- figures -----------------------------------------------------------------------------------------------------
    def statistics(self, _: Any) -> proof.StatisticsTold:
        return proof.StatisticsTold(statistics=self._host.statistics())


def _words(asked: calling.Call) -> Words:
    return Words(
        asked.user, asked.interactive, asked.locale, asked.time_zone, asked.currency, asked.trace_id, asked.trace or ""
    )
