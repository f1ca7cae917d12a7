// Values that are read, and changed over what was read: two may write at once, and who comes second does it again.
import { HostError, storage } from "hostel";

const TRIES = 10;

/** The value, or null. Scope `program` is what all users of the office share. */
export async function read(key, scope = "program") {
  return (await storage.get({ key, scope })).value;
}

/** `step` makes the next value of the one there is (null: none); what it gives is stored. Undefined: all stays as it is. */
export async function change(key, step, scope = "program") {
  for (let tries = 1; ; tries++) {
    const { value, version } = await storage.get({ key, scope });
    const next = step(value);
    if (next === undefined) return value;
    try {
      await storage.put({ key, scope, value: next, if_version: version });
      return next;
    } catch (error) {
      if (!(error instanceof HostError && error.code === "version_conflict") || tries === TRIES) throw error;
    }
  }
}
