// What the engine tells of a thrown value: bounded, and safe against whatever was thrown. And how console shows values.

import { utf8Decode, utf8Encode } from "hostel:native";

const MESSAGE_BYTES = 800;
const STACK_BYTES = 2400;
const PATH_BYTES = 200;
const DEPTH_MOST = 4;
const ITEMS_MOST = 100;

function cut(text, most) {
  const bytes = utf8Encode(text);
  const whole = bytes.length <= most;
  return whole ? text.toWellFormed() : `${utf8Decode(bytes.subarray(0, most - 3)).replace(/\ufffd+$/, "")}…`;
}

function stackOf(error) {
  const lines = typeof error.stack === "string" ? error.stack.trimEnd().split("\n") : [];
  return lines.filter((line) => !/\((hostel[:)]|native\))/.test(line)).join("\n");
}

function messageOf(thrown) {
  if (!(thrown instanceof Error)) return `${inner(thrown, 1, [])} was thrown, which is no Error`;
  return thrown.message === "" ? String(thrown.name) : `${thrown.name}: ${thrown.message}`;
}

function describe(thrown) {
  const stack = thrown instanceof Error ? stackOf(thrown) : "";
  const place = /^ *at (?:.*\()?([^()\n]+):(\d+):(\d+)\)?$/m.exec(stack);
  return {
    message: cut(messageOf(thrown), MESSAGE_BYTES),
    stack: cut(stack, STACK_BYTES),
    path: cut(String(place?.[1] ?? thrown?.fileName ?? ""), PATH_BYTES),
    line: place === null ? 0 : Number(place[2]),
    column: place === null ? 0 : Number(place[3]),
  };
}

globalThis.describe = describe; // the engine takes it away

/** One value as console shows it: like JSON, with names for what JSON has no word for. */
export function show(value) {
  return inner(value, 0, []);
}

function inner(value, depth, outer) {
  switch (typeof value) {
    case "string":
      return depth === 0 ? value : JSON.stringify(value);
    case "bigint":
      return `${value}n`;
    case "function":
      return `[function ${value.name || "(anonymous)"}]`;
    case "object":
      return value === null ? "null" : object(value, depth, outer);
    default:
      return String(value);
  }
}

function object(value, depth, outer) {
  if (outer.includes(value)) return "[circular]";
  if (value instanceof Error) return [messageOf(value), stackOf(value)].filter(Boolean).join("\n");
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "Invalid Date" : value.toISOString();
  if (value instanceof RegExp) return String(value);
  if (value instanceof Promise) return "Promise";
  if (depth === DEPTH_MOST) return Array.isArray(value) ? "[…]" : "{…}";
  const next = (item) => inner(item, depth + 1, [...outer, value]);
  if (Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView)))
    return `${Array.isArray(value) ? "" : value.constructor.name}[${listed(value, next)}]`;
  if (value instanceof Set) return `Set{${listed([...value], next)}}`;
  if (value instanceof Map) return `Map{${listed([...value], ([key, item]) => `${next(key)} => ${next(item)}`)}}`;
  const name = value.constructor?.name;
  const named = (key) => (/^[\w$]+$/.test(key) ? key : JSON.stringify(key));
  const pairs = listed(Object.keys(value), (key) => `${named(key)}: ${next(value[key])}`);
  return `${name && name !== "Object" ? `${name} ` : ""}{${pairs}}`;
}

function listed(items, next) {
  const shown = Array.from(items.slice(0, ITEMS_MOST), (item) => next(item));
  if (items.length > ITEMS_MOST) shown.push(`… ${items.length - ITEMS_MOST} more`);
  return shown.join(", ");
}
