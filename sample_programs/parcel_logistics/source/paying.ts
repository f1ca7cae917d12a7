/* paying.ts: from a booked shipment to a paid one with a label, and back.
 *
 * The order of things is what keeps money and parcels together whenever the program is cut off in between:
 *   1. payment.create under `<number>-<attempt>`: the same attempt is the same payment order, however often it is sent;
 *   2. the user decides in the host's cashier; only the host's word makes the record paid;
 *   3. the label, under the shipment's number: the carrier gives the same one again.
 * `pay` again, `track`, or the event of the payment does what is left to do.
 *
 * What lives here: pay, cancel, and what they share with events. What must not: what it costs, where a parcel is.
 */
import { Answer, OrderResult, Result, Writer, answer, fail, given, passOn, payment, refused } from "hostel";
import { dropLabel, makeLabel } from "./carrier";
import { Labelled, NextAttempt, Ordered, Step, change } from "./change";
import { Shipment, load } from "./shipment";
import { asked, created, isOurs, looked } from "./till";

const ATTEMPTS = 3;

/** pay {number, wait_ms?}: the shipment and how its payment stands. */
export function pay(number: string, waitMs: i64): Answer {
  const found = load(number);
  if (!found.ok) return passOn(found.error);
  let parcel = found.value;
  let status = "succeeded";
  if (parcel.isOpen) {
    if (!isOurs(parcel)) return otherPayer();
    const order = ordered(parcel);
    if (!order.ok) return passOn(order.error);
    let paid = order.value;
    if (paid.status != "succeeded") {
      const said = asked(parcel, paid.orderId, waitMs);
      if (!said.ok) return passOn(said.error);
      paid = said.value;
    }
    status = paid.status;
    if (status == "pending" || status == "closed") return declined(parcel, paid);
    if (status == "succeeded") {
      const settled = change(number, new Step("unpaid", "paid"));
      if (!settled.ok) return passOn(settled.error);
      parcel = settled.value.shipment;
    }
  } else if (parcel.state == "cancelling" || parcel.state == "cancelled") {
    return fail("cancelled", "this shipment was cancelled: book another one");
  }
  if (parcel.state == "paid") parcel = labelled(parcel).shipment;
  const told = new Writer().map().key("payment").text(status).key("shipment");
  parcel.show(told, true);
  return answer(told.end());
}

/** A payment order that can still be paid, or is. One that is closed is given up for the next attempt. */
function ordered(parcel: Shipment): Result<OrderResult> {
  let now = parcel;
  for (let i = 0; i < ATTEMPTS; i++) {
    let order = created(now);
    // What was made before is answered as it was then: how it stands now is another question.
    if (order.ok && order.value.replayed) order = looked(now);
    if (!order.ok) return order;
    const is_closed = order.value.status == "closed";
    const kept = is_closed
      ? change(now.number, new NextAttempt(now.attempt))
      : change(now.number, new Ordered(now.attempt, order.value.orderId));
    if (!kept.ok) return refused<OrderResult>(kept.error);
    if (!is_closed) return order;
    now = kept.value.shipment;
  }
  return looked(now);
}

/** After a no the order can still be paid; after the third, or without the money, it is closed. */
function declined(parcel: Shipment, order: OrderResult): Answer {
  const details = new Writer().map().key("number").text(parcel.number).key("reason");
  const reason = order.closeReason;
  details.text(reason === null ? "declined" : reason);
  return fail("declined", "the payment was not made; the shipment waits, pay it whenever you like", details.end());
}

/** Whether the label is there, and the shipment as it is now. */
export class Label {
  constructor(readonly shipment: Shipment, readonly made: bool) {}
}

/** Has the label made for a paid shipment. Where the carrier does not answer it stays as it is, for another time. */
export function labelled(parcel: Shipment): Label {
  const label = makeLabel(parcel);
  if (!label.ok) return new Label(parcel, false);
  const kept = change(parcel.number, new Labelled(label.value.text()));
  if (!kept.ok) return new Label(parcel, false);
  // Cancelled meanwhile: the label that came too late is not to be used.
  if (!kept.value.done && kept.value.shipment.label == "") dropLabel(parcel.number);
  return new Label(kept.value.shipment, true);
}

/** cancel {number}: before the carrier has it; what was paid is given back whole. */
export function cancel(number: string): Answer {
  const found = load(number);
  if (!found.ok) return passOn(found.error);
  let parcel = found.value;
  if (parcel.account != "") return otherPayer();
  if (parcel.isOpen) {
    const closed = givenUp(parcel);
    if (!closed.ok) return passOn(closed.error);
    parcel = closed.value;
  }
  if (parcel.state == "paid" || parcel.state == "labelled") {
    const begun = change(number, new Step(parcel.state, "cancelling"));
    if (!begun.ok) return passOn(begun.error);
    parcel = begun.value.shipment;
  }
  if (parcel.state == "cancelling") {
    const undone = unmade(parcel);
    if (!undone.ok) return passOn(undone.error);
    parcel = undone.value;
  }
  if (parcel.state != "cancelled") return fail("too_late", "the carrier has it already: it can be redirected at most");
  const told = new Writer().map().key("shipment");
  parcel.show(told, true);
  return answer(told.end());
}

function otherPayer(): Answer {
  return fail("other_payer", "another program sends this parcel for you: ask there");
}

/** An unpaid shipment is given up with its payment order; one that was paid in this very moment comes back paid. */
function givenUp(parcel: Shipment): Result<Shipment> {
  let is_paid = false;
  if (parcel.orderId != "") {
    const closed = payment.close({ key: `${parcel.tradeNo}-close`, orderId: parcel.orderId });
    if (!closed.ok) {
      const now = payment.query({ orderId: parcel.orderId });
      if (!now.ok) return refused<Shipment>(now.error);
      is_paid = now.value.status == "succeeded";
      if (!is_paid && now.value.status != "closed") return refused<Shipment>(closed.error);
    }
  }
  const kept = change(parcel.number, new Step("unpaid", is_paid ? "paid" : "cancelled"));
  return kept.ok ? given<Shipment>(kept.value.shipment) : refused<Shipment>(kept.error);
}

/** First the label, so that nobody ships for nothing, then the money; a call cut off in between goes on here. */
function unmade(parcel: Shipment): Result<Shipment> {
  const dropped = dropLabel(parcel.number);
  if (dropped.failed("too_late")) {
    const kept = change(parcel.number, new Step("cancelling", parcel.label == "" ? "paid" : "labelled"));
    return kept.ok ? given<Shipment>(kept.value.shipment) : refused<Shipment>(kept.error);
  }
  if (!dropped.ok) return refused<Shipment>(dropped.error);
  const number = `${parcel.number}-refund`;
  let refund = payment.refund({
    key: number, orderId: parcel.orderId, outRequestNo: number, amount: parcel.priceFen,
    reason: "The shipment was cancelled",
  });
  if (refund.failed("unknown_outcome")) {
    refund = payment.refundQuery({ orderId: parcel.orderId, outRequestNo: number });
  }
  if (!refund.ok) return refused<Shipment>(refund.error);
  const kept = change(parcel.number, new Step("cancelling", "cancelled"));
  return kept.ok ? given<Shipment>(kept.value.shipment) : refused<Shipment>(kept.error);
}
