/* shipment.ts: the record of one parcel, kept for its sender.
 *
 * What lives here: its fields, its states, how it is read, written and shown. Changing it is change.ts. Money, the carrier
 * and messages to the user must not.
 *
 *     unpaid → paid → labelled → picked_up → in_transit → out_for_delivery → delivered, or returned
 *     unpaid, paid, labelled → cancelling → cancelled
 */
import { HostError, Result, Value, Writer, given, refused, storage } from "hostel";
import { CURRENCY, office } from "./office";
import { Place, placeOf } from "./place";
import { putServiceName } from "./rates";

export const PREFIX = "shipment/";

/** In the order in which a parcel goes through them; the carrier tells all from the fourth on. */
const STATES: StaticArray<string> = [
  "unpaid", "paid", "labelled", "picked_up", "in_transit", "out_for_delivery", "delivered", "returned", "cancelling",
  "cancelled",
];
const STATES_EN: StaticArray<string> = [
  "To be paid", "Paid, its label is being made", "Ready to be picked up", "Picked up", "On its way", "Out for delivery",
  "Delivered", "Going back to its sender", "Being cancelled", "Cancelled",
];
const STATES_ZH: StaticArray<string> = [
  "待支付", "已支付，面单生成中", "待取件", "已取件", "运输中", "派送中", "已签收", "退回中", "取消中", "已取消",
];

export function rankOf(state: string): i32 { return STATES.indexOf(state); }

export class Shipment {
  number: string = "";
  state: string = "unpaid";
  service: string = "";
  grams: i64 = 0;
  contents: string = "";
  insuredFen: i64 = 0;
  priceFen: i64 = 0;
  /** The program that sends it for its user, and is paid the price; "": the user, here. */
  account: string = "";
  bookedMs: i64 = 0;
  from: Place = new Place();
  to: Place = new Place();
  /** The payment's number is `<number>-<attempt>`: a closed one is not paid any more. */
  attempt: i64 = 1;
  orderId: string = "";
  /** The carrier's number; "" until it has answered. */
  label: string = "";
  /** As the carrier told last: where, when, and when it was asked. */
  at: string = "";
  movedMs: i64 = 0;
  seenMs: i64 = 0;
  /** The state that the user was last sent a message about. */
  told: string = "";
  /** Of the record in the store; 0: not kept yet. */
  version: i64 = 0;

  get tradeNo(): string { return `${this.number}-${this.attempt}`; }

  /** Neither paid for nor given up. */
  get isOpen(): bool { return this.state == "unpaid"; }

  /** The carrier has, or should have, a label of it. */
  get isMoving(): bool {
    const rank = rankOf(this.state);
    return rank >= rankOf("labelled") && rank < rankOf("delivered");
  }

  write(into: Writer): void {
    into.map().key("number").text(this.number).key("state").text(this.state).key("service").text(this.service);
    into.key("grams").int(this.grams).key("contents").text(this.contents).key("insured_fen").int(this.insuredFen);
    into.key("price_fen").int(this.priceFen).key("account").text(this.account).key("booked_ms").int(this.bookedMs);
    this.from.write(into.key("from"));
    this.to.write(into.key("to"));
    into.key("attempt").int(this.attempt).key("order_id").text(this.orderId).key("label").text(this.label);
    into.key("at").text(this.at).key("moved_ms").int(this.movedMs).key("seen_ms").int(this.seenMs);
    into.key("told").text(this.told).end();
  }

  /** As users are shown it. `fresh`: the carrier has just said so. */
  show(into: Writer, fresh: bool): void {
    into.map().key("number").text(this.number).key("state").text(this.state).key("state_name");
    const rank = rankOf(this.state);
    into.map().key("en").text(STATES_EN[rank]).key("zh").text(STATES_ZH[rank]).end();
    putServiceName(into.key("service").text(this.service).key("service_name"), this.service);
    into.key("grams").int(this.grams).key("contents").text(this.contents).key("booked_ms").int(this.bookedMs);
    into.key("price").money(this.priceFen, CURRENCY).key("insured").money(this.insuredFen, CURRENCY);
    this.to.write(into.key("to"));
    into.key("label");
    if (this.label == "") into.nil();
    else into.text(this.label);
    into.key("tracking");
    if (this.seenMs == 0) into.nil();
    else this.showTracking(into, fresh);
    into.end();
  }

  private showTracking(into: Writer, fresh: bool): void {
    into.map().key("at").text(this.at).key("moved_ms").int(this.movedMs).key("seen_ms").int(this.seenMs);
    into.key("age_s").int((office.nowMs - this.seenMs) / 1_000).key("fresh").bool(fresh).end();
  }
}

/** A record as it is kept; null if that is none of ours. */
function shipmentOf(kept: Value, version: i64): Shipment | null {
  const from = placeOf(kept.get("from")), to = placeOf(kept.get("to"));
  const state = kept.get("state").text();
  if (from === null || to === null || rankOf(state) < 0) return null;
  const made = new Shipment();
  made.number = kept.get("number").text();
  made.state = state;
  made.service = kept.get("service").text();
  made.grams = kept.get("grams").int();
  made.contents = kept.get("contents").text();
  made.insuredFen = kept.get("insured_fen").int();
  made.priceFen = kept.get("price_fen").int();
  made.account = kept.get("account").text();
  made.bookedMs = kept.get("booked_ms").int();
  made.from = from;
  made.to = to;
  made.attempt = kept.get("attempt").int(1);
  made.orderId = kept.get("order_id").text();
  made.label = kept.get("label").text();
  made.at = kept.get("at").text();
  made.movedMs = kept.get("moved_ms").int();
  made.seenMs = kept.get("seen_ms").int();
  made.told = kept.get("told").text();
  made.version = version;
  return made;
}

/** The error `unknown_shipment` where this user has none of that number. */
export function load(number: string): Result<Shipment> {
  if (number == "") return refused<Shipment>(unknown());
  const got = storage.get({ key: PREFIX + number });
  if (!got.ok) return refused<Shipment>(got.error);
  return read(got.value.value, got.value.version);
}

/** The record that storage.get answered. */
export function read(kept: Value, version: i64): Result<Shipment> {
  const found = shipmentOf(kept, version);
  return found === null ? refused<Shipment>(unknown()) : given<Shipment>(found);
}

/** Keeps it, only over the version that was read. */
export function save(shipment: Shipment): Result<Shipment> {
  const value = new Writer();
  shipment.write(value);
  const put = storage.put({ key: PREFIX + shipment.number, value, ifVersion: shipment.version });
  if (!put.ok) return refused<Shipment>(put.error);
  shipment.version = put.value.version;
  return given<Shipment>(shipment);
}

function unknown(): HostError { return new HostError("unknown_shipment", "no shipment of yours has this number"); }
