/* carrier.ts: the carrier, over its HTTPS interface.
 *
 *     PUT    /v1/labels/<number>           → {"label": "…"}; the same number again gives the same label
 *     PUT    /v1/labels/<number>/address   → 200; 409: too late
 *     DELETE /v1/labels/<number>           → 204, or 404; 409: too late
 *     GET    /v1/track/<number>            → {"state": "in_transit", "at": "Hangzhou", "moved_ms": 1795334400000}
 *
 * What lives here: those four, each safe to repeat. A carrier that cannot be reached, or says nothing sensible, is the
 * error `carrier_down`; nothing was lost then, and the same may be asked again. What must not: records.
 */
import { HostError, Result, Value, Writer, given, http, refused, session } from "hostel";
import { jsonRead, jsonText } from "./json";
import { office } from "./office";
import { Place } from "./place";
import { Shipment, rankOf } from "./shipment";

const TIMEOUT_MS: i64 = 2_000;
const PAUSE_MS: i64 = 50;

/** Where a parcel is, as the carrier says. */
export class Sighting {
  constructor(readonly state: string, readonly at: string, readonly movedMs: i64) {}
}

/** The carrier's number of the label. */
export function makeLabel(parcel: Shipment): Result<Value> {
  const wanted = `{"service":${jsonText(parcel.service)},"grams":${parcel.grams},"contents":${jsonText(parcel.contents)},` +
    `"insured_fen":${parcel.insuredFen},"from":${placeJson(parcel.from)},"to":${placeJson(parcel.to)}}`;
  const said = asked("PUT", `/v1/labels/${parcel.number}`, wanted);
  if (!said.ok) return said;
  const label = said.value.get("label");
  if (label.textBetween(1, 64) === null) return refused<Value>(down("its answer to a label was no label"));
  return given<Value>(label);
}

export function changeAddress(parcel: Shipment, to: Place): Result<Value> {
  return asked("PUT", `/v1/labels/${parcel.number}/address`, placeJson(to));
}

/** Also where there never was one. */
export function dropLabel(number: string): Result<Value> { return asked("DELETE", `/v1/labels/${number}`, null); }

export function sight(number: string): Result<Sighting> {
  const said = asked("GET", `/v1/track/${number}`, null);
  if (!said.ok) return refused<Sighting>(said.error);
  const state = said.value.get("state").text();
  const at = said.value.get("at").textBetween(0, 64);
  const movedMs = said.value.get("moved_ms").int(-1);
  if (rankOf(state) < rankOf("labelled") || rankOf(state) > rankOf("returned") || at === null || movedMs < 0) {
    return refused<Sighting>(down("its answer says nothing of where the parcel is"));
  }
  return given<Sighting>(new Sighting(state, at, movedMs));
}

/** The body of a good answer. What may pass by itself is tried once more. */
function asked(method: string, path: string, body: string | null): Result<Value> {
  const first = fetched(method, path, body);
  if (first.ok || !first.error.retryable) return first;
  session.sleep({ ms: PAUSE_MS });
  return fetched(method, path, body);
}

function fetched(method: string, path: string, body: string | null): Result<Value> {
  const said = http.fetch({
    url: office.carrier + path, method, timeoutMs: TIMEOUT_MS, redirects: 0,
    headers: new Writer().map().key("accept").text("application/json").key("content-type").text("application/json"),
    body: body === null ? null : Uint8Array.wrap(String.UTF8.encode(body)),
  });
  if (said.failed("grant_constraint") || said.failed("capability_not_granted")) return refused<Value>(said.error);
  if (!said.ok) return refused<Value>(down(`it cannot be reached: ${said.error.code}`));
  const status = said.value.status;
  if (status == 409) return refused<Value>(new HostError("too_late", "the carrier has the parcel under way already"));
  if (status == 404 && method == "DELETE") return given<Value>(new Writer().nil().read());
  if (status == 422) return refused<Value>(new HostError("label_refused", "the carrier does not take this parcel"));
  if (status >= 300) return refused<Value>(down(`it answered ${status}`));
  if (status == 204) return given<Value>(new Writer().nil().read());
  const read = jsonRead(said.value.body);
  return read === null ? refused<Value>(down("its answer is no JSON")) : given<Value>(read);
}

function down(why: string): HostError {
  console.warn(`the carrier: ${why}`);
  return new HostError("carrier_down", "the carrier does not answer now: nothing is lost, try again later", true);
}

function placeJson(place: Place): string {
  return `{"recipient":${jsonText(place.recipient)},"phone":${jsonText(place.phone)},` +
    `"region":${jsonText(place.region)},"city":${jsonText(place.city)},"street":${jsonText(place.street)},` +
    `"postal_code":${jsonText(place.postalCode)}}`;
}
