/* writer.ts: MessagePack written in its shortest form, as the host decodes it fastest.
 *
 * What lives here: a writer that counts for you and cannot write what the wire refuses. No reading, no host call.
 *
 *     new Writer().map().key("count").int(3).key("entries").list().text("a").text("b").end().end()
 *
 * Errors are sticky: a writer that was used wrongly is `bad` for good, one over its bound is `full`, and neither is sent.
 * `end` may be left away at the very end: `close` ends what is open.
 */
import { DEPTH_MOST } from "./reader";
import { Value } from "./value";

const START_BYTES: u32 = 256;
/** What the host takes by default: limits request_bytes and message_out_bytes. */
export const MESSAGE_BYTES_MOST: u32 = 262_144;
const VALUES_MOST: u32 = 4_096;
const KEY_BYTES_MOST: u32 = 256;

export class Writer {
  private buffer: ArrayBuffer = new ArrayBuffer(START_BYTES);
  private used: u32 = 0;
  private values: u32 = 0;
  private level: i32 = 0;
  private deepest: i32 = 0;
  /** Of each level: values in it, and where its head is; the highest bit of the latter says map. */
  private counts: StaticArray<u32> = new StaticArray<u32>(DEPTH_MOST + 1);
  private heads: StaticArray<u32> = new StaticArray<u32>(DEPTH_MOST + 1);
  /** Used wrongly: an odd map, a key that is no text, too deep, too many values, a float that is no number. */
  bad: bool = false;
  /** More than `most` bytes. */
  full: bool = false;

  constructor(private most: u32 = MESSAGE_BYTES_MOST) {}

  nil(): this { return this.scalar(0xc0, 0, 0); }
  bool(value: bool): this { return this.scalar(value ? 0xc3 : 0xc2, 0, 0); }

  int(value: i64): this {
    if (value >= 0) return this.uint(<u64>value);
    if (value >= -32) return this.scalar(<u32>(value & 0xff), 0, 0);
    if (value >= i8.MIN_VALUE) return this.scalar(0xd0, <u64>value, 1);
    if (value >= i16.MIN_VALUE) return this.scalar(0xd1, <u64>value, 2);
    if (value >= i32.MIN_VALUE) return this.scalar(0xd2, <u64>value, 4);
    return this.scalar(0xd3, <u64>value, 8);
  }

  uint(value: u64): this {
    if (value < 0x80) return this.scalar(<u32>value, 0, 0);
    if (value <= 0xff) return this.scalar(0xcc, value, 1);
    if (value <= 0xffff) return this.scalar(0xcd, value, 2);
    if (value <= 0xffffffff) return this.scalar(0xce, value, 4);
    return this.scalar(0xcf, value, 8);
  }

  /** Never for money: that is whole minor units. NaN and the infinities are refused. */
  float(value: f64): this {
    if (!isFinite(value)) this.bad = true;
    return this.scalar(0xcb, reinterpret<u64>(value), 8);
  }

  /** A lone surrogate becomes U+FFFD: the wire takes UTF-8 only. */
  text(value: string): this {
    this.began();
    return this.put_text(value);
  }

  /** A key of the map that is open; its value comes next. */
  key(name: string): this {
    const level = this.level;
    if (!this.in_map() || (unchecked(this.counts[level]) & 1) != 0) this.bad = true;
    unchecked(this.counts[level] += 1);
    this.values++;
    const start = this.used;
    this.put_text(name);
    if (this.used - start > KEY_BYTES_MOST + 3) this.bad = true;
    return this;
  }

  bytes(value: Uint8Array): this {
    this.began();
    const size = <u32>value.length;
    if (size <= 0xff) this.head(0xc4, size, 1);
    else if (size <= 0xffff) this.head(0xc5, size, 2);
    else this.head(0xc6, size, 4);
    return this.copy(value.dataStart, size);
  }

  /** Begins a list; `end` ends it. */
  list(): this { return this.open(0); }

  /** Begins a map: `key`, then a value, and so on; `end` ends it. No key twice. */
  map(): this { return this.open(0x80000000); }

  /** Ends the list or map begun last. */
  end(): this {
    const level = this.level;
    if (level == 0) { this.bad = true; return this; }
    this.level = level - 1;
    const head = unchecked(this.heads[level]);
    const count = unchecked(this.counts[level]);
    const is_map = (head & 0x80000000) != 0;
    if (is_map && (count & 1) != 0) this.bad = true;
    return this.settle(head & 0x7fffffff, is_map ? 0x80 : 0x90, is_map ? 0xde : 0xdc, is_map ? count >> 1 : count);
  }

  /** Whole minor units of a currency of ISO 4217, as the host API has it everywhere. */
  money(amount: i64, currency: string): this {
    return this.map().key("amount").int(amount).key("currency").text(currency).end();
  }

  /** Copies a value as it stands: one that was read, or nil where there is none. */
  value(value: Value): this {
    const from = value.reader();
    const start = from.at;
    const seen = from.skip(DEPTH_MOST - this.level);
    if (from.bad) return this.nil();
    this.began();
    this.values += seen - 1;
    return this.copy(start, <u32>(from.at - start));
  }

  /** Copies what another writer wrote: exactly one value. */
  packed(other: Writer): this {
    if (!other.close()) { this.bad = this.bad || other.bad; this.full = this.full || other.full; return this; }
    if (this.level + other.deepest > DEPTH_MOST) this.bad = true;
    this.deepest = max(this.deepest, this.level + other.deepest);
    this.began();
    this.values += other.values - 1;
    return this.copy(other.start, other.used);
  }

  /** Writes itself into another: what has a `write` can be the parameters of a request. */
  write(into: Writer): void { into.packed(this); }

  /** Ends all that is open; true if what was written is exactly one value that may be sent. */
  close(): bool {
    while (this.level > 0) this.end();
    if (unchecked(this.counts[0]) != 1 || this.values > VALUES_MOST) this.bad = true;
    return !this.bad && !this.full;
  }

  /** As new. */
  reset(): this {
    this.used = 0, this.values = 0, this.level = 0, this.deepest = 0;
    this.bad = false, this.full = false;
    unchecked(this.counts[0] = 0);
    return this;
  }

  /** Where the bytes begin: valid until more is written. */
  get start(): usize { return changetype<usize>(this.buffer); }
  get size(): u32 { return this.used; }

  /** What was written, to be read; nothing unless `close` is true. It stays as it is when the writer is used again. */
  read(): Value {
    if (!this.close()) return new Value(0, 0, null);
    const bytes = this.buffer.slice(0, this.used);
    return new Value(changetype<usize>(bytes), changetype<usize>(bytes) + this.used, bytes);
  }

  private in_map(): bool { return (unchecked(this.heads[this.level]) & 0x80000000) != 0 && this.level > 0; }

  /** Counts a value of the container that is open: in a map it has a key before it. */
  private began(): void {
    const level = this.level;
    if (this.in_map() && (unchecked(this.counts[level]) & 1) == 0) this.bad = true;
    unchecked(this.counts[level] += 1);
    this.values++;
  }

  private open(kind: u32): this {
    this.began();
    const level = this.level + 1;
    if (level > DEPTH_MOST) { this.bad = true; return this; }
    this.level = level;
    this.deepest = max(this.deepest, level);
    unchecked(this.counts[level] = 0);
    unchecked(this.heads[level] = this.used | kind);
    return this.head(0, 0, 0);
  }

  /** Puts a container's head where one byte was kept for it; what it holds moves if that is not enough. */
  private settle(at: u32, small: u32, tag: u32, count: u32): this {
    if (this.full) return this;
    if (count < 16) {
      store<u8>(this.start + at, small | count);
      return this;
    }
    if (!this.room(2)) return this;
    const head = this.start + at;
    memory.copy(head + 3, head + 1, this.used - at - 1);
    store<u8>(head, tag);
    store<u16>(head + 1, bswap<u16>(<u16>count)); // never more than 4,096
    this.used += 2;
    return this;
  }

  private scalar(tag: u32, number: u64, size: u32): this {
    this.began();
    return this.head(tag, number, size);
  }

  private put_text(value: string): this {
    const size = <u32>String.UTF8.byteLength(value);
    if (size < 32) this.head(0xa0 | size, 0, 0);
    else if (size <= 0xff) this.head(0xd9, size, 1);
    else if (size <= 0xffff) this.head(0xda, size, 2);
    else this.head(0xdb, size, 4);
    if (!this.room(size)) return this;
    const to = this.start + this.used;
    String.UTF8.encodeUnsafe(changetype<usize>(value), value.length, to, false, String.UTF8.ErrorMode.REPLACE);
    this.used += size;
    return this;
  }

  /** One tag and `size` bytes of `number`, highest first. */
  private head(tag: u32, number: u64, size: u32): this {
    if (!this.room(1 + size)) return this;
    const to = this.start + this.used;
    store<u8>(to, tag);
    for (let i: u32 = 0; i < size; i++) store<u8>(to + 1 + i, number >> (8 * (size - 1 - i)));
    this.used += 1 + size;
    return this;
  }

  private copy(from: usize, size: u32): this {
    if (!this.room(size)) return this;
    memory.copy(this.start + this.used, from, size);
    this.used += size;
    return this;
  }

  private room(more: u32): bool {
    if (this.full || <u64>this.used + more > this.most) {
      this.full = true;
      return false;
    }
    const have = <u32>this.buffer.byteLength;
    if (this.used + more <= have) return true;
    const larger = new ArrayBuffer(max(2 * have, this.used + more));
    memory.copy(changetype<usize>(larger), this.start, this.used);
    this.buffer = larger;
    return true;
  }
}
