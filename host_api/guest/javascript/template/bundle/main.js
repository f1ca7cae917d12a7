// A guest book: visitors sign it, read it, and leave a tip if they like.
// Every method below is one that users may call; `hostel test` plays scenarios/*.json against them.
import { Fail, HostError, log, payment, session, storage } from "hostel";

const KEPT = 20; // entries, the newest
const TEXT_CHARS = 140;
const TIP_MOST = 20000; // fen: 200.00 CNY
const CURRENCY = "CNY";

export default {
  async sign({ text }) {
    const written = typeof text === "string" ? text.trim() : "";
    if (written === "") throw new Fail("empty", "write something first");
    if ([...written].length > TEXT_CHARS) throw new Fail("too_long", `at most ${TEXT_CHARS} characters`);
    const { time_ms } = await session.info();
    const entry = { text: written, at_ms: time_ms };
    const book = await change("book", { count: 0, entries: [] }, ({ count, entries }) => ({
      count: count + 1,
      entries: [entry, ...entries].slice(0, KEPT),
    }));
    return { count: book.count, entry };
  },

  async list() {
    const { found, value } = await storage.get({ key: "book", scope: "program" });
    return { entries: found ? value.entries : [] };
  },

  async tip({ amount }) {
    if (!Number.isInteger(amount) || amount < 1 || amount > TIP_MOST)
      throw new Fail("bad_amount", `a tip is 1 to ${TIP_MOST} fen`, { most: TIP_MOST });
    // The number is the program's own and used once; the user decides in the host's cashier, never here.
    const number = await change("tips", 0, (tips) => tips + 1);
    const order = await payment.create({
      key: `tip-${number}`,
      out_trade_no: `tip-${number}`,
      amount: { amount, currency: CURRENCY },
      subject: "A tip for the guest book",
    });
    const { status } = await payment.request({ order_id: order.order_id, wait_ms: 60000 });
    if (status === "succeeded") return { paid: true, order_id: order.order_id };
    if (status === "confirming") return { paid: false, order_id: order.order_id }; // still thinking about it
    log.info(`tip ${number} was declined`);
    throw new Fail("declined", "no tip then; you are welcome all the same");
  },
};

/** Changes what all visitors share. Two may write at once: who comes second is refused, reads again and tries again. */
async function change(key, first, step) {
  for (let tries = 0; ; tries++) {
    const { found, value, version } = await storage.get({ key, scope: "program" });
    const next = step(found ? value : first);
    try {
      await storage.put({ key, scope: "program", value: next, if_version: version });
      return next;
    } catch (error) {
      if (!(error instanceof HostError && error.code === "version_conflict") || tries === 9) throw error;
    }
  }
}
