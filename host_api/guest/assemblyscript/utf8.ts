/* utf8.ts: UTF-8, as it stands in messages, and the strings of AssemblyScript, which are UTF-16.
 *
 * What lives here: strict decoding (any bytes give a string or a refusal, never a trap), counting, comparing without a
 * copy. What must not: MessagePack.
 */

/** Bytes of the character that begins at `at`, 0 if there is none: cut off, too long a form, a surrogate, too high. */
function sequence(at: usize, end: usize): u32 {
  const lead = <u32>load<u8>(at);
  if (lead < 0x80) return 1;
  const size: u32 = lead >= 0xc2 && lead < 0xe0 ? 2 : (lead & 0xf0) == 0xe0 ? 3 : lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
  if (size == 0 || end - at < size) return 0;
  const second = <u32>load<u8>(at, 1);
  if ((second & 0xc0) != 0x80) return 0;
  if (size > 2 && (load<u8>(at, 2) & 0xc0) != 0x80) return 0;
  if (size > 3 && (load<u8>(at, 3) & 0xc0) != 0x80) return 0;
  if (lead == 0xe0) return second >= 0xa0 ? size : 0;
  if (lead == 0xed) return second < 0xa0 ? size : 0;
  if (lead == 0xf0) return second >= 0x90 ? size : 0;
  if (lead == 0xf4) return second < 0x90 ? size : 0;
  return size;
}

/** How many UTF-16 units these bytes are; -1 if they are not UTF-8. */
export function unitsOf(at: usize, size: u32): i32 {
  const end = at + size;
  let units = 0;
  while (at < end) {
    if (end - at >= 8 && (load<u64>(at) & 0x8080808080808080) == 0) {
      at += 8;
      units += 8;
      continue;
    }
    const bytes = sequence(at, end);
    if (bytes == 0) return -1;
    at += bytes;
    units += bytes == 4 ? 2 : 1;
  }
  return units;
}

/** These bytes as a string; null if they are not UTF-8. */
export function decoded(at: usize, size: u32): string | null {
  const units = unitsOf(at, size);
  if (units < 0) return null;
  if (units == 0) return "";
  // @ts-ignore: a global of the runtime
  const text = changetype<string>(__new(<usize>units << 1, idof<string>()));
  const end = at + size;
  let to = changetype<usize>(text);
  while (at < end) {
    const lead = <u32>load<u8>(at);
    if (lead < 0x80) {
      store<u16>(to, lead);
      at += 1;
    } else if (lead < 0xe0) {
      store<u16>(to, ((lead & 0x1f) << 6) | (load<u8>(at, 1) & 0x3f));
      at += 2;
    } else if (lead < 0xf0) {
      store<u16>(to, ((lead & 0x0f) << 12) | ((<u32>load<u8>(at, 1) & 0x3f) << 6) | (load<u8>(at, 2) & 0x3f));
      at += 3;
    } else {
      const high = ((lead & 0x07) << 18) | ((<u32>load<u8>(at, 1) & 0x3f) << 12);
      const point = (high | ((<u32>load<u8>(at, 2) & 0x3f) << 6) | (load<u8>(at, 3) & 0x3f)) - 0x10000;
      store<u16>(to, 0xd800 | (point >> 10));
      store<u16>(to, 0xdc00 | (point & 0x3ff), 2);
      at += 4;
      to += 2;
    }
    to += 2;
  }
  return text;
}

/** Bytes from somewhere else, such as the body of a page, as a string; null if they are not UTF-8. */
export function textOf(bytes: Uint8Array): string | null { return decoded(bytes.dataStart, bytes.length); }

/** True if these bytes are that text. */
export function isText(at: usize, size: u32, text: string): bool {
  const units = <u32>text.length;
  if (size < units) return false;
  const from = changetype<usize>(text);
  for (let i: u32 = 0; i < units; i++) {
    const unit = load<u16>(from + (i << 1));
    if (unit >= 0x80) return decoded(at, size) == text;
    if (unit != <u16>load<u8>(at + i)) return false;
  }
  return size == units;
}

/** Characters (code points) of a string: what a person counts, more or less. */
export function charactersOf(text: string): i32 {
  let count = 0;
  for (let i = 0; i < text.length; i++) {
    if ((text.charCodeAt(i) & 0xfc00) != 0xdc00) count++;
  }
  return count;
}
