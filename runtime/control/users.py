"""Methods for what is kept of users: set, given out, erased."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from host_api.contract import Result
from host_api.erasure.user import Erased
from runtime.control.method import ControlMethod, ControlParams, Done, Role, User

EXPORT_PIECE_BYTES: Final = 256 << 10
_Name = Annotated[str, Meta(min_length=1, max_length=64)]
_Value = Annotated[str, Meta(max_length=65_536)]


class PutUser(ControlParams, frozen=True, kw_only=True):
    user: User
    fields: dict[_Name, _Value | None]
    """nil forgets a field; others stay."""


class UserFields(ControlParams, frozen=True, kw_only=True):
    user: User
    names: list[_Name]


class FieldsTold(Result, frozen=True, kw_only=True):
    fields: dict[str, str]


class ExportUser(ControlParams, frozen=True, kw_only=True):
    user: User


class Piece(Result, frozen=True, kw_only=True):
    data: bytes
    """The next bytes of the document; 256 KiB at most."""


class Exported(Result, frozen=True, kw_only=True):
    bytes: int
    """Of all pieces, joined: one MessagePack map, section → what is kept."""


class EraseUser(ControlParams, frozen=True, kw_only=True):
    user: User
    forfeit_balance: bool = False
    """What the wallet holds goes to the suspense account; else it is a refusal."""


class UserErased(Result, frozen=True, kw_only=True):
    erased: Erased


PUT: Final = ControlMethod(
    name="users.put", role=Role.OPERATOR, params=PutUser, result=Done, effect=True,
    summary="Sets what is known of a user.", example={"user": "alice", "fields": {"nickname": "Lin", "phone": None}},
    answer={},
)  # fmt: skip
FIELDS: Final = ControlMethod(
    name="users.fields", role=Role.OPERATOR, params=UserFields, result=FieldsTold, effect=False,
    summary="What is known of a user.", example={"user": "alice", "names": ["nickname"]},
    answer={"fields": {"nickname": "Lin"}},
)  # fmt: skip
EXPORT: Final = ControlMethod(
    name="export_user", role=Role.OPERATOR, params=ExportUser, result=Exported, stream=Piece, effect=True,
    summary="Everything the host keeps of a user, in pieces of one MessagePack document; it is audited.",
    example={"user": "alice"}, answer={"bytes": 1_204},
)  # fmt: skip
ERASE: Final = ControlMethod(
    name="erase_user", role=Role.OPERATOR, params=EraseUser, result=UserErased, effect=True,
    summary="Forgets a user, on the disk too; of payments only amounts stay.",
    example={"user": "alice", "forfeit_balance": True},
    answer={"erased": {"rows": 12, "orders_closed": 1, "forfeited": [{"amount": 1250, "currency": "CNY"}]}},
)  # fmt: skip

METHODS: Final = (PUT, FIELDS, EXPORT, ERASE)
