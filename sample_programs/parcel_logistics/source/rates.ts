/* rates.ts: what it costs.
 *
 * What lives here: prices by distance, weight and service; what goods are worth that are insured, by the shop that sells
 * them. All of it in whole fen. What must not: records, payments.
 */
import { HostError, Result, Value, Writer, given, program, refused } from "hostel";
import { CURRENCY, office } from "./office";
import { Place } from "./place";

export const GRAMS_MOST: i64 = 30_000;
const INSURED_MOST: i64 = 500_000;
const KINDS_MOST = 20;
const QUANTITY_MOST: i64 = 99;

/** In the order in which they are offered. */
export const SERVICES: StaticArray<string> = ["standard", "express"];

export function putServiceName(into: Writer, service: string): void {
  const express = service == "express";
  into.map().key("en").text(express ? "Express, next day" : "Standard, two to four days");
  into.key("zh").text(express ? "特快，次日达" : "标准，二至四日达").end();
}

/** How far apart: the same answer decides the price and whether a parcel under way can be sent elsewhere. */
export function zoneOf(from: Place, to: Place): string {
  if (from.city == to.city && from.region == to.region) return "city";
  return from.region == to.region && from.region != "" ? "region" : "country";
}

/** Fen. The first kilogram is in the base; every one begun after it counts. Express is half as much again. */
export function priceOf(zone: string, grams: i64, service: string, insuredFen: i64): i64 {
  const base = zone == "city" ? office.cityFen : zone == "region" ? office.regionFen : office.countryFen;
  const carried = base + ((grams - 1) / 1_000) * office.kilogramFen;
  return (service == "express" ? carried + carried / 2 : carried) + premiumOf(insuredFen);
}

/** One in a hundred, a yuan at least; nothing where nothing is insured. */
function premiumOf(insuredFen: i64): i64 {
  return insuredFen == 0 ? 0 : max<i64>(100, (insuredFen + 99) / 100);
}

/** What these goods are worth, sku → quantity, in the prices of the shop that the office works with. */
export function insuredOf(goods: Value): Result<Value> {
  const skus = goods.keys();
  if (skus.length == 0) return worth(0);
  if (office.shop == "") return refusal("insurance_unavailable", "this office insures nothing");
  if (skus.length > KINDS_MOST) return refusal("invalid_params", `insured: at most ${KINDS_MOST} kinds of goods`);
  const said = program.call({ program: office.shop, method: "catalogue.list" });
  if (!said.ok) {
    console.warn(`the shop did not tell its prices: ${said.error.code}`);
    return refusal("insurance_unavailable", "the shop does not answer: send it uninsured, or try again later");
  }
  const items = said.value.value.get("items").items();
  let sum: i64 = 0;
  for (let i = 0; i < skus.length; i++) {
    const quantity = goods.get(skus[i]).intBetween(1, QUANTITY_MOST);
    const price = priceIn(items, skus[i]);
    if (quantity < 1 || price < 0) return refusal("unknown_goods", `insured: the shop does not sell "${skus[i]}"`);
    sum += quantity * price;
  }
  if (sum > INSURED_MOST) return refusal("invalid_params", `insured: worth ${INSURED_MOST} fen at most`);
  return worth(sum);
}

/** Fen; -1 where the shop does not sell it. */
function priceIn(items: Array<Value>, sku: string): i64 {
  for (let i = 0; i < items.length; i++) {
    const price = items[i].get("price");
    if (items[i].get("sku").is(sku) && price.get("currency").is(CURRENCY)) return price.get("amount").int(-1);
  }
  return -1;
}

function worth(fen: i64): Result<Value> { return given<Value>(new Writer().int(fen).read()); }

function refusal(code: string, message: string): Result<Value> {
  return refused<Value>(new HostError(code, message));
}
