/* A guest book: visitors sign it, read it, and leave a tip if they like.
 *
 * Every method below is one that users may call; `hostel test` plays scenarios/*.json against them.
 */
import {
  Answer, Request, Result, StoragePutResult, Value, Writer, answer, charactersOf, fail, given, passOn, payment, refused,
  serve, session, storage,
} from "hostel";
export { hostel_alloc, hostel_inbox, hostel_inbox_size } from "hostel";

const KEPT = 20; // entries, the newest
const TEXT_CHARS = 140;
const TIP_MOST: i64 = 20_000; // fen: 200.00 CNY
const CURRENCY = "CNY";
const TRIES = 10;

export function hostel_handle(at: usize, size: u32): u64 {
  return serve(at, size, handle);
}

function handle(request: Request): Answer {
  const params = request.params;
  if (request.method == "sign") return sign(params.get("text").text().trim());
  if (request.method == "list") return list();
  if (request.method == "tip") return tip(params.get("amount").intBetween(1, TIP_MOST));
  return fail("unknown_method", "this guest book answers sign, list and tip");
}

function sign(text: string): Answer {
  if (text == "") return fail("empty", "write something first");
  if (charactersOf(text) > TEXT_CHARS) return fail("too_long", `at most ${TEXT_CHARS} characters`);
  const info = session.info();
  if (!info.ok) return passOn(info.error);
  const entry = new Writer().map().key("text").text(text).key("at_ms").int(info.value.timeMs).end();

  // Two may sign at once: who comes second is refused, reads again and tries again.
  let tries = 0;
  while (true) {
    const book = storage.get({ key: "book", scope: "program" });
    if (!book.ok) return passOn(book.error);
    const count = book.value.value.get("count").int() + 1;
    const entries = book.value.value.get("entries").items();
    const next = new Writer().map().key("count").int(count).key("entries").list().packed(entry);
    for (let i = 0; i < min(entries.length, KEPT - 1); i++) next.value(entries[i]);
    const put = write("book", next.end().end(), book.value.version);
    if (put.ok) return answer(new Writer().map().key("count").int(count).key("entry").packed(entry).end());
    if (!put.failed("version_conflict") || ++tries == TRIES) return passOn(put.error);
  }
}

function list(): Answer {
  const book = storage.get({ key: "book", scope: "program" });
  if (!book.ok) return passOn(book.error);
  const entries = book.value.value.get("entries");
  const told = new Writer().map().key("entries");
  if (entries.exists) told.value(entries);
  else told.list().end();
  return answer(told.end());
}

function tip(amount: i64): Answer {
  if (amount < 1) {
    const details = new Writer().map().key("most").int(TIP_MOST).end();
    return fail("bad_amount", `a tip is 1 to ${TIP_MOST} fen`, details);
  }
  // The number is the program's own and used once; the user decides in the host's cashier, never here.
  const number = nextTip();
  if (!number.ok) return passOn(number.error);
  const name = `tip-${number.value.int()}`;
  const order = payment.create({
    key: name,
    outTradeNo: name,
    amount: { amount, currency: CURRENCY },
    subject: "A tip for the guest book",
    ttlS: 900,
    capture: "auto",
  });
  if (!order.ok) return passOn(order.error);
  const paid = payment.request({ orderId: order.value.orderId, waitMs: 60_000 });
  if (!paid.ok) return passOn(paid.error); // the host's word is the answer
  const status = paid.value.status, reason = paid.value.closeReason;
  if (status == "pending" || (reason !== null && reason == "declined")) {
    console.info("a tip was declined");
    return fail("declined", "no tip then; you are welcome all the same");
  }
  const told = new Writer().map().key("paid").bool(status == "succeeded");
  return answer(told.key("order_id").text(order.value.orderId).end());
}

/** The number of this tip: one more than the last one's. */
function nextTip(): Result<Value> {
  let tries = 0;
  while (true) {
    const last = storage.get({ key: "tips", scope: "program" });
    if (!last.ok) return refused<Value>(last.error);
    const number = new Writer().int(last.value.value.int() + 1);
    const put = write("tips", number, last.value.version);
    if (put.ok) return given<Value>(number.read());
    if (!put.failed("version_conflict") || ++tries == TRIES) return refused<Value>(put.error);
  }
}

/** Writes what all visitors share, only over the version that was read. */
function write(key: string, value: Writer, ifVersion: i64): Result<StoragePutResult> {
  return storage.put({ key, value, scope: "program", ifVersion });
}
