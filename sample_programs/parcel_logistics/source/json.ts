/* json.ts: JSON, as far as a carrier speaks it.
 *
 * What lives here: reading a text into a Value, so that one look-up does for JSON and for messages; texts with their
 * quotes for what is sent. The text comes from outside: anything but JSON within the bounds is null. Never recurses deeper
 * than LEVELS_MOST.
 */
import { Value, Writer, textOf } from "hostel";

const BYTES_MOST = 16_384;
const LEVELS_MOST = 8;

/** What this JSON says (RFC 8259); null if it is none, or larger or deeper than a carrier has reason to send. */
export function jsonRead(bytes: Uint8Array): Value | null {
  const text = bytes.length <= BYTES_MOST ? textOf(bytes) : null;
  if (text === null) return null;
  const source = new Source(text);
  source.value(0);
  source.space();
  const read = source.out.read();
  return !source.bad && source.at == source.text.length && read.exists ? read : null;
}

/** A text with its quotes. */
export function jsonText(text: string): string {
  let quoted = '"';
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit == 0x22 || unit == 0x5c) quoted += "\\" + text.charAt(i);
    else if (unit < 0x20) quoted += " ";
    else quoted += text.charAt(i);
  }
  return quoted + '"';
}

class Source {
  at: i32 = 0;
  bad: bool = false;
  out: Writer = new Writer();

  constructor(readonly text: string) {}

  value(level: i32): void {
    this.space();
    const unit = this.unit();
    if (level > LEVELS_MOST) this.bad = true;
    else if (unit == 0x7b) this.object(level);
    else if (unit == 0x5b) this.list(level);
    else if (unit == 0x22) this.out.text(this.string());
    else if (unit == 0x2d || isDigit(unit)) this.number();
    else if (this.word("true")) this.out.bool(true);
    else if (this.word("false")) this.out.bool(false);
    else if (this.word("null")) this.out.nil();
    else this.bad = true;
  }

  space(): void {
    while (this.unit() == 0x20 || this.unit() == 0x0a || this.unit() == 0x0d || this.unit() == 0x09) this.at++;
  }

  private object(level: i32): void {
    this.out.map();
    let more = !this.opens(0x7d);
    while (more && !this.bad) {
      this.space();
      if (this.unit() != 0x22) { this.bad = true; return; }
      this.out.key(this.string());
      this.space();
      if (!this.takes(0x3a)) { this.bad = true; return; }
      this.value(level + 1);
      more = this.follows(0x7d);
    }
    this.out.end();
  }

  private list(level: i32): void {
    this.out.list();
    let more = !this.opens(0x5d);
    while (more && !this.bad) {
      this.value(level + 1);
      more = this.follows(0x5d);
    }
    this.out.end();
  }

  /** Goes into a container; true if it is empty, and then past it. */
  private opens(close: i32): bool {
    this.at++;
    this.space();
    return this.takes(close);
  }

  /** After a member: true if another one follows. */
  private follows(close: i32): bool {
    this.space();
    if (this.takes(0x2c)) return true;
    if (!this.takes(close)) this.bad = true;
    return false;
  }

  private string(): string {
    let text = "";
    this.at++;
    let from = this.at;
    while (!this.takes(0x22)) {
      const unit = this.unit();
      if (unit < 0x20) { this.bad = true; return ""; } // the end, too
      this.at++;
      if (unit != 0x5c) continue;
      text += this.text.substring(from, this.at - 1) + this.escaped();
      from = this.at;
    }
    return text + this.text.substring(from, this.at - 1);
  }

  private escaped(): string {
    const unit = this.unit();
    this.at++;
    switch (unit) {
      case 0x22: case 0x2f: case 0x5c: return String.fromCharCode(unit);
      case 0x62: return "\b";
      case 0x66: return "\f";
      case 0x6e: return "\n";
      case 0x72: return "\r";
      case 0x74: return "\t";
      case 0x75: return this.unicode();
      default: this.bad = true; return "";
    }
  }

  private unicode(): string {
    const digits = this.text.substring(this.at, this.at + 4);
    this.at += 4;
    let number = 0;
    for (let i = 0; i < 4; i++) {
      const unit = i < digits.length ? digits.charCodeAt(i) | 0x20 : 0;
      if (unit >= 0x61 && unit <= 0x66) number = number * 16 + unit - 0x57;
      else if (unit >= 0x30 && unit <= 0x39) number = number * 16 + unit - 0x30;
      else this.bad = true;
    }
    return String.fromCharCode(number);
  }

  /** A whole number of up to 18 digits stays one; any other becomes a float. */
  private number(): void {
    const from = this.at;
    if (this.unit() == 0x2d) this.at++;
    const first = this.at;
    this.digits();
    if (this.at - first > 1 && this.text.charCodeAt(first) == 0x30) this.bad = true;
    let whole = this.at - first <= 18;
    if (this.takes(0x2e)) { whole = false; this.digits(); }
    if ((this.unit() | 0x20) == 0x65) {
      whole = false;
      this.at++;
      if (this.unit() == 0x2b || this.unit() == 0x2d) this.at++;
      this.digits();
    }
    const said = this.text.substring(from, this.at);
    if (whole) this.out.int(I64.parseInt(said));
    else this.out.float(F64.parseFloat(said));
  }

  /** One at least. */
  private digits(): void {
    const from = this.at;
    while (isDigit(this.unit())) this.at++;
    if (this.at == from) this.bad = true;
  }

  private word(word: string): bool {
    if (!this.text.startsWith(word, this.at)) return false;
    this.at += word.length;
    return true;
  }

  private takes(unit: i32): bool {
    if (this.unit() != unit) return false;
    this.at++;
    return true;
  }

  /** The UTF-16 unit here; 0 at the end. */
  private unit(): i32 { return this.at < this.text.length ? this.text.charCodeAt(this.at) : 0; }
}

function isDigit(unit: i32): bool { return unit >= 0x30 && unit <= 0x39; }
