"""An export holds all that the host keeps of a user, and nothing of anybody else's."""

from __future__ import annotations

import json

from tests.host_api.erasure.conftest import OTHER, SHOP, Site, phone_of

MARK = "planted-a-"


async def test_everything_that_was_planted_is_in_it(site: Site) -> None:
    await site.plant("alice", MARK)
    await site.plant("bob", "planted-b-")
    found = await site.erasure.export_user("alice")
    text = json.dumps(found)
    for said in ("nick", ".png", "name", "city", "note", "key", "long", "81", "no-", "a basket", "back", "reason", "x"):
        assert f"{MARK}{said}" in text, said
    assert phone_of(MARK) in text
    assert "planted-b-" not in text and "bob" not in text


async def test_each_section_is_by_name_and_decoded(site: Site) -> None:
    await site.plant("alice", MARK)
    await site.ask(site.session("alice", OTHER), "storage.put", key="k", value=[1, None])
    found = await site.erasure.export_user("alice")
    assert found["user"] == "alice"
    assert found["fields"]["nickname"] == f"{MARK}nick"
    assert [(one["currency"], one["posted"], one["held"]) for one in found["balances"]] == [("CNY", 9_000, 1_250)]
    assert [one["app_id"] for one in found["storage"]] == [OTHER, SHOP]
    assert found["storage"][0]["values"] == [{"key": "k", "value": [1, None], "version": 1}]
    assert [order["status"] for order in sorted(found["orders"], key=lambda order: order["status"])] == [
        "authorized", "confirming", "succeeded",
    ]  # fmt: skip
    (paid,) = [order for order in found["orders"] if order["status"] == "succeeded"]
    assert paid["confirmation"]["amount"] == 1_250
    assert [(one["amount"], one["reason"]) for one in paid["refunds"]] == [(250, f"{MARK}reason")]
    assert {one["method"] for one in found["keys"]} == {"payment.create", "payment.refund"}
    assert {one["scope"] for one in found["consents"]} == {"nickname", "phone_masked", "address", "notify"}
    assert [one["text"] for one in found["notices"]] == [f"Order {MARK}81 is on its way"]
    assert len(found["prompts"]) == 1
    assert {one["topic"].split(".")[0] for one in found["events"]} == {"payment", "other"}
    assert {one["kind"] for one in found["transfers"]} == {"deposit", "capture", "refund"}
    assert len(found["payment_usage"]) == 2


async def test_an_export_is_audited_and_one_of_nobody_leaves_nothing(site: Site) -> None:
    await site.ask(site.session("alice"), "storage.put", key="k", value=1)
    await site.erasure.export_user("alice")
    await site.erasure.export_user("nobody-known")
    rows = site.store.read(lambda tx: tx.execute("SELECT record FROM audit"))
    assert [json.loads(row[0])["effect"] for row in rows] == ["user.exported"]
    assert "nobody-known" not in str(site.store.read(lambda tx: tx.execute("SELECT * FROM subjects")))
