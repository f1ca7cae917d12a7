/* place.ts: where a parcel is fetched from and where it goes.
 *
 * What lives here: an address as callers send it and records keep it, how far two are apart, and the user's own with their
 * consent. Addresses are personal: none is ever logged.
 */
import { Address, HostError, Result, Value, Writer, given, refused, user } from "hostel";

const CONSENT_WAIT_MS: i64 = 60_000;

export class Place {
  recipient: string = "";
  phone: string = "";
  region: string = "";
  city: string = "";
  street: string = "";
  postalCode: string = "";

  write(into: Writer): void {
    into.map().key("recipient").text(this.recipient).key("phone").text(this.phone).key("region").text(this.region);
    into.key("city").text(this.city).key("street").text(this.street).key("postal_code").text(this.postalCode).end();
  }
}

/** What a caller sent, or a record held; null if it is no address a courier could find. */
export function placeOf(told: Value): Place | null {
  const city = told.get("city").textBetween(1, 64);
  const street = told.get("street").textBetween(1, 128);
  const recipient = told.get("recipient").textBetween(1, 64);
  if (city === null || street === null || recipient === null) return null;
  const place = new Place();
  place.city = city;
  place.street = street;
  place.recipient = recipient;
  const region = told.get("region").textBetween(0, 64);
  const phone = told.get("phone").textBetween(0, 20);
  const postalCode = told.get("postal_code").textBetween(0, 16);
  if (region !== null) place.region = region;
  if (phone !== null) place.phone = phone;
  if (postalCode !== null) place.postalCode = postalCode;
  return place;
}

/** The user's own address. `asks`: open the dialog if they have not decided yet. The error `address_needed` says that
 *  the caller has to send `from`. */
export function homeOf(asks: bool): Result<Place> {
  let found = user.address();
  if (asks && found.failed("consent_required")) {
    const asked = user.authorize({ scopes: ["address", "phone"], waitMs: CONSENT_WAIT_MS });
    if (!asked.ok) return refused<Place>(asked.error);
    found = user.address();
  }
  if (found.failed("consent_required") || found.failed("consent_denied") || found.failed("capability_not_granted")) {
    return refused<Place>(needed("the parcel office may not see the user's address: send it as `from`"));
  }
  if (!found.ok) return refused<Place>(found.error);
  const address = found.value.address;
  if (address === null) return refused<Place>(needed("the user's address is not known: send it as `from`"));
  const place = placed(address);
  if (place === null) return refused<Place>(needed("the user's address is not known whole: send it as `from`"));
  const phone = user.phone({ masked: false });
  if (phone.ok) place.phone = known(phone.value.phone);
  return given<Place>(place);
}

function placed(address: Address): Place | null {
  const place = new Place();
  place.recipient = known(address.recipient);
  place.region = known(address.region);
  place.city = known(address.city);
  place.street = (known(address.district) + " " + known(address.street)).trim();
  place.postalCode = known(address.postalCode);
  return place.city != "" && place.street != "" && place.recipient != "" ? place : null;
}

function known(text: string | null): string { return text === null ? "" : text; }

function needed(message: string): HostError { return new HostError("address_needed", message); }
