/* main.ts: which message is answered by what. A fresh sandbox answers each one: what is to be kept is in storage. */
import { Answer, Request, Writer, answer, fail, passOn, serve } from "hostel";
import { send } from "./account";
import { book, quote } from "./booking";
import { opened } from "./office";
import { cancel, pay } from "./paying";
import { placeOf } from "./place";
import { askForNotices, list, notified, redirect, track } from "./tracking";
export { hostel_alloc, hostel_inbox, hostel_inbox_size } from "hostel";

const PAY_WAIT_MS: i64 = 120_000; // the host cuts it to what the installation allows
const PAY_WAIT_MS_MOST: i64 = 600_000;

export function hostel_handle(at: usize, size: u32): u64 {
  return serve(at, size, handle);
}

function handle(request: Request): Answer {
  const closed = opened();
  if (closed !== null) return passOn(closed);
  if (request.notification) {
    notified(request);
    return answer(new Writer().nil());
  }
  const method = request.method, params = request.params;
  const number = params.get("number").text();
  if (method == "quote") return quote(params);
  if (method == "book") return book(params);
  if (method == "pay" || method == "send") {
    const wait = params.get("wait_ms");
    const waitMs = wait.exists ? wait.intBetween(0, PAY_WAIT_MS_MOST) : PAY_WAIT_MS;
    if (waitMs < 0) return fail("invalid_params", "wait_ms: 0 to 600000, or left out");
    return method == "pay" ? pay(number, waitMs) : send(params, waitMs);
  }
  if (method == "track") return track(number);
  if (method == "list") return list(params.get("after").text());
  if (method == "redirect") {
    const to = placeOf(params.get("to"));
    if (to === null) return fail("invalid_params", "to: {recipient, city, street} at least");
    return redirect(number, to);
  }
  if (method == "cancel") return cancel(number);
  if (method == "notices.ask") return askForNotices();
  return fail("unknown_method", "this office answers quote, book, pay, track, list, redirect, cancel, send and notices.ask");
}
