/* tracking.ts: where parcels are: asked for, told of, listed, sent elsewhere.
 *
 * What lives here: track, list, redirect, notices.ask, and what notifications set off. The carrier's word is asked for anew
 * whatever a notification says: nobody moves a parcel by sending us one.
 */
import {
  Answer, Request, Result, Value, Writer, answer, events, fail, given, notify, passOn, payment, post, refused, storage,
  wait, readStorageGetResult, received,
} from "hostel";
import { changeAddress, sight } from "./carrier";
import { Moved, Redirected, Step, Told, change } from "./change";
import { office } from "./office";
import { labelled } from "./paying";
import { Place } from "./place";
import { zoneOf } from "./rates";
import { PREFIX, Shipment, load, rankOf, read } from "./shipment";

const PAGE = 10; // posted at once: the host takes 16
const UNPAID_MS: i64 = 24 * 3_600_000;
const ASK_WAIT_MS: i64 = 60_000;

/** track {number}: as the carrier says now; where it does not answer, as it said last, with its age. */
export function track(number: string): Answer {
  const found = load(number);
  if (!found.ok) return passOn(found.error);
  let parcel = found.value;
  if (parcel.state == "paid") parcel = labelled(parcel).shipment;
  const seen = parcel.isMoving ? looked(parcel) : given<Shipment>(parcel);
  if (!seen.ok && !seen.failed("carrier_down")) return passOn(seen.error);
  const told = new Writer().map().key("shipment");
  if (seen.ok) seen.value.show(told, true);
  else parcel.show(told, false);
  return answer(told.end());
}

/** Asks the carrier, keeps what it said, and sends the user a message if that is worth one. */
function looked(parcel: Shipment): Result<Shipment> {
  const seen = sight(parcel.number);
  if (!seen.ok) return refused<Shipment>(seen.error);
  const kept = change(parcel.number, new Moved(seen.value.state, seen.value.at, seen.value.movedMs));
  if (!kept.ok) return refused<Shipment>(kept.error);
  tell(kept.value.shipment);
  return given<Shipment>(kept.value.shipment);
}

/** One message for a state, to who subscribed; to be told late is worth less than not to be told twice. */
function tell(parcel: Shipment): void {
  let template = "";
  if (parcel.state == "in_transit") template = "on-its-way";
  else if (parcel.state == "out_for_delivery") template = "out-for-delivery";
  else if (parcel.state == "delivered") template = "delivered";
  if (template == "" || parcel.told == parcel.state) return;
  const marked = change(parcel.number, new Told(parcel.state));
  if (!marked.ok || !marked.value.done) return;
  const params = new Writer().map().key("number").text(parcel.number);
  params.key("city").text(parcel.to.city).end();
  const sent = notify.send({ template, params });
  if (!sent.ok && !sent.failed("consent_required") && !sent.failed("consent_denied")) {
    console.warn(`a message was not sent: ${sent.error.code}`);
  }
}

/** notices.ask {}: whether the user wants to be told how their parcels get on. */
export function askForNotices(): Answer {
  const asked = notify.request({ waitMs: ASK_WAIT_MS });
  if (!asked.ok) return passOn(asked.error);
  return answer(new Writer().map().key("status").text(asked.value.status).end());
}

/** redirect {number, to}: another address in the same zone, until it is out for delivery. */
export function redirect(number: string, to: Place): Answer {
  const found = load(number);
  if (!found.ok) return passOn(found.error);
  const parcel = found.value;
  const rank = rankOf(parcel.state);
  if (rank >= rankOf("out_for_delivery")) return fail("too_late", "it is with the courier, or its way is over");
  if (zoneOf(parcel.from, parcel.to) != zoneOf(parcel.from, to)) {
    return fail("other_zone", "it was paid for as far as it goes: cancel it, and book it anew to go elsewhere");
  }
  if (rank >= rankOf("labelled")) {
    const moved = changeAddress(parcel, to);
    if (!moved.ok) return passOn(moved.error);
  }
  const kept = change(number, new Redirected(to));
  if (!kept.ok) return passOn(kept.error);
  const told = new Writer().map().key("shipment");
  kept.value.shipment.show(told, true);
  return answer(told.end());
}

/** list {after?}: shipments, newest first, ten at most; `next` is what to give as `after`, nil at the end. What nobody
 *  paid for within a day goes. */
export function list(after: string): Answer {
  const page = storage.list({ prefix: PREFIX, after: after == "" ? "" : PREFIX + after, limit: PAGE });
  if (!page.ok) return passOn(page.error);
  const keys = page.value.keys;
  const msgids = new Array<u32>(keys.length);
  for (let i = 0; i < keys.length; i++) msgids[i] = post("storage.get", new Writer().map().key("key").text(keys[i].key));
  const found = new Array<Shipment | null>(keys.length);
  for (let i = 0; i < keys.length; i++) {
    const came = wait();
    const got = received(came.result, readStorageGetResult);
    const parcel = got.ok ? read(got.value.value, got.value.version) : refused<Shipment>(got.error);
    if (parcel.ok && msgids.includes(came.msgid)) found[msgids.indexOf(came.msgid)] = parcel.value;
  }
  const told = new Writer().map().key("shipments").list();
  for (let i = 0; i < keys.length; i++) {
    const parcel = found[i];
    if (parcel === null) continue;
    if (parcel.isOpen && parcel.bookedMs + UNPAID_MS < office.nowMs && forgotten(parcel)) continue;
    parcel.show(told, false);
  }
  told.end().key("next");
  if (page.value.more) told.text(keys[keys.length - 1].key.substring(PREFIX.length));
  else told.nil();
  return answer(told.end());
}

/** The payment order of a day ago is closed; one that was paid all the same is left to `pay` and its event. */
function forgotten(parcel: Shipment): bool {
  if (parcel.orderId != "" && parcel.account == "") {
    const order = payment.query({ orderId: parcel.orderId });
    if (!order.ok || order.value.status != "closed") return false;
  }
  return storage.delete_({ key: PREFIX + parcel.number, ifVersion: parcel.version }).ok;
}

/** Nobody reads an answer to these. */
export function notified(request: Request): void {
  if (request.method == "carrier.moved") {
    const found = load(request.params.get("number").text());
    if (found.ok && found.value.isMoving) looked(found.value);
  } else if (request.method == "hostel.event") {
    handled(request.params);
  }
}

/** A payment that succeeded while its call was cut off is completed here. What is left undone is not acknowledged, so
 *  that the host tells it again later. */
function handled(event: Value): void {
  if (event.get("topic").is("payment.succeeded")) {
    const order = payment.query({ orderId: event.get("payload").get("order_id").text() });
    if (!order.ok) return;
    const tradeNo = order.value.outTradeNo;
    const paid = change(tradeNo.substring(0, tradeNo.lastIndexOf("-")), new Step("unpaid", "paid"));
    if (!paid.ok && !paid.failed("unknown_shipment")) return;
    if (paid.ok && paid.value.shipment.state == "paid" && !labelled(paid.value.shipment).made) return;
  }
  events.ack({ seq: event.get("seq").int() });
}
