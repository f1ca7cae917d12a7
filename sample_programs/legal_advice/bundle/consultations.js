// A client's consultations: asked for, booked, and then given, cancelled, returned or released. What stands in storage is
// what was last seen; the truth is the order's (payment.query) and the case's. A call that is cut off anywhere is
// completed by the next one, or by the event of the order: each step may be done twice.
import { Fail, HostError, log, notify, payment, storage, user } from "hostel";
import { addressAs, caseOf, closeCase, decide, openCase } from "./cases.js";
import { freeHour, keepHour, takeHour } from "./diary.js";
import { DAY_MS, HOUR_MS, beginsAt, hourText, lawyerOf, office, openHour } from "./office.js";
import { change, read } from "./store.js";

const PAY_S = 900; // an order that nobody paid is closed after this time
const UNPAID_MS = (PAY_S + 60) * 1000;
const CANCEL_MS = 12 * HOUR_MS; // later a part of the fee is taken
const KEPT_MS = 30 * DAY_MS;
const QUESTION_CHARS = 500;
const OVER = ["given", "cancelled", "returned", "released"];
const WITHOUT_CONSENT = ["consent_required", "consent_denied", "capability_not_granted", "limit_exceeded"];

const recordKey = (number) => `consultation/${number}`;
const tradeNo = (number) => `c-${number}`;
const money = (amount) => ({ amount, currency: "CNY" });

/** As clients see it. */
function shown(here, one) {
  const { number, lawyer, hour, topic, state } = one;
  return {
    number, hour, begins_ms: beginsAt(here, hour), state, topic, lawyer: { id: lawyer, name: here.say(lawyerOf(here, lawyer).name) },
    fee: money(one.fee), taken: money(one.taken),
  };
}

// ---- methods ---------------------------------------------------------------------------------------------------------
/** Books an hour: the fee is held once the user confirms it. The same hour again goes on where it was left. */
export async function book({ lawyer, hour, topic, question = "", accepts, introduce = false, wait_ms = 120000 }) {
  const here = await office();
  if (accepts !== here.terms) throw new Fail("terms_not_accepted", "show the terms, then send their number", { terms: here.terms });
  const { topics } = lawyerOf(here, lawyer);
  if (!topics.includes(topic)) throw new Fail("wrong_topic", `this lawyer advises on: ${topics.join(", ")}`);
  const told = { question: checkedQuestion(question), client: null };
  let one = (await records()).find((each) => each.lawyer === lawyer && each.hour === hour && !OVER.includes(each.state));
  one = one && (await follow(here, one));
  if (one === undefined || OVER.includes(one.state)) one = await begin(here, { lawyer, hour, topic, told });
  if (one.state === "asked") {
    await secure(here, one);
    one = await pay(here, one, wait_ms);
  }
  if (introduce && one.state === "booked") await introduceTo(one.number, wait_ms);
  return shown(here, one);
}

/** Free up to twelve hours before; then a part of the fee is taken. */
export async function cancel({ number }) {
  const here = await office();
  let one = await follow(here, await record(number));
  if (one.state === "asked") {
    const order = await orderOf(number);
    if (order === null) return shown(here, await over(here, one, "released", 0));
    await payment.close({ key: `x-${number}`, order_id: order.order_id });
  } else if (one.state === "booked") {
    const isLate = beginsAt(here, one.hour) - here.now_ms < CANCEL_MS;
    await decide(number, "cancelled", isLate ? Math.floor((one.fee * here.late_cancel_percent) / 100) : 0);
  } else {
    throw new Fail("already_over", `the consultation is ${one.state}`, { state: one.state });
  }
  one = await follow(here, one);
  return shown(here, one);
}

export async function show({ number }) {
  const here = await office();
  return shown(here, await follow(here, await record(number)));
}

export async function list() {
  const here = await office();
  const found = [];
  for (const one of await records()) found.push(await follow(here, one));
  found.sort((a, b) => (a.hour < b.hour ? -1 : 1));
  return { consultations: found.map((one) => shown(here, one)) };
}

/** An order of this user's changed. Not every order is ours for ever: records of old ones may be gone. */
export async function orderChanged(out_trade_no) {
  const one = await read(recordKey(out_trade_no.slice(2)), "user");
  if (one !== null) await follow(await office(), one);
}

/** Tells of what is near, once each; what was over a month ago is forgotten. */
export async function remind() {
  const here = await office();
  for (const found of await records()) {
    const one = await follow(here, found);
    const ahead_ms = beginsAt(here, one.hour) - here.now_ms;
    if (OVER.includes(one.state) && ahead_ms < -KEPT_MS) await storage.delete({ key: recordKey(one.number) });
    if (one.state !== "booked" || one.reminded || ahead_ms < 0 || ahead_ms > DAY_MS) continue;
    await saved({ ...one, reminded: true });
    await tell(one, "tomorrow", { lawyer: lawyerOf(here, one.lawyer).name[one.language] });
  }
}

// ---- steps -----------------------------------------------------------------------------------------------------------
/** The record is there before anything else, so that whatever is cut off from here on is gone on with. */
async function begin(here, { lawyer, hour, topic, told }) {
  openHour(here, lawyer, hour);
  const number = crypto.randomUUID().replaceAll("-", "").slice(0, 16);
  const { fee } = lawyerOf(here, lawyer);
  const { language, now_ms } = here; // messages are written in this language: an event's session knows none of the user's
  const one = { number, lawyer, hour, topic, fee, told, language, asked_ms: now_ms, state: "asked", taken: 0, reminded: false };
  return await saved(one);
}

/** The hour is taken and the order there; done before, both are as they were. */
async function secure(here, one) {
  const { number, lawyer, hour, language } = one;
  try {
    await takeHour(here, lawyer, hour, number, here.now_ms + UNPAID_MS);
  } catch (error) {
    if (error instanceof Fail) await storage.delete({ key: recordKey(number) });
    throw error;
  }
  await payment.create({
    key: tradeNo(number), out_trade_no: tradeNo(number), amount: money(one.fee), capture: "manual", ttl_s: PAY_S,
    subject: `${language === "zh" ? "法律咨询" : "Legal advice,"} ${hourText(language, hour)}`,
  });
}

async function pay(here, one, wait_ms) {
  const order = await payment.request({ order_id: (await orderOf(one.number)).order_id, wait_ms });
  const after = await follow(here, one);
  if (after.state === "booked" || order.status === "confirming") return after;
  const { close_reason: reason } = order;
  const next = reason === null ? "the hour is kept for you for a quarter of an hour" : "nothing was held, and the hour is free";
  throw new Fail("declined", next, { number: one.number, reason });
}

/** Brings a consultation up to date with its order and its case, and moves the money that is to be moved. */
async function follow(here, one) {
  if (OVER.includes(one.state)) return one;
  const order = await orderOf(one.number);
  switch (order?.status) {
    case undefined:
      return here.now_ms < one.asked_ms + UNPAID_MS ? one : await over(here, one, "released", 0);
    case "pending":
    case "confirming":
      return one;
    case "authorized":
      return await held(here, one, order);
    case "succeeded":
    case "finished":
      return await over(here, one, (await caseOf(one.number)).state, order.captured);
    default: // closed
      return await over(here, one, one.state === "asked" ? "released" : await whyReturned(one.number), 0);
  }
}

async function held(here, one, order) {
  if (one.state === "asked") {
    if (!(await keepHour(here, one.lawyer, one.hour, one.number))) return await give(here, one, order, 0, "returned");
    await openCase(one, one.told);
    one = await saved({ ...one, told: null, state: "booked" });
    log.info("a consultation was booked");
  }
  const { state, charge } = await caseOf(one.number);
  return state === "booked" ? one : await give(here, one, order, charge, state === "given_up" ? "returned" : state);
}

/** So much of what is held is taken, the rest goes back. */
async function give(here, one, { order_id }, charge, state) {
  if (charge > 0) await payment.capture({ key: `t-${one.number}`, order_id, amount: charge });
  else await payment.close({ key: `r-${one.number}`, order_id });
  return await over(here, one, state, charge);
}

async function over(here, one, state, taken) {
  const after = await saved({ ...one, told: null, state, taken });
  if (state !== "given") await freeHour(one.lawyer, one.hour, one.number);
  await closeCase(one.number);
  if (state === "given") await tell(one, "given", { amount: (taken / 100).toFixed(2) });
  else if (state === "returned") await tell(one, "returned");
  log.info(`a consultation is ${state}`);
  return after;
}

/** A held fee came back: somebody gave the consultation up, or nobody said for a week that it was given. */
async function whyReturned(number) {
  return (await caseOf(number))?.state === "cancelled" ? "cancelled" : "returned";
}

async function introduceTo(number, wait_ms) {
  const { scopes } = await user.authorize({ scopes: ["nickname"], wait_ms });
  if (scopes.nickname !== "granted") return;
  const { profile } = await user.profile({ scopes: ["nickname"] });
  await addressAs(number, profile.nickname);
}

/** A message about a consultation, to those who want any. */
async function tell({ language, hour }, template, params) {
  try {
    await notify.send({ template, language, params: { when: hourText(language, hour), ...params } });
  } catch (error) {
    if (!(error instanceof HostError && WITHOUT_CONSENT.includes(error.code))) throw error;
  }
}

// ---- records ---------------------------------------------------------------------------------------------------------
async function record(number) {
  const one = typeof number === "string" && /^[0-9a-f]{16}$/.test(number) ? await read(recordKey(number), "user") : null;
  if (one === null) throw new Fail("not_found", "you have no such consultation");
  return one;
}

async function records() {
  const { keys } = await storage.list({ prefix: "consultation/" });
  return await Promise.all(keys.map(({ key }) => read(key, "user")));
}

const saved = (one) => change(recordKey(one.number), () => one, "user");

async function orderOf(number) {
  try {
    return await payment.query({ out_trade_no: tradeNo(number) });
  } catch (error) {
    if (error instanceof HostError && error.code === "not_found") return null;
    throw error;
  }
}

function checkedQuestion(question) {
  const text = typeof question === "string" ? question.trim() : null;
  if (text === null || [...text].length > QUESTION_CHARS)
    throw new Fail("bad_question", `a question has at most ${QUESTION_CHARS} characters`);
  return text;
}
