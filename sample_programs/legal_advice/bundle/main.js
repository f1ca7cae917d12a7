// Ask a lawyer: a consultation is booked with a held fee, which is taken once it was given and goes back if it is not.
// Every method of the default export may be called by any user; what only lawyers may do asks who they are.
import { Fail, asset, events, notify } from "hostel";
import { book, cancel, list, orderChanged, remind, show } from "./consultations.js";
import { freeHours } from "./diary.js";
import { agenda, giveUp, joinOffice, markGiven } from "./lawyers.js";
import { lawyerOf, office } from "./office.js";

const DOCUMENTS = ["terms", "fees"];
const decoder = new TextDecoder();

export default {
  /** Who can be asked about what, and for how much. */
  async "lawyers.list"({ topic }) {
    const { name, lawyers, topics, terms, say } = await office();
    if (topic !== undefined && !Object.hasOwn(topics, topic))
      throw new Fail("unknown_topic", `topics: ${Object.keys(topics).join(", ")}`);
    const found = Object.entries(lawyers).filter(([, one]) => topic === undefined || one.topics.includes(topic));
    return {
      office: say(name),
      terms,
      lawyers: found.map(([id, one]) => ({
        id, name: say(one.name), fee: { amount: one.fee, currency: "CNY" },
        topics: one.topics.map((each) => ({ id: each, name: say(topics[each]) })),
      })),
    };
  },

  /** The hours of a lawyer that nobody has taken, day by day. */
  async "hours.list"({ lawyer }) {
    const here = await office();
    lawyerOf(here, lawyer);
    return { lawyer, days: await freeHours(here, lawyer) };
  },

  /** A document of the office in the user's language: `terms` or `fees`. */
  async "documents.read"({ name }) {
    if (!DOCUMENTS.includes(name)) throw new Fail("unknown_document", `documents: ${DOCUMENTS.join(", ")}`);
    const { language } = await office();
    const { data, media_type } = await asset.read({ path: `documents/${name}.${language}.md` });
    return { name, language, media_type, text: decoder.decode(data) };
  },

  book,
  cancel,
  "consultations.show": show,
  "consultations.list": list,

  /** May the office send this user messages? */
  async "reminders.on"() {
    const { status } = await notify.request({ wait_ms: 60000 });
    if (status === "refused") throw new Fail("declined", "no messages then; your consultations are listed here");
    return { status };
  },

  "lawyer.join": joinOffice,
  "lawyer.agenda": agenda,
  "lawyer.given": markGiven,
  "lawyer.give_up": giveUp,
};

export const notifications = {
  /** An order of the user changed, whoever changed it: the consultation follows, and then the event was handled. */
  async "hostel.event"({ seq, payload }) {
    await orderChanged(payload.out_trade_no);
    await events.ack({ seq });
  },

  /** From the platform's timer, for each user who was here lately: what is near, and what was given meanwhile. */
  remind,
};
