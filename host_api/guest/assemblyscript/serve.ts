/* serve.ts: answering messages, and the exports that the host looks for.
 *
 * What lives here: the inbox, room for a message, reading its envelope, the answer and its envelope, what happens when the
 * program throws. What must not: requests to the host (host.ts).
 *
 * A program's main file ends with these lines; the compiler exports what the main file exports:
 *
 *     export { hostel_alloc, hostel_inbox, hostel_inbox_size } from "hostel";
 *
 *     export function hostel_handle(at: usize, size: u32): u64 {
 *       return serve(at, size, answer);
 *     }
 */
import { lines } from "./lines";
import { HostError } from "./host";
import { Reader } from "./reader";
import { Value } from "./value";
import { Writer } from "./writer";

/** A message that fits is written there without a call of hostel_alloc. */
export const hostel_inbox_size: u32 = 8_192;
export const hostel_inbox: usize = memory.data(8_192);

/** What the host was given room for, and what it is to read: alive until the next message. */
let message: ArrayBuffer | null = null;
let response: Writer | null = null;
/** The host takes requests only while it waits for an answer. */
let is_serving: bool = false;

export class Request {
  constructor(
    readonly method: string,
    readonly params: Value,
    /** Nobody reads the answer. */
    readonly notification: bool,
    readonly msgid: u32,
  ) {}
}

/** What a program says to a message: a value or an error. */
export class Answer {
  constructor(readonly failed: bool, readonly body: Writer) {}
}

/** The answer that is the value written there. */
export function answer(body: Writer): Answer { return new Answer(false, body); }

/** The answer that is an error of the program's own. */
export function fail(code: string, message: string, details: Writer | null = null): Answer {
  const body = new Writer().map().key("code").text(code).key("message").text(message);
  if (details !== null) body.key("details").packed(details);
  return new Answer(true, body.end());
}

/** The answer that is what the host said. */
export function passOn(error: HostError): Answer {
  const body = new Writer().map().key("code").text(error.code).key("message").text(error.message);
  body.key("retryable").bool(error.retryable).key("retry_after_ms");
  if (error.retryAfterMs > 0) body.int(error.retryAfterMs);
  else body.nil();
  if (error.details.exists) body.key("details").value(error.details);
  return new Answer(true, body.end());
}

/** Which runtime never frees, and so takes over pages that are there already. */
const STUB: i32 = 0;

/** 0: there is no room for it. */
export function hostel_alloc(size: u32): usize {
  if (ASC_RUNTIME == STUB && memory.grow(<i32>((<u64>size + 0x1ffff) >> 16)) < 0) return 0;
  const room = new ArrayBuffer(size);
  message = room;
  return changetype<usize>(room);
}

/** Reads the message, has it answered, and gives the response as the ABI wants it. */
export function serve(at: usize, size: u32, handle: (request: Request) => Answer): u64 {
  is_serving = true;
  const from = new Reader(at, at + size, message);
  const parts = from.list();
  const kind = from.int();
  const msgid: u32 = kind == 0 ? <u32>from.uint() : 0;
  const method = from.text();
  if (from.bad || parts != (kind == 0 ? 4 : 3) || kind < 0 || kind == 1 || kind > 2) return 0;
  const params = new Value(from.at, from.end, message);
  const said = handle(new Request(method, params, kind == 2, msgid));
  is_serving = false;
  if (kind == 2) return 0;
  let told = enveloped(msgid, said);
  if (!told.close()) told = enveloped(msgid, unfit(said.body.full || told.full));
  response = told;
  told.close();
  return (<u64>told.start << 32) | told.size;
}

function enveloped(msgid: u32, said: Answer): Writer {
  const told = new Writer().list().int(1).uint(msgid);
  if (said.failed) told.packed(said.body).nil();
  else told.nil().packed(said.body);
  return told;
}

function unfit(is_too_large: bool): Answer {
  if (is_too_large) return fail("reply_too_large", "the program's answer is over 256 KiB");
  return fail("bad_reply", "the program did not write exactly one value that the wire allows");
}

/** What `throw`, a failed assertion and an index out of range come to: a line in the log, and a trap. */
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  if (is_serving) {
    is_serving = false; // what goes wrong in here goes no further
    let said = message === null ? "aborted" : message;
    if (file !== null) said += " (" + file + ":" + digits(line) + ":" + digits(column) + ")";
    lines.error(said);
  }
  unreachable();
}

/** In place of `toString`, which would bring tables for every radix into every program. */
function digits(number: u32): string {
  let text = "";
  do {
    text = String.fromCharCode(48 + (number % 10)) + text;
    number /= 10;
  } while (number > 0);
  return text;
}
