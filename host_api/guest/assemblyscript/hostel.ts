/* hostel.ts: write mini-programs for hostel in AssemblyScript. `import { … } from "hostel"`; docs/languages/assemblyscript.md tells how.
 *
 * What lives here: the names that programs use, from the files they are in. What must not: anything else.
 */
export * from "./api";
export { isWellFormed, parsed } from "./check";
export { Arrival, HostError, Result, call, given, post, random, received, refused, seed, wait } from "./host";
export { DEPTH_MOST, Kind, Reader, UNSET } from "./reader";
export { Answer, Request, abort, answer, fail, hostel_alloc, hostel_inbox, hostel_inbox_size, passOn, serve } from "./serve";
export { charactersOf, textOf } from "./utf8";
export { Value } from "./value";
export { MESSAGE_BYTES_MOST, Writer } from "./writer";
