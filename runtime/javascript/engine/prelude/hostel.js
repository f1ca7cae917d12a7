// The module "hostel": what scripts import. The services come from the declared API (hostel:api, which is generated).
import { call, decode, encode, post, setTimer } from "hostel:native";
import { log as written } from "hostel:api";

export * from "hostel:api";
export { call, decode, encode, post };

/** Answers the message with an error of the program's own: `throw new Fail("sold_out", "no apples left", {left: 0})`. */
export class Fail extends Error {
  constructor(code, message = "", details = {}, { retryable = false, retryAfterMs = null } = {}) {
    if (typeof code !== "string" || code === "") throw new TypeError("a Fail has a code, such as 'sold_out'");
    super(message);
    Object.assign(this, { code, details, retryable, retryAfterMs });
  }
  get name() {
    return "Fail";
  }
}

/** What the host answers in place of a result. Only the host makes them. */
export class HostError extends Error {
  get name() {
    return "HostError";
  }
  toString() {
    return `HostError: ${this.method}: ${this.code}: ${this.message}`;
  }
}

/** Lines of the log with a level. Nobody waits for them; what the host refuses is lost. */
const line = (level) => (message) => post("log.write", { level, message: `${message}`.toWellFormed() });
export const log = Object.freeze({
  ...written, debug: line("debug"), info: line("info"), warning: line("warning"), error: line("error"),
});

/** A promise that is settled after so many milliseconds. */
export const wait = (ms) => new Promise((resolve) => void setTimer(() => resolve(), +ms, false));
