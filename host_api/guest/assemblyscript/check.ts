/* check.ts: whether bytes from somewhere else are one value that the wire allows.
 *
 * What lives here: all of section 5.1 of docs/protocol.md, for bytes that did not come from the host: the host has
 * checked what it hands over. Costs nothing where it is not imported.
 */
import { DEPTH_MOST, Kind, Reader } from "./reader";
import { unitsOf } from "./utf8";
import { Value } from "./value";

const VALUES_MOST: i32 = 4_096;
const KEY_BYTES_MOST: u64 = 256;

/** The value that these bytes are; null if they are none, or anything follows it. */
export function parsed(bytes: Uint8Array): Value | null {
  const at = bytes.dataStart;
  if (!isWellFormed(at, bytes.byteLength)) return null;
  return new Value(at, at + bytes.byteLength, bytes.buffer);
}

/** True if these bytes are exactly one value inside the bounds of the wire. */
export function isWellFormed(at: usize, size: u32): bool {
  const from = new Reader(at, at + size);
  const left = new StaticArray<u32>(DEPTH_MOST + 1);
  const keys = new Keys();
  let level = 0, seen = 0;
  left[0] = 1;
  while (level > 0 || left[0] > 0) {
    if (left[level] == 0) {
      keys.close(level--);
      continue;
    }
    const is_key = keys.expects(level, left[level]--);
    const kind = from.next();
    if (!isAllowed(kind, from) || ++seen > VALUES_MOST) return false;
    if (is_key && !keys.add(level, kind, from)) return false;
    if (kind != Kind.LIST && kind != Kind.MAP) continue;
    if (++level > DEPTH_MOST) return false;
    left[level] = <u32>(kind == Kind.MAP ? 2 * from.number : from.number);
    keys.open(level, kind == Kind.MAP);
  }
  return from.at == from.end;
}

/** What was read is a value by itself: UTF-8, or a number that is one. */
function isAllowed(kind: Kind, from: Reader): bool {
  if (kind == Kind.TEXT) return unitsOf(from.content, <u32>from.number) >= 0;
  if (kind == Kind.FLOAT) return isFinite(reinterpret<f64>(from.number));
  return kind != Kind.NONE;
}

/** The keys of all maps that are open, so that none comes twice. */
class Keys {
  private places: Array<usize> = new Array<usize>();
  private sizes: Array<u32> = new Array<u32>();
  /** Of each level: where its keys begin in the two, -1 for a list. */
  private first: StaticArray<i32> = new StaticArray<i32>(DEPTH_MOST + 1).fill(-1);

  open(level: i32, is_map: bool): void { this.first[level] = is_map ? this.places.length : -1; }

  close(level: i32): void {
    if (this.first[level] < 0) return;
    this.places.length = this.first[level];
    this.sizes.length = this.first[level];
  }

  /** In a map every other value is a key, the first one too. */
  expects(level: i32, left: u32): bool { return this.first[level] >= 0 && (left & 1) == 0; }

  /** False for what is no key, or was one before. */
  add(level: i32, kind: Kind, from: Reader): bool {
    if (kind != Kind.TEXT || from.number > KEY_BYTES_MOST) return false;
    const size = <u32>from.number;
    for (let i = this.first[level]; i < this.places.length; i++) {
      if (this.sizes[i] == size && memory.compare(this.places[i], from.content, size) == 0) return false;
    }
    this.places.push(from.content);
    this.sizes.push(size);
    return true;
  }
}
