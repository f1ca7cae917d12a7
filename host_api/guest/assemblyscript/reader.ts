/* reader.ts: MessagePack read from bytes that may be anything (docs/protocol.md, section 5.1).
 *
 * What lives here: a cursor, which typed bindings read with, and skipping. What must not: look-up (value.ts),
 * writing (writer.ts), host calls. Nothing here traps, whatever the bytes are: a cursor that met something else than it was asked for is
 * `bad` and stays so, and what it gives from then on is 0, empty or null. Read all you want, ask once.
 */
import { decoded, isText } from "./utf8";
import { Value } from "./value";

/** Containers inside one another, the message itself being the first. */
export const DEPTH_MOST: i32 = 16;

/** In place of a whole number that is nil or not there: no number of the host API is this one. */
export const UNSET: i64 = i64.MIN_VALUE;

/** Values left on each level, for `skip`: nothing else runs meanwhile. Not an array, which would have to be made before
 *  every message. */
const LEFT = memory.data(4 * (16 + 1));

/** What comes next. NONE: nothing, or bytes that are no MessagePack of ours. */
export enum Kind { NONE, NIL, BOOL, INT, FLOAT, TEXT, BYTES, LIST, MAP }

/** A cursor over values, one after the other. `held` keeps the bytes alive where a collector runs. */
export class Reader {
  bad: bool = false;
  /** Of what `next` read: the number, a float's bits, the size of a text or bytes, the count of a list or map. */
  number: u64 = 0;
  /** Of what `next` read: a whole number below zero. */
  negative: bool = false;
  /** Of what `next` read: where its text or bytes begin; of a key, see isKey. */
  content: usize = 0;

  constructor(public at: usize, public end: usize, readonly held: ArrayBuffer | null = null) {}

  /** What comes next, without reading it. */
  peek(): Kind {
    const at = this.at, bad = this.bad;
    const kind = this.next();
    this.at = at;
    this.bad = bad;
    return kind;
  }

  /** Reads one value's head, and the whole of what is no list or map; tells what it was. */
  next(): Kind {
    const tag = <u32>this.big(1);
    this.negative = false;
    if (this.bad) return Kind.NONE;
    this.number = tag;
    if (tag < 0x80) return Kind.INT;
    if (tag < 0x90) return this.counted(Kind.MAP, tag & 15);
    if (tag < 0xa0) return this.counted(Kind.LIST, tag & 15);
    if (tag < 0xc0) return this.sized(Kind.TEXT, tag & 31);
    if (tag >= 0xe0) return this.signed(<i64>tag - 256);
    switch (tag) {
      case 0xc0: return Kind.NIL;
      case 0xc2: case 0xc3: this.number = tag & 1; return Kind.BOOL;
      case 0xc4: case 0xc5: case 0xc6: return this.sized(Kind.BYTES, this.big(1 << (tag - 0xc4)));
      case 0xca: return this.real(<f64>reinterpret<f32>(<u32>this.big(4)));
      case 0xcb: return this.real(reinterpret<f64>(this.big(8)));
      case 0xcc: case 0xcd: case 0xce: case 0xcf: this.number = this.big(1 << (tag - 0xcc)); return this.good(Kind.INT);
      case 0xd0: return this.signed(<i64><i8>this.big(1));
      case 0xd1: return this.signed(<i64><i16>this.big(2));
      case 0xd2: return this.signed(<i64><i32>this.big(4));
      case 0xd3: return this.signed(<i64>this.big(8));
      case 0xd9: case 0xda: case 0xdb: return this.sized(Kind.TEXT, this.big(1 << (tag - 0xd9)));
      case 0xdc: case 0xdd: return this.counted(Kind.LIST, this.big(2 << (tag - 0xdc)));
      case 0xde: case 0xdf: return this.counted(Kind.MAP, this.big(2 << (tag - 0xde)));
      default: return this.spoiled(); // 0xc1 and the extension types, which the wire refuses
    }
  }

  bool(): bool { return this.expect(Kind.BOOL) && this.number != 0; }

  /** A whole number below 2^63; a float is none, even 1.0. */
  int(): i64 {
    if (!this.expect(Kind.INT)) return 0;
    if (!this.negative && <i64>this.number < 0) { this.bad = true; return 0; }
    return <i64>this.number;
  }

  uint(): u64 {
    if (!this.expect(Kind.INT)) return 0;
    if (this.negative) { this.bad = true; return 0; }
    return this.number;
  }

  float(): f64 { return this.expect(Kind.FLOAT) ? reinterpret<f64>(this.number) : 0; }

  text(): string {
    if (!this.expect(Kind.TEXT)) return "";
    const text = decoded(this.content, <u32>this.number);
    if (text === null) { this.bad = true; return ""; }
    return text;
  }

  bytes(): Uint8Array {
    const size = this.expect(Kind.BYTES) ? <i32>this.number : 0;
    const bytes = new Uint8Array(size);
    memory.copy(bytes.dataStart, this.content, size);
    return bytes;
  }

  /** How many values follow; at most as many as there are bytes left. */
  list(): i32 { return this.expect(Kind.LIST) ? <i32>this.number : 0; }

  /** How many pairs follow. */
  map(): i32 { return this.expect(Kind.MAP) ? <i32>this.number : 0; }

  /** Reads a key; `isKey` says which it was. */
  key(): void { this.expect(Kind.TEXT); }

  /** True if the key that was read last is this one. Ask before anything else is read. */
  isKey(name: string): bool { return !this.bad && isText(this.content, <u32>this.number, name); }

  /** Null for nil. */
  textOrNull(): string | null { return this.isNil() ? null : this.text(); }

  /** UNSET for nil. */
  intOrUnset(): i64 { return this.isNil() ? UNSET : this.int(); }

  /** The whole value that comes next, whatever it is. */
  value(): Value {
    const at = this.at;
    this.skip();
    return new Value(at, this.end, this.held);
  }

  /** Reads nil if that comes next. */
  isNil(): bool {
    if (this.peek() != Kind.NIL) return false;
    this.next();
    return true;
  }

  /** Goes past one whole value, whatever it is; one of more than `depth` levels is bad. Never recurses. Gives the
   *  number of values, keys and containers included. */
  skip(depth: i32 = DEPTH_MOST): i32 {
    let seen = 0, level = 0;
    store<u32>(LEFT, 1);
    while (true) {
      while (load<u32>(LEFT + (level << 2)) == 0) {
        if (level == 0) return seen;
        level--;
      }
      const place = LEFT + (level << 2);
      store<u32>(place, load<u32>(place) - 1);
      const kind = this.next();
      if (kind == Kind.NONE) return seen;
      seen++;
      if (kind != Kind.LIST && kind != Kind.MAP) continue;
      if (++level > depth || level > DEPTH_MOST) {
        this.spoiled();
        return seen;
      }
      store<u32>(LEFT + (level << 2), <u32>(kind == Kind.MAP ? 2 * this.number : this.number));
    }
  }

  /** `size` bytes as one number, highest first. */
  private big(size: u32): u64 {
    if (this.bad || this.end - this.at < size) { this.bad = true; return 0; }
    let number: u64 = 0;
    for (const stop = this.at + size; this.at < stop; this.at++) number = (number << 8) | load<u8>(this.at);
    return number;
  }

  private expect(kind: Kind): bool {
    if (this.next() == kind) return true;
    this.spoiled();
    return false;
  }

  private good(kind: Kind): Kind { return this.bad ? this.spoiled() : kind; }

  private spoiled(): Kind {
    this.bad = true;
    this.number = 0;
    this.negative = false;
    return Kind.NONE;
  }

  private signed(number: i64): Kind {
    this.number = <u64>number;
    this.negative = number < 0;
    return this.good(Kind.INT);
  }

  private real(number: f64): Kind {
    this.number = reinterpret<u64>(number);
    return this.good(Kind.FLOAT);
  }

  private sized(kind: Kind, size: u64): Kind {
    if (this.bad || size > <u64>(this.end - this.at)) return this.spoiled();
    this.number = size;
    this.content = this.at;
    this.at += <usize>size;
    return kind;
  }

  /** A count is never more than the bytes that are left could hold. */
  private counted(kind: Kind, count: u64): Kind {
    const most = <u64>(this.end - this.at);
    if (this.bad || count > (kind == Kind.MAP ? most >> 1 : most)) return this.spoiled();
    this.number = count;
    return kind;
  }
}
