// What scripts find as globals beside the language itself: console, timers, text and bytes, randomness, structuredClone.
import { clearTimer, print, randomBytes, setTimer, utf8Decode, utf8Encode } from "hostel:native";
import { show } from "hostel:describe";

function define(globals) {
  for (const [name, value] of Object.entries(globals))
    Object.defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false });
}

// ---- console: lines of the program's log; out is level info, err is level warning
const said = (descriptor) => (...values) => print(descriptor, values.map(show).join(" "));
const [out, err] = [said(1), said(2)];
const console = {
  log: out, info: out, debug: out, warn: err, error: err,
  assert: (holds, ...values) => holds || err("Assertion failed", ...values),
  trace: (...values) => err(...values, `\n${new Error().stack}`),
};

// ---- timers: bounded by the message that is handled
const timer = (name, repeats) => (callback, ms = 0, ...values) => {
  if (typeof callback !== "function") throw new TypeError(`${name} takes a function`);
  return setTimer(values.length ? () => callback(...values) : callback, +ms, repeats);
};
const clear = (id) => clearTimer(id ?? 0);

// ---- text and bytes
class TextEncoder {
  get encoding() {
    return "utf-8";
  }
  encode(text = "") {
    return utf8Encode(`${text}`);
  }
  encodeInto(text, into) {
    let read = 0;
    let written = 0;
    for (const character of `${text}`) {
      const bytes = utf8Encode(character);
      if (written + bytes.length > into.length) break;
      into.set(bytes, written);
      written += bytes.length;
      read += character.length;
    }
    return { read, written };
  }
}

const bytesOf = (source) => {
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  if (ArrayBuffer.isView(source)) return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
  throw new TypeError("bytes are an ArrayBuffer or a view of one");
};

class TextDecoder {
  #fatal;
  #keepMark;
  constructor(label = "utf-8", { fatal = false, ignoreBOM = false } = {}) {
    if (!/^utf-?8$/i.test(label)) throw new RangeError(`there is no '${label}', only utf-8`);
    this.#fatal = Boolean(fatal);
    this.#keepMark = Boolean(ignoreBOM);
  }
  get encoding() {
    return "utf-8";
  }
  get fatal() {
    return this.#fatal;
  }
  get ignoreBOM() {
    return this.#keepMark;
  }
  decode(source = new Uint8Array(), { stream = false } = {}) {
    if (stream) throw new TypeError("streams of bytes are not decoded: give all of them at once");
    const text = utf8Decode(bytesOf(source), this.#fatal);
    return !this.#keepMark && text.startsWith("\ufeff") ? text.slice(1) : text;
  }
}

// ---- randomness, from the host
const crypto = {
  getRandomValues(array) {
    const bytes = bytesOf(array);
    bytes.set(randomBytes(bytes.length));
    return array;
  },
  randomUUID() {
    const bytes = randomBytes(16);
    bytes[6] = (bytes[6] & 15) | 64;
    bytes[8] = (bytes[8] & 63) | 128;
    return bytes.toHex().replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  },
};

// ---- structuredClone
const PLAIN_ERRORS = [EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError, Error];

function structuredClone(value) {
  const seen = new Map();
  const keep = (from, to) => (seen.set(from, to), to);
  const refuse = (what) => {
    throw new DOMException(`${what} cannot be cloned`, "DataCloneError");
  };
  const clone = (from) => {
    if (typeof from === "function" || typeof from === "symbol") refuse(`a ${typeof from}`);
    if (typeof from !== "object" || from === null) return from;
    if (seen.has(from)) return seen.get(from);
    if (Array.isArray(from)) return fill(keep(from, new Array(from.length)), from);
    if (from instanceof Date) return keep(from, new Date(from.getTime()));
    if (from instanceof RegExp) return keep(from, new RegExp(from.source, from.flags));
    if (from instanceof ArrayBuffer) return keep(from, from.slice(0));
    if (ArrayBuffer.isView(from)) return keep(from, view(from));
    if (from instanceof Map) return pairs(keep(from, new Map()), from);
    if (from instanceof Set) return members(keep(from, new Set()), from);
    if (from instanceof Error) return error(from);
    if ([Promise, WeakMap, WeakSet].some((kind) => from instanceof kind)) refuse("a promise or weak collection");
    return fill(keep(from, {}), from);
  };
  const fill = (to, from) => {
    for (const key of Object.keys(from)) to[key] = clone(from[key]);
    return to;
  };
  const pairs = (to, from) => {
    for (const [key, item] of [...from]) to.set(clone(key), clone(item));
    return to;
  };
  const members = (to, from) => {
    for (const item of [...from]) to.add(clone(item));
    return to;
  };
  const view = (from) => {
    const length = from instanceof DataView ? from.byteLength : from.length;
    return new from.constructor(clone(from.buffer), from.byteOffset, length);
  };
  const error = (from) => {
    const kind = PLAIN_ERRORS.find((one) => one.name === from.name) ?? Error;
    const to = keep(from, Object.create(kind.prototype));
    Object.defineProperty(to, "message", { value: `${from.message}`, writable: true, configurable: true });
    Object.defineProperty(to, "stack", { value: from.stack, writable: true, configurable: true });
    return to;
  };
  return clone(value);
}

define({
  console, TextEncoder, TextDecoder, crypto, structuredClone,
  setTimeout: timer("setTimeout", false), clearTimeout: clear,
  setInterval: timer("setInterval", true), clearInterval: clear,
});
