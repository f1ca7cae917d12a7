/* office.ts: the installation that this parcel office runs as: what its operator configured, and what time it is.
 *
 * What lives here: the configuration and its defaults. What must not: prices of one parcel (rates.ts).
 */
import { HostError, Value, session } from "hostel";

export const CURRENCY = "CNY";
const FEN_MOST: i64 = 100_000;

/** Fen: by how far a parcel goes, for its first kilogram, and for each further one. */
export class Office {
  carrier: string = "";
  shop: string = "";
  /** Programs that send parcels for their users, and the one that called; "" where it is a user. */
  accounts: Array<string> = [];
  caller: string = "";
  nowMs: i64 = 0;
  cityFen: i64 = 900;
  regionFen: i64 = 1_200;
  countryFen: i64 = 1_800;
  kilogramFen: i64 = 300;
}

/** What holds for the message that is answered now. */
export let office = new Office();

/** Reads the configuration; an error if the office cannot be run with it: better closed than a wrong price. */
export function opened(): HostError | null {
  const info = session.info();
  if (!info.ok) return info.error;
  const config = info.value.config;
  const made = new Office();
  made.nowMs = info.value.timeMs;
  made.carrier = config.get("carrier").text();
  if (!made.carrier.startsWith("https://") || made.carrier.endsWith("/")) {
    return badConfig("carrier", "the carrier's address, https:// and its host");
  }
  made.shop = config.get("shop").text();
  made.caller = info.value.caller;
  const accounts = config.get("accounts").items();
  for (let i = 0; i < accounts.length; i++) made.accounts.push(accounts[i].text());
  const rates = config.get("rates");
  made.cityFen = fen(rates, "city", made.cityFen);
  made.regionFen = fen(rates, "region", made.regionFen);
  made.countryFen = fen(rates, "country", made.countryFen);
  made.kilogramFen = fen(rates, "kilogram", made.kilogramFen);
  if (min(min(made.cityFen, made.regionFen), min(made.countryFen, made.kilogramFen)) < 0) {
    return badConfig("rates", `city, region, country, kilogram: fen, from 0 to ${FEN_MOST}`);
  }
  office = made;
  return null;
}

/** That rate, or the default where it is left out; below 0 if it is none. */
function fen(rates: Value, name: string, otherwise: i64): i64 {
  const rate = rates.get(name);
  return rate.exists ? max<i64>(rate.intBetween(0, FEN_MOST), -1) : otherwise;
}

function badConfig(setting: string, wanted: string): HostError {
  return new HostError("bad_config", `the installation's configuration is not valid: ${setting}: ${wanted}`);
}
