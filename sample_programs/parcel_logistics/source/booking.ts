/* booking.ts: quote and book: what it would cost, and a shipment that waits to be paid.
 *
 * What lives here: what callers may ask to be sent, checked; the number of a new shipment. What must not: payment.
 */
import { Answer, HostError, Result, Value, Writer, answer, given, passOn, random, refused } from "hostel";
import { CURRENCY, office } from "./office";
import { Place, homeOf, placeOf } from "./place";
import { GRAMS_MOST, SERVICES, insuredOf, priceOf, putServiceName, zoneOf } from "./rates";
import { Shipment, save } from "./shipment";

/** Digits and letters that nobody mistakes for another, in the order of their codes. */
const LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LAST_MS: i64 = 1 << 45;

/** quote {from?, to, grams, insured?}: each service with its price. Opens no dialog. */
export function quote(params: Value): Answer {
  const wanted = shipmentOf(params, false);
  if (!wanted.ok) return passOn(wanted.error);
  const parcel = wanted.value;
  const zone = zoneOf(parcel.from, parcel.to);
  const told = new Writer().map().key("zone").text(zone).key("insured").money(parcel.insuredFen, CURRENCY);
  told.key("services").list();
  for (let i = 0; i < SERVICES.length; i++) {
    putServiceName(told.map().key("service").text(SERVICES[i]).key("name"), SERVICES[i]);
    told.key("price").money(priceOf(zone, parcel.grams, SERVICES[i], parcel.insuredFen), CURRENCY).end();
  }
  return answer(told.end().end());
}

/** book {from?, to, grams, contents, service?, insured?}: the shipment, unpaid. Asks the user for their address where
 *  `from` is left out and they have not decided yet. */
export function book(params: Value): Answer {
  const made = booked(params, newNumber(), "");
  if (!made.ok) return passOn(made.error);
  const told = new Writer().map().key("shipment");
  made.value.show(told, true);
  return answer(told.end());
}

/** The same as a record, which is kept under that number; `account`: the program that it is sent for, or "". */
export function booked(params: Value, number: string, account: string): Result<Shipment> {
  const contents = params.get("contents").textBetween(1, 64);
  const service = params.get("service").text("standard");
  if (contents === null) return invalid("contents: what is in it, 1 to 64 characters");
  if (!SERVICES.includes(service)) return invalid("service: standard or express");
  const wanted = shipmentOf(params, true);
  if (!wanted.ok) return wanted;
  const made = wanted.value;
  made.number = number;
  made.account = account;
  made.contents = contents;
  made.service = service;
  made.priceFen = priceOf(zoneOf(made.from, made.to), made.grams, service, made.insuredFen);
  made.bookedMs = office.nowMs;
  return save(made);
}

/** What both take. */
function shipmentOf(params: Value, asks: bool): Result<Shipment> {
  const to = placeOf(params.get("to"));
  if (to === null) return invalid("to: {recipient, city, street} at least, region, postal_code and phone if known");
  const grams = params.get("grams").intBetween(1, GRAMS_MOST);
  if (grams < 1) return invalid(`grams: a whole number from 1 to ${GRAMS_MOST}`);
  const from = params.get("from").exists ? sender(params.get("from")) : homeOf(asks);
  if (!from.ok) return refused<Shipment>(from.error);
  const insured = insuredOf(params.get("insured"));
  if (!insured.ok) return refused<Shipment>(insured.error);
  const made = new Shipment();
  made.from = from.value;
  made.to = to;
  made.grams = grams;
  made.insuredFen = insured.value.int();
  return given<Shipment>(made);
}

function sender(told: Value): Result<Place> {
  const place = placeOf(told);
  if (place !== null) return given<Place>(place);
  return refused<Place>(new HostError("invalid_params", "from: {recipient, city, street} at least, or leave it out"));
}

function invalid(message: string): Result<Shipment> {
  return refused<Shipment>(new HostError("invalid_params", message));
}

/** Newer ones come first in the order of their letters, and nobody guesses one. */
export function newNumber(): string {
  let left = LAST_MS - office.nowMs;
  let number = "";
  for (let i = 0; i < 9; i++) {
    number = LETTERS.charAt(<i32>(left & 31)) + number;
    left >>= 5;
  }
  const chance = random(6);
  for (let i = 0; i < chance.length; i++) number += LETTERS.charAt(chance[i] & 31);
  return "P" + number;
}
