/* account.ts: parcels that a program with an account sends for its users.
 *
 * What lives here: send: who has an account, and one shipment for each reference of theirs, however often it is sent. What
 * must not: what becomes of the shipment afterwards, which is as with any other.
 */
import { Answer, Result, Value, Writer, fail, given, passOn, refused, storage } from "hostel";
import { booked, newNumber } from "./booking";
import { office } from "./office";
import { pay } from "./paying";
import { load } from "./shipment";

const PREFIX = "sent/";

/** send {reference, from, to, grams, contents, service?, insured?, wait_ms?}: as book and pay in one, for a program that
 *  has an account and delegates payments: its user pays the price to it. */
export function send(params: Value, waitMs: i64): Answer {
  if (office.caller == "" || !office.accounts.includes(office.caller)) {
    return fail("no_account", "only programs that this office has an account for send parcels this way");
  }
  const reference = params.get("reference").textBetween(1, 64);
  if (reference === null) return fail("invalid_params", "reference: your own number of the parcel, 1 to 64 characters");
  const numbered = numberOf(reference);
  if (!numbered.ok) return passOn(numbered.error);
  const number = numbered.value;
  if (load(number).failed("unknown_shipment")) {
    const made = booked(params, number, office.caller);
    if (!made.ok && !made.failed("version_conflict")) return passOn(made.error); // booked by the same call at this moment
  }
  return pay(number, waitMs);
}

/** The number of the shipment that this reference stands for: written down before there is one. */
function numberOf(reference: string): Result<string> {
  const key = `${PREFIX}${office.caller}/${reference}`;
  const fresh = newNumber();
  const put = storage.put({ key, value: new Writer().text(fresh), ifVersion: 0 });
  if (put.ok) return given(fresh);
  if (!put.failed("version_conflict")) return refused<string>(put.error);
  const kept = storage.get({ key });
  return kept.ok ? given(kept.value.value.text()) : refused<string>(kept.error);
}
