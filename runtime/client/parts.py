"""Parts of a client, as a host has them: prompts, users, consents, notices; and the host's own process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from host_api.front_end.token import LIFE_S
from host_api.notify.notices import Notice
from host_api.prompts.prompt import Answer, Prompt
from host_api.user.consent import Consent
from runtime.client.link import Link
from runtime.control import front_ends, steering, users


class Prompts:
    """See `host_api.prompts.desk.Desk`: its side for front ends."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def pending(self, user: str | None = None) -> list[Prompt]:
        """See `Desk.pending`."""
        return list((await self._link.request(front_ends.PENDING, front_ends.OfUser(user=user))).prompts)

    async def find(self, prompt_id: str) -> Prompt | None:
        """See `Desk.find`."""
        return (await self._link.request(front_ends.FIND, front_ends.OnePrompt(prompt_id=prompt_id))).prompt

    async def count(self) -> int:
        """See `Desk.count`."""
        return (await self._link.request(front_ends.COUNT, front_ends.COUNT.params())).count

    async def issue(self, prompt_id: str) -> Prompt:
        """See `Desk.issue`."""
        return (await self._link.request(front_ends.ISSUE, front_ends.OnePrompt(prompt_id=prompt_id))).prompt

    async def answer(self, prompt_id: str, token: str, digest: bytes, approved: bool) -> Answer:
        """See `Desk.answer`."""
        asked = front_ends.AnswerPrompt(prompt_id=prompt_id, token=token, digest=digest, approved=approved)
        return (await self._link.request(front_ends.ANSWER, asked)).answer

    async def withdraw(self, prompt_id: str) -> bool:
        """See `Desk.withdraw`."""
        return (await self._link.request(front_ends.WITHDRAW, front_ends.OnePrompt(prompt_id=prompt_id))).ended


class Users:
    """See `host_api.user.directory.EmbeddedDirectory`."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def put(self, user: str, fields: Mapping[str, str | None]) -> None:
        """See `EmbeddedDirectory.put`."""
        await self._link.request(users.PUT, users.PutUser(user=user, fields=dict(fields)))

    async def fields(self, user: str, names: Sequence[str]) -> Mapping[str, str]:
        """See `EmbeddedDirectory.fields`."""
        return (await self._link.request(users.FIELDS, users.UserFields(user=user, names=list(names)))).fields


class Consents:
    """See `host_api.user.consent.ConsentStore`: what users may."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def of_user(self, user: str) -> list[Consent]:
        """See `ConsentStore.of_user`."""
        return list((await self._link.request(front_ends.CONSENTS, front_ends.ConsentsOf(user=user))).consents)

    async def revoke(self, app_id: str, user: str, scope: str | None = None) -> int:
        """See `ConsentStore.revoke`."""
        asked = front_ends.RevokeConsent(app_id=app_id, user=user, scope=scope)
        return (await self._link.request(front_ends.REVOKE_CONSENT, asked)).count


class FrontEnd:
    """See `host_api.front_end.sessions.FrontEnds`: its side for a platform's backend."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def issue_token(
        self, user: str, *, interactive: bool = True, locale: str = "en", time_zone: str = "UTC",
        currency: str = "CNY", programs: Sequence[str] | None = None, life_s: int = LIFE_S,
    ) -> str:  # fmt: skip
        """See `FrontEnds.issue_token`."""
        asked = front_ends.IssueToken(
            user=user, interactive=interactive, locale=locale, time_zone=time_zone, currency=currency,
            programs=None if programs is None else list(programs), life_s=life_s,
        )  # fmt: skip
        return (await self._link.request(front_ends.ISSUE_TOKEN, asked)).token

    async def end_sessions(self, user: str) -> None:
        """See `FrontEnds.end_sessions`."""
        await self._link.request(front_ends.END_SESSIONS, front_ends.EndSessions(user=user))


class Notices:
    """See `host_api.notify.notices.Notices`."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def pending(self, user: str | None = None) -> list[Notice]:
        """See `Notices.pending`."""
        return list((await self._link.request(front_ends.NOTICES, front_ends.OfUser(user=user))).notices)

    async def take(self, notice_id: str) -> bool:
        """See `Notices.take`."""
        return (await self._link.request(front_ends.TAKE, front_ends.TakeNotice(notice_id=notice_id))).taken


class Steering:
    """The daemon that the host runs in. For operators; what they ask is audited."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def reload(self) -> steering.Reloaded:
        """The configuration's file is read again, as SIGHUP has it read. Raises UsageError (`config_invalid`) for one
        that is wrong: nothing changed then."""
        return await self._link.request(steering.RELOAD, steering.RELOAD.params())

    async def drain(self, seconds: float | None = None) -> int:
        """No new calls until the daemon is started anew; returns when none is in flight, how many were. Those that are
        have `seconds`, or as long as the configuration says. It goes on when this is cancelled."""
        return (await self._link.request(steering.DRAIN, steering.Drain(seconds=seconds))).calls_in_flight

    async def stop(self) -> None:
        """The daemon begins to end, as it does for SIGTERM. Returns at once."""
        await self._link.request(steering.STOP, steering.STOP.params())
