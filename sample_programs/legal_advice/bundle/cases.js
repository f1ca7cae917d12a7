// A case: what client and lawyer share of a consultation that is paid for. Either may decide what becomes of it, once;
// the money follows in the client's own sessions (consultations.js), since only there it can be moved.
import { Fail } from "hostel";
import { change, read } from "./store.js";

const caseKey = (number) => `case/${number}`;

/** Opens it, unless it is there. `told`: what the client wrote, and how they want to be addressed. */
export async function openCase({ number, lawyer, hour, topic, fee }, told) {
  return await change(caseKey(number), (found) =>
    found === null ? { number, lawyer, hour, topic, fee, ...told, state: "booked", charge: 0 } : undefined,
  );
}

export const caseOf = (number) => read(caseKey(number));

export async function addressAs(number, client) {
  await change(caseKey(number), (found) => (found?.state === "booked" ? { ...found, client } : undefined));
}

/** `given`, `given_up` or `cancelled`, and what of the fee is taken. Said again it stays; another word is refused. */
export async function decide(number, state, charge) {
  return await change(caseKey(number), (found) => {
    if (found === null) throw new Fail("not_found", "no such consultation");
    if (found.state === state) return undefined;
    if (found.state !== "booked")
      throw new Fail("already_decided", `the consultation is ${found.state}`, { state: found.state });
    return { ...found, state, charge };
  });
}

/** It is over: what the client told is not kept any longer. */
export async function closeCase(number) {
  await change(caseKey(number), (found) => {
    if (found === null || !("question" in found)) return undefined;
    const { question, client, ...rest } = found;
    return rest;
  });
}
