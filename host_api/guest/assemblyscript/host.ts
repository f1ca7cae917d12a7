/* host.ts: asking the host. Every request gives a Result: either a value or the host's error, never an exception.
 *
 * What lives here: the imports of hostel_v1 (docs/protocol.md, section 4), requests that wait and requests that do not,
 * errors, randomness. What must not: any one method of the host (api.ts), the answering of messages (serve.ts).
 */
import { Reader } from "./reader";
import { Value } from "./value";
import { Writer } from "./writer";

// @ts-ignore: decorator
@external("hostel_v1", "call")
declare function hostel_call(request: usize, size: u32, room: usize, most: u32): i32;
// @ts-ignore: decorator
@external("hostel_v1", "post")
declare function hostel_post(request: usize, size: u32): i32;
// @ts-ignore: decorator
@external("hostel_v1", "wait")
declare function hostel_wait(room: usize, most: u32, timeout_ms: i32): i32;
// @ts-ignore: decorator
@external("hostel_v1", "take")
declare function hostel_take(room: usize, most: u32): i32;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "random_get")
declare function random_get(at: usize, size: u32): i32;

/** Where the host writes a response; a larger one is taken into room of its own. */
const LANDING_BYTES: u32 = 4_096;
const LANDING = memory.data(4_096);

/** Made with the first request: a program that has nothing to set up at its start is ready sooner. */
let request: Writer | null = null;
let last_msgid: u32 = 0;

/** Why the host, or this side, did not do what was asked. Codes of this side: `bad_request`, `request_too_large`,
 *  `bad_response`; all others: docs/protocol.md, section 5.3. */
export class HostError {
  constructor(
    readonly code: string,
    readonly message: string,
    readonly retryable: bool = false,
    /** 0: not said. */
    readonly retryAfterMs: i64 = 0,
    readonly details: Value = new Value(0, 0, null),
  ) {}
}

/** What came of a request: if `ok`, a `value`, else an `error`. Asking for the other one traps. */
export class Result<T> {
  constructor(private got: T | null, private failure: HostError | null) {}

  get ok(): bool { return this.failure === null; }

  get value(): T {
    const got = this.got;
    if (got === null) throw new Error(`no value, but the error ${this.error.code}: ask .ok before .value`);
    return got;
  }

  get error(): HostError {
    const failure = this.failure;
    if (failure === null) throw new Error("no error, but a value: ask .ok before .error");
    return failure;
  }

  /** True if it failed with this code. */
  failed(code: string): bool {
    const failure = this.failure;
    return failure !== null && failure.code == code;
  }
}

/** The result that is this value: for functions of your own that give a Result. */
export function given<T>(value: T): Result<T> { return new Result<T>(value, null); }

/** The result that is this error. */
export function refused<T>(error: HostError): Result<T> { return new Result<T>(null, error); }

/** A response that `wait` brought. */
export class Arrival {
  constructor(
    /** False: nothing is outstanding, or nothing came in time (`timedOut`). */
    readonly came: bool,
    readonly timedOut: bool,
    /** As `post` gave it. */
    readonly msgid: u32,
    readonly result: Result<Value>,
  ) {}
}

/** Asks and waits for the answer. `params`: one map; none where it is left out. */
export function call(method: string, params: Writer | null = null): Result<Value> {
  const into = begin(method);
  if (params === null) into.map();
  else into.packed(params);
  return send();
}

/** Asks and does not wait: the answer comes from `wait`, with the msgid that this gives. 0: it could not be sent. */
export function post(method: string, params: Writer | null = null): u32 {
  const into = begin(method);
  if (params === null) into.map();
  else into.packed(params);
  if (unfit(into) !== null) return 0;
  hostel_post(into.start, into.size);
  return last_msgid;
}

/** The next answer to what was posted, in the order in which they are ready. 0 only looks; below 0 waits for the
 *  deadline of the call. */
export function wait(timeoutMs: i32 = -1): Arrival {
  const size = hostel_wait(LANDING, LANDING_BYTES, timeoutMs);
  if (size >= 0) return arrived(size);
  const error = new HostError("bad_response", size == -2 ? "nothing came in time" : "nothing is outstanding");
  return new Arrival(false, size == -2, 0, refused<Value>(error));
}

/** An answer as a class of api.ts: `received<OrderResult>(arrival.result, readOrderResult)`. */
export function received<R>(said: Result<Value>, reading: (from: Reader) => R): Result<R> {
  if (!said.ok) return refused<R>(said.error);
  const from = said.value.reader();
  const value = reading(from);
  if (from.bad) return refused<R>(new HostError("bad_response", "the host's answer has another form"));
  return given<R>(value);
}

/** Begins a request: write its parameters, one map, and `send` it. */
export function begin(method: string): Writer {
  let into = request;
  if (into === null) request = into = new Writer();
  return into.reset().list().int(0).uint(++last_msgid).text(method);
}

/** Sends what was begun, and waits for the answer. */
export function send(): Result<Value> {
  const sent = request!;
  const wrong = unfit(sent);
  if (wrong !== null) return refused<Value>(wrong);
  return arrived(hostel_call(sent.start, sent.size, LANDING, LANDING_BYTES)).result;
}

/** Bytes that nobody can guess. */
export function random(size: i32): Uint8Array {
  const bytes = new Uint8Array(size);
  random_get(bytes.dataStart, size);
  return bytes;
}

/** What Math.random begins with; the build puts it in the place of the import that is not there. */
export function seed(): f64 {
  random_get(LANDING, 8);
  return reinterpret<f64>(load<u64>(LANDING));
}

/** What is wrong with the request, or null. */
function unfit(sent: Writer): HostError | null {
  if (sent.close()) return null;
  if (sent.full) return new HostError("request_too_large", "the request is over 256 KiB");
  return new HostError("bad_request", "the parameters are not one map that the wire allows");
}

/** The response of `size` bytes that lies in LANDING, or that the host kept because it did not fit. */
function arrived(size: i32): Arrival {
  if (size < 0) return unreadable("the host answered with no length");
  const bytes = new ArrayBuffer(size);
  const at = changetype<usize>(bytes);
  if (<u32>size <= LANDING_BYTES) memory.copy(at, LANDING, size);
  else if (hostel_take(at, size) != size) return unreadable("the host did not keep the response");
  const from = new Reader(at, at + size, bytes);
  const is_response = from.list() == 4 && from.int() == 1;
  const msgid = <u32>from.uint();
  if (!is_response || from.bad) return unreadable("the host's answer is no response");
  if (from.isNil()) return new Arrival(true, false, msgid, given<Value>(new Value(from.at, from.end, bytes)));
  const error = new Value(from.at, from.end, bytes);
  const told = new HostError(
    error.get("code").text("bad_response"), error.get("message").text(), error.get("retryable").bool(),
    error.get("retry_after_ms").int(), error.get("details"),
  );
  return new Arrival(true, false, msgid, refused<Value>(told));
}

function unreadable(message: string): Arrival {
  return new Arrival(false, false, 0, refused<Value>(new HostError("bad_response", message)));
}
