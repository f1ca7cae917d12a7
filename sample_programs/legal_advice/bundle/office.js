// The office: its lawyers, topics and fees (office.json, or the installation's configuration), languages and hours.
import { Fail, session } from "hostel";
import standard from "./office.json";

export const HOUR_MS = 3600_000;
export const DAY_MS = 24 * HOUR_MS;
const DAYS_AHEAD = 6; // a fee is held for seven days at most, and must be held still when the consultation is given
const NOTICE_MS = HOUR_MS; // no lawyer is booked at shorter notice
const CONFIG = ["codes", "late_cancel_percent", "lawyers"];

/** The office as the user of this call sees it: what is set up, the time, and texts in their language. */
export async function office() {
  const { config, locale, time_ms } = await session.info();
  for (const name of Object.keys(config)) if (!CONFIG.includes(name)) throw badConfig(name, `is none of ${CONFIG.join(", ")}`);
  const { office: name, ...here } = { ...standard, ...config };
  if (!Number.isInteger(here.late_cancel_percent) || here.late_cancel_percent < 0 || here.late_cancel_percent > 100)
    throw badConfig("late_cancel_percent", "is a whole number from 0 to 100");
  for (const [id, one] of Object.entries(here.lawyers))
    if (!Number.isSafeInteger(one.fee) || one.fee < 1 || !Array.isArray(one.hours) || !Array.isArray(one.topics))
      throw badConfig(`lawyers.${id}`, "has a fee in fen, hours and topics");
  const language = locale.toLowerCase().startsWith("zh") ? "zh" : "en";
  return { ...here, name, language, now_ms: time_ms, codes: here.codes ?? {}, say: (texts) => texts[language] };
}

const badConfig = (setting, problem) => new Fail("bad_config", `config.${setting} ${problem}`, { setting });

export function lawyerOf(here, id) {
  if (typeof id !== "string" || !Object.hasOwn(here.lawyers, id))
    throw new Fail("unknown_lawyer", `lawyers: ${Object.keys(here.lawyers).join(", ")}`);
  return here.lawyers[id];
}

// ---- time: an hour is written as people of the office say it, "2026-11-25T10:00", and is an hour of a lawyer's
const two = (number) => String(number).padStart(2, "0");

function dateAt(here, at_ms) {
  const local = new Date(at_ms + here.utc_offset_minutes * 60_000);
  return `${local.getUTCFullYear()}-${two(local.getUTCMonth() + 1)}-${two(local.getUTCDate())}`;
}

/** When it begins, milliseconds since the epoch; NaN for what is no hour. */
export const beginsAt = (here, hour) => Date.parse(`${hour}:00Z`) - here.utc_offset_minutes * 60_000;

/** As it stands in a message: 25.11. 10:00, or 11月25日10:00. */
export function hourText(language, hour) {
  const [, month, day, time] = /^\d{4}-(\d\d)-(\d\d)T(.{5})$/.exec(hour);
  return language === "zh" ? `${+month}月${+day}日${time}` : `${+day}.${+month}. ${time}`;
}

/** An hour that can be booked now. Raises unknown_hour. */
export function openHour(here, id, hour) {
  const known = typeof hour === "string" && lawyerOf(here, id).hours.includes(hour.slice(11));
  const begins_ms = known && /^\d{4}-\d\d-\d\dT\d\d:\d\d$/.test(hour) ? beginsAt(here, hour) : NaN;
  if (!(begins_ms >= here.now_ms + NOTICE_MS) || hour.slice(0, 10) > dateAt(here, here.now_ms + DAYS_AHEAD * DAY_MS))
    throw new Fail("unknown_hour", "take one of hours.list", { hour: String(hour).slice(0, 32) });
  return begins_ms;
}

/** The next days with the hours at which the lawyer receives, from one hour ahead. */
export function openDays(here, id) {
  const days = [];
  for (let ahead = 0; ahead <= DAYS_AHEAD; ahead++) {
    const date = dateAt(here, here.now_ms + ahead * DAY_MS);
    const hours = lawyerOf(here, id).hours.filter((time) => beginsAt(here, `${date}T${time}`) >= here.now_ms + NOTICE_MS);
    days.push({ date, hours });
  }
  return days;
}
