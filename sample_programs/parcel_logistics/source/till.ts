/* till.ts: in whose name the price of a shipment is asked for.
 *
 * What lives here: making, asking for and looking up one payment order, as this office or as the program with an account
 * that sends the parcel. Such a program delegates payments to us in its `program.call`; what is carried out as our caller
 * is its order and its money, and the carrier's bill goes to it by the month. Outside of its calls nobody can do that. What
 * must not: attempts, records, labels.
 */
import {
  OrderResult, Result, Writer, given, payment, program, readOrderResult, received, refused,
} from "hostel";
import { CURRENCY, office } from "./office";
import { Shipment } from "./shipment";

const TTL_S: i64 = 900;

/** Whether this call may ask for the payment: of its sender, or of who has the account. */
export function isOurs(parcel: Shipment): bool { return parcel.account == "" || parcel.account == office.caller; }

/** The order of this attempt, made now or before. */
export function created(parcel: Shipment): Result<OrderResult> {
  const subject = `Parcel to ${parcel.to.city}`;
  if (parcel.account == "") {
    return payment.create({
      key: parcel.tradeNo, outTradeNo: parcel.tradeNo, amount: { amount: parcel.priceFen, currency: CURRENCY }, subject,
      ttlS: TTL_S,
    });
  }
  const params = new Writer().map().key("key").text(parcel.tradeNo).key("out_trade_no").text(parcel.tradeNo);
  params.key("amount").money(parcel.priceFen, CURRENCY).key("subject").text(subject).key("ttl_s").int(TTL_S);
  return asCaller("payment.create", params.end());
}

/** As it stands now. */
export function looked(parcel: Shipment): Result<OrderResult> {
  if (parcel.account == "") return payment.query({ outTradeNo: parcel.tradeNo });
  return asCaller("payment.query", new Writer().map().key("out_trade_no").text(parcel.tradeNo).end());
}

/** The user is asked to pay it. */
export function asked(parcel: Shipment, orderId: string, waitMs: i64): Result<OrderResult> {
  if (parcel.account == "") return payment.request({ orderId, waitMs });
  return asCaller("payment.request", new Writer().map().key("order_id").text(orderId).key("wait_ms").int(waitMs).end());
}

function asCaller(method: string, params: Writer): Result<OrderResult> {
  const said = program.asCaller({ method, params });
  return said.ok ? received(given(said.value.value), readOrderResult) : refused<OrderResult>(said.error);
}
