// What only the office's lawyers do: see their day, say that a consultation was given, or that they cannot come.
import { Fail, user } from "hostel";
import { caseOf, decide } from "./cases.js";
import { bookedOn } from "./diary.js";
import { beginsAt, office } from "./office.js";
import { change, read } from "./store.js";

/** Who knows a lawyer's code is that lawyer. The codes are the installation's, so that no bundle holds them. */
export async function joinOffice({ code }) {
  const { codes } = await office();
  const [lawyer] = Object.entries(codes).find(([, each]) => each === code && typeof code === "string") ?? [];
  if (lawyer === undefined) throw new Fail("not_a_lawyer", "this is no lawyer's code of this office");
  const { id } = await user.login();
  await change(`lawyer/${id}`, () => lawyer);
  return { lawyer };
}

async function thisLawyer() {
  const { id } = await user.login();
  const lawyer = await read(`lawyer/${id}`);
  if (lawyer === null) throw new Fail("not_a_lawyer", "lawyer.join comes first");
  return lawyer;
}

/** The consultations of a day, as the lawyer needs them. */
export async function agenda({ date }) {
  const lawyer = await thisLawyer();
  if (!/^\d{4}-\d\d-\d\d$/.test(date)) throw new Fail("bad_date", "a date is written 2026-11-25");
  const cases = await Promise.all((await bookedOn(lawyer, date)).map(caseOf));
  return { lawyer, date, cases: cases.map(({ number, hour, topic, question, client, state }) => ({ number, hour, topic, question, client, state })) };
}

/** The consultation was given: the fee is taken with the client's next session, at the latest with their next reminder. */
export async function markGiven({ number }) {
  const here = await office();
  const found = await own(number);
  if (beginsAt(here, found.hour) > here.now_ms) throw new Fail("too_early", "it has not begun", { hour: found.hour });
  return { number, state: (await decide(number, "given", found.fee)).state };
}

/** The lawyer cannot come: all of the fee goes back. */
export async function giveUp({ number }) {
  await own(number);
  return { number, state: (await decide(number, "given_up", 0)).state };
}

async function own(number) {
  const lawyer = await thisLawyer();
  const found = typeof number === "string" ? await caseOf(number.slice(0, 64)) : null;
  if (found?.lawyer !== lawyer) throw new Fail("not_found", "you have no such consultation");
  return found;
}
