// The lawyers' diaries: who has which hour. One value a lawyer and day, changed over what was read, so that of two who
// want an hour one gets it. An hour that is not paid yet is kept until its order is over for certain.
import { Fail } from "hostel";
import { openDays } from "./office.js";
import { change, read } from "./store.js";

const dayKey = (lawyer, hour) => `day/${lawyer}/${hour.slice(0, 10)}`;
const isFree = (entry, now_ms) => entry === undefined || (entry.until_ms !== null && entry.until_ms < now_ms);

/** Takes the hour for that consultation, until then unless it is kept. Raises hour_taken. */
export async function takeHour(here, lawyer, hour, number, until_ms) {
  await change(dayKey(lawyer, hour), (day) => {
    const entry = day?.[hour.slice(11)];
    if (!isFree(entry, here.now_ms) && entry.number !== number)
      throw new Fail("hour_taken", "somebody was faster: take another of hours.list", { hour });
    return { ...day, [hour.slice(11)]: { number, until_ms } };
  });
}

/** The consultation is paid for: its hour is its own. False: it was too late, and somebody else has it. */
export async function keepHour(here, lawyer, hour, number) {
  const day = await change(dayKey(lawyer, hour), (found) => {
    const entry = found?.[hour.slice(11)];
    if (entry?.number !== number && !isFree(entry, here.now_ms)) return undefined;
    return { ...found, [hour.slice(11)]: { number, until_ms: null } };
  });
  return day[hour.slice(11)].number === number;
}

/** The consultation does not take place. */
export async function freeHour(lawyer, hour, number) {
  await change(dayKey(lawyer, hour), (day) => {
    if (day?.[hour.slice(11)]?.number !== number) return undefined;
    const { [hour.slice(11)]: gone, ...rest } = day;
    return rest;
  });
}

/** The next days with the hours that nobody has. */
export async function freeHours(here, lawyer) {
  const days = openDays(here, lawyer);
  const taken = await Promise.all(days.map(({ date }) => read(`day/${lawyer}/${date}`)));
  return days.map(({ date, hours }, at) => ({
    date,
    hours: hours.filter((time) => isFree(taken[at]?.[time], here.now_ms)).map((time) => `${date}T${time}`),
  }));
}

/** Numbers of the consultations of a day, in order of hour; those that are not paid are left out. */
export async function bookedOn(lawyer, date) {
  const day = (await read(`day/${lawyer}/${date}`)) ?? {};
  const times = Object.keys(day).filter((time) => day[time].until_ms === null);
  return times.sort().map((time) => day[time].number);
}
