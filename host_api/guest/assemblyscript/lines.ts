/* lines.ts: lines in the program's log.
 *
 * What lives here: what the build puts in the place of `console`, whose own asks for an import that no host here has; so
 * programs need not import it. Sent and waited for, which costs less than a program that can post. What must
 * not: any other method.
 */
import { call } from "./host";
import { Writer } from "./writer";

export namespace lines {
  export function debug(message: string): void { line("debug", message); }
  export function info(message: string): void { line("info", message); }
  export function log(message: string): void { line("info", message); }
  export function warn(message: string): void { line("warning", message); }
  export function error(message: string): void { line("error", message); }
}

/** A line that the host does not take, for want of room or of calls, is lost. */
function line(level: string, message: string): void {
  call("log.write", new Writer().map().key("level").text(level).key("message").text(message).end());
}
