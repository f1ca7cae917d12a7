/* change.ts: changing a record that others may change at the same moment: the user, an event, the carrier's hint.
 *
 * What lives here: read, change, write only over what was read, and from the start if somebody was faster; each change as
 * a class that knows whether it still applies. What must not: why anything is changed.
 */
import { Result, given, refused } from "hostel";
import { office } from "./office";
import { Place } from "./place";
import { Shipment, load, rankOf, save } from "./shipment";

const TRIES = 8;

export abstract class Change {
  /** Changes the record; false if there is nothing to change any more. */
  abstract apply(to: Shipment): bool;
}

export class Changed {
  constructor(readonly shipment: Shipment, /** It was this change, and no other, that did it. */ readonly done: bool) {}
}

export function change(number: string, what: Change): Result<Changed> {
  let tries = 0;
  while (true) {
    const found = load(number);
    if (!found.ok) return refused<Changed>(found.error);
    if (!what.apply(found.value)) return given<Changed>(new Changed(found.value, false));
    const saved = save(found.value);
    if (saved.ok) return given<Changed>(new Changed(saved.value, true));
    if (!saved.failed("version_conflict") || ++tries == TRIES) return refused<Changed>(saved.error);
  }
}

/** From one state to another. */
export class Step extends Change {
  constructor(private before: string, private after: string) { super(); }

  apply(to: Shipment): bool {
    if (to.state != this.before) return false;
    to.state = this.after;
    return true;
  }
}

/** A payment was made out, for this attempt. */
export class Ordered extends Change {
  constructor(private attempt: i64, private orderId: string) { super(); }

  apply(to: Shipment): bool {
    if (to.attempt != this.attempt || to.orderId == this.orderId) return false;
    to.orderId = this.orderId;
    return true;
  }
}

/** The payment of this attempt is closed: the next one has another number. */
export class NextAttempt extends Change {
  constructor(private attempt: i64) { super(); }

  apply(to: Shipment): bool {
    if (to.attempt != this.attempt || !to.isOpen) return false;
    to.attempt++;
    to.orderId = "";
    return true;
  }
}

/** The carrier has made the label. */
export class Labelled extends Change {
  constructor(private label: string) { super(); }

  apply(to: Shipment): bool {
    if (to.state != "paid") return false;
    to.state = "labelled";
    to.label = this.label;
    return true;
  }
}

/** What the carrier told, asked just now. Never back to a state before, whatever comes late. */
export class Moved extends Change {
  constructor(private state: string, private at: string, private movedMs: i64) { super(); }

  apply(to: Shipment): bool {
    if (!to.isMoving || office.nowMs < to.seenMs) return false;
    if (rankOf(this.state) >= rankOf(to.state) && this.movedMs >= to.movedMs) {
      to.state = this.state;
      to.at = this.at;
      to.movedMs = this.movedMs;
    }
    to.seenMs = office.nowMs;
    return true;
  }
}

/** The user is being told of this state: whoever does this change sends the message. */
export class Told extends Change {
  constructor(private state: string) { super(); }

  apply(to: Shipment): bool {
    if (to.told == this.state) return false;
    to.told = this.state;
    return true;
  }
}

/** It goes to somewhere else. */
export class Redirected extends Change {
  constructor(private place: Place) { super(); }

  apply(to: Shipment): bool {
    to.to = this.place;
    return true;
  }
}
