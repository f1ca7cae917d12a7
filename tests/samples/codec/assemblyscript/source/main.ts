/* main.ts: decodes what it is sent with the codec of the SDK, and encodes it anew (tests/samples/vectors.py).
 *
 * What lives here: codec.echo {bytes} → {bytes}, or the error `invalid`; `throw`, to see what becomes of it. Nothing else.
 */
import { Answer, Kind, Reader, Request, Writer, answer, fail, parsed, serve } from "hostel";
export { hostel_alloc, hostel_inbox, hostel_inbox_size } from "hostel";

export function hostel_handle(at: usize, size: u32): u64 {
  return serve(at, size, echo);
}

function echo(request: Request): Answer {
  if (request.method == "throw") throw new Error("thrown as it was asked for");
  if (request.method != "codec.echo") return fail("unknown_method", "codec.echo {bytes} is all there is");
  const value = parsed(request.params.get("bytes").bytes());
  if (value === null) return fail("invalid", "not one value that the wire allows");
  const again = new Writer();
  copy(value.reader(), again);
  if (!again.close()) return fail("invalid", "not one value that can be written");
  const bytes = new Uint8Array(again.size);
  memory.copy(bytes.dataStart, again.start, again.size);
  return answer(new Writer().map().key("bytes").bytes(bytes).end());
}

/** One value, read in its own kind and written in its shortest form. At most 16 levels: `parsed` has looked. */
function copy(from: Reader, into: Writer): void {
  switch (from.peek()) {
    case Kind.NIL: from.next(); into.nil(); break;
    case Kind.BOOL: into.bool(from.bool()); break;
    case Kind.INT: number(from, into); break;
    case Kind.FLOAT: into.float(from.float()); break;
    case Kind.TEXT: into.text(from.text()); break;
    case Kind.BYTES: into.bytes(from.bytes()); break;
    case Kind.LIST: {
      into.list();
      for (let left = from.list(); left > 0; left--) copy(from, into);
      into.end();
      break;
    }
    default: {
      into.map();
      for (let left = from.map(); left > 0; left--) {
        into.key(from.text());
        copy(from, into);
      }
      into.end();
    }
  }
}

function number(from: Reader, into: Writer): void {
  from.next();
  if (from.negative) into.int(<i64>from.number);
  else into.uint(from.number);
}
