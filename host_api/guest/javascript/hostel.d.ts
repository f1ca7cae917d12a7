// The module "hostel" that the engine gives to scripts. What its services take and give: api.d.ts.

declare module "hostel" {
  /**
   * What can be sent, answered and stored. Properties that are undefined are left out. Whole numbers that are not safe
   * (`Number.isSafeInteger`) come as BigInt; NaN, infinities, dates, maps and functions are refused with their place.
   */
  export type Value = null | boolean | number | bigint | string | Uint8Array | Value[] | { [key: string]: Value };

  /** The message that is handled, as a method's second argument. */
  export interface Request {
    method: string;
    /** null for a notification. */
    msgid: number | null;
    notification: boolean;
  }

  /** A script's default export: what may be called. `params` is whatever the caller sent: look at it before use. */
  export type Methods = Record<string, (params: any, request: Request) => unknown>;

  /** The error that answers the message: `throw new Fail("sold_out", "no apples left", { left: 0 })`. */
  export class Fail extends Error {
    constructor(
      code: string,
      message?: string,
      details?: Record<string, unknown>,
      options?: { retryable?: boolean; retryAfterMs?: number | null },
    );
    code: string;
    details: Record<string, unknown>;
    retryable: boolean;
    retryAfterMs: number | null;
  }

  /** What the host answers in place of a result. Thrown where a call is awaited; uncaught it answers the message. */
  export class HostError extends Error {
    private constructor();
    readonly code: ErrorCode | (string & {});
    readonly retryable: boolean;
    readonly retryAfterMs: number | null;
    readonly details: Record<string, any>;
    /** That was asked for. */
    readonly method: string;
  }

  /** Any method of the host by its name. Several that are not awaited one by one run at once, up to 16. */
  export function call(method: string, params?: Record<string, unknown>): Promise<any>;
  /** A notification to the host: begun at once, never answered. */
  export function post(method: string, params?: Record<string, unknown>): void;
  /** Settled after so many milliseconds; costs no CPU time. */
  export function wait(ms: number): Promise<void>;
  /** The wire's MessagePack. */
  export function encode(value: unknown): Uint8Array;
  export function decode(bytes: Uint8Array): Value;

  /** Lines of the program's log, beside `write`. Nobody waits for them. */
  export interface LogService {
    debug(message: unknown): void;
    info(message: unknown): void;
    warning(message: unknown): void;
    error(message: unknown): void;
  }
}
