/* value.ts: one value of a message, looked into: params, what storage held, what another program answered.
 *
 * What lives here: a view over the bytes, with look-up and readings that never fail: what is missing or of another kind
 * gives what you say it should. No copy is made before you ask for a text. No writing, no host call.
 */
import { Kind, Reader, UNSET } from "./reader";
import { charactersOf, isText } from "./utf8";

export class Value {
  constructor(private at: usize, private end: usize, private held: ArrayBuffer | null) {}

  get kind(): Kind { return this.reader().peek(); }

  /** False where there was no such key or place, or no value at all. */
  get exists(): bool { return this.kind != Kind.NONE; }
  get isNil(): bool { return this.kind == Kind.NIL; }

  /** Items of a list, pairs of a map, 0 of anything else. */
  get length(): i32 {
    const from = this.reader();
    const kind = from.next();
    return kind == Kind.LIST || kind == Kind.MAP ? <i32>from.number : 0;
  }

  /** The value under that key of a map; one that does not exist where there is none. Chains. */
  get(key: string): Value {
    const from = this.reader();
    for (let left = from.map(); left > 0 && !from.bad; left--) {
      from.key();
      if (from.isKey(key)) return new Value(from.at, this.end, this.held);
      from.skip();
    }
    return new Value(0, 0, null);
  }

  /** All items of a list, or values of a map, in their order; none of anything else. */
  items(): Array<Value> {
    const found = new Array<Value>();
    const from = this.reader();
    const kind = from.next();
    if (kind != Kind.LIST && kind != Kind.MAP) return found;
    for (let left = <i32>from.number; left > 0 && !from.bad; left--) {
      if (kind == Kind.MAP) from.skip();
      found.push(new Value(from.at, this.end, this.held));
      from.skip();
    }
    return found;
  }

  /** The keys of a map, in the order of `items`. */
  keys(): Array<string> {
    const found = new Array<string>();
    const from = this.reader();
    for (let left = from.map(); left > 0 && !from.bad; left--) {
      found.push(from.text());
      from.skip();
    }
    return found;
  }

  bool(otherwise: bool = false): bool {
    const from = this.reader();
    const value = from.bool();
    return from.bad ? otherwise : value;
  }

  /** A whole number below 2^63; a float is none. */
  int(otherwise: i64 = 0): i64 {
    const from = this.reader();
    const value = from.int();
    return from.bad ? otherwise : value;
  }

  uint(otherwise: u64 = 0): u64 {
    const from = this.reader();
    const value = from.uint();
    return from.bad ? otherwise : value;
  }

  float(otherwise: f64 = 0): f64 {
    const from = this.reader();
    const value = from.float();
    return from.bad ? otherwise : value;
  }

  text(otherwise: string = ""): string {
    const from = this.reader();
    const value = from.text();
    return from.bad ? otherwise : value;
  }

  /** Empty where there are none. */
  bytes(): Uint8Array { return this.reader().bytes(); }

  /** True for a text that is exactly this one. */
  is(text: string): bool {
    const from = this.reader();
    return from.next() == Kind.TEXT && isText(from.content, <u32>from.number, text);
  }

  /** A whole number within these bounds, else UNSET. */
  intBetween(least: i64, most: i64): i64 {
    const value = this.int(UNSET);
    return value >= least && value <= most ? value : UNSET;
  }

  /** A text of so many characters, else null. */
  textBetween(least: i32, most: i32): string | null {
    const from = this.reader();
    const value = from.text();
    if (from.bad) return null;
    const size = charactersOf(value);
    return size >= least && size <= most ? value : null;
  }

  /** A cursor at this value. */
  reader(): Reader { return new Reader(this.at, this.end, this.held); }
}
