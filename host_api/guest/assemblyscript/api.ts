/* api.ts: the host API, level 2. Generated from the declared methods by `python docs/generate.py`: do not edit.
 *
 * What lives here: a class for what each method takes and gives, and a function that asks for it. Parameters are given
 * as an object literal; what is left out is not sent. A whole number that may be nil is UNSET where it is; what may be
 * any value is a Writer in parameters and a Value in results. Fields that a newer host adds are skipped.
 */
import { Result, begin as begin_, received as received_, send as send_ } from "./host";
import { Reader, UNSET } from "./reader";
import { Value } from "./value";
import { Writer } from "./writer";

/** Which release of the program is running. */
export class Release {
  /** For people. */
  name: string = "";
  /** Never goes down from one release to the next. */
  code: i64 = 0;
}

export function readRelease(from: Reader): Release {
  const it = new Release();
  for (let left = from.map(); left > 0 && !from.bad; left--) {
    from.key();
    if (from.isKey("name")) it.name = from.text();
    else if (from.isKey("code")) it.code = from.int();
    else from.skip();
  }
  return it;
}

/** The session, as the host knows it. */
export class SessionInfoResult {
  /** The program's own. */
  appId: string = "";
  /** Which release of it is running. */
  release: Release = new Release();
  /** What methods and fields this host has; platform_version.min_code of the manifest asks for one. */
  apiLevel: i64 = 0;
  /** BCP 47. */
  locale: string = "";
  /** IANA. */
  timeZone: string = "";
  /** ISO 4217: what amounts are shown in unless the program says otherwise. */
  currency: string = "";
  /** What the operator set for this program at install [a map]. */
  config: Value = new Value(0, 0, null);
  /** The user is looking: prompts may open. */
  interactive: bool = false;
  /** The app_id of the program that called (program.call); '' for a call from outside. */
  caller: string = "";
  /** Milliseconds since the epoch, by the host's clock. */
  timeMs: i64 = 0;
  /** For logs; a client may choose it, so it is no source of numbers that must be unique. */
  traceId: string = "";
}

export function readSessionInfoResult(from: Reader): SessionInfoResult {
  const it = new SessionInfoResult();
  for (let left = from.map(); left > 0 && !from.bad; left--) {
    from.key();
    if (from.isKey("app_id")) it.appId = from.text();
    else if (from.isKey("release")) it.release = readRelease(from);
    else if (from.isKey("api_level")) it.apiLevel = from.int();
    else if (from.isKey("locale")) it.locale = from.text();
    else if (from.isKey("time_zone")) it.timeZone = from.text();
    else if (from.isKey("currency")) it.currency = from.text();
    else if (from.isKey("config")) it.config = from.value();
    else if (from.isKey("interactive")) it.interactive = from.bool();
    else if (from.isKey("caller")) it.caller = from.text();
    else if (from.isKey("time_ms")) it.timeMs = from.int();
    else if (from.isKey("trace_id")) it.traceId = from.text();
    else from.skip();
  }
  return it;
}

/** How long. The call's deadline goes on. */
export class SessionSleepParams {
  /** Milliseconds [0 to 60,000]. */
  ms: i64;
}

function writeSessionSleepParams(from: SessionSleepParams, into: Writer): void {
  into.map();
  into.key("ms").int(from.ms);
  into.end();
}

/** One line. What is not printable in it is escaped, line breaks too. */
export class LogWriteParams {
  /** How it is shown to whoever reads the log (debug, error, info, warning). */
  level: string;
  /** The line [≤ 16,384 characters]. */
  message: string;
}

function writeLogWriteParams(from: LogWriteParams, into: Writer): void {
  into.map();
  into.key("level").text(from.level);
  into.key("message").text(from.message);
  into.end();
}

/** Which member of the bundle, and which part of it. */
export class AssetReadParams {
  /** As it stands in the bundle: `i18n/zh.json` [1 to 255 characters]. */
  path: string;
  /** Bytes before the part [0 to 1,099,511,627,776]. */
  offset: i64 = 0;
  /** Bytes of the part, at most [1 to 196,608]. */
  length: i64 = 196608;
}

function writeAssetReadParams(from: AssetReadParams, into: Writer): void {
  into.map();
  into.key("path").text(from.path);
  if (from.offset != 0) into.key("offset").int(from.offset);
  if (from.length != 196608) into.key("length").int(from.length);
  into.end();
}

/** The part, as far as the member goes. */
export class AssetReadResult {
  /** Shorter than asked for at the member's end, and empty behind it. */
  data: Uint8Array = new Uint8Array(0);
  /** Bytes of the whole member. */
  size: i64 = 0;
  /** By the ending of its path; nil for one that is not known. */
  mediaType: string | null = null;
}

export function readAssetReadResult(from: Reader): AssetReadResult {
  const it = new AssetReadResult();
  for (let left = from.map(); left > 0 && !from.bad; left--) {
    from.key();
    if (from.isKey("data")) it.data = from.bytes();
    else if (from.isKey("size")) it.size = from.int();
    else if (from.isKey("media_type")) it.mediaType = from.textOrNull();
    else from.skip();
  }
  return it;
}

/** The user's id for this program. */
export class UserLoginResult {
  /** Always the same for this program, and another one for programs of other developers. */
  id: string = "";
}

export function readUserLoginResult(from: Reader): UserLoginResult {
  const it = new UserLoginResult();
  for (let left = from.map(); left > 0 && !from.bad; left--) {
    from.key();
    if (from.isKey("id")) it.id = from.text();
    else from.skip();
  }
  return it;
}

/** What to ask consent for. */
export class UserAuthorizeParams {
  /** Each once (of address, age_band, avatar, locale, nickname, phone, phone_masked) [1 to 7 entries]. */
  scopes: Array<string>;
  /** How long to wait for the user; 0 answers at once, never longer than the limit prompt_wait_ms [0 to 600,000]. */
  waitMs: i64 = 0;
}

function writeUserAuthorizeParams(from: UserAuthorizeParams, into: Writer): void {
  into.map();
  into.key("scopes").list();
  for (let i = 0; i < from.scopes.length; i++) into.text(from.scopes[i]);
  into.end();
  if (from.waitMs != 0) into.key("wait_ms").int(from.waitMs);
  into.end();
}

/** What the user decided. */
export class UserAuthorizeResult {
  /** Scope → `granted`, `refused`, or `pending`: not decided, or not yet; ask again (of granted, pending, refused) [a map]. */
  scopes: Value = new Value(0, 0, null);
}

export function readUserAuthorizeResult(from: Reader): UserAuthorizeResult {
  const it = new UserAuthorizeResult();
  for (let left = from.map(); left > 0 && !from.bad; left--) {
    from.key();
    if (from.isKey("scopes")) it.scopes = from.value();
    else from.skip();
  }
  return it;
}

/** Which fields. */
export class UserProfileParams {
  /** What is needed now, each once (of age_band, avatar, locale, nickname) [1 to 4 entries]. */
  scopes: Array<string>;
}

function writeUserProfileParams(from: UserProfileParams, into: Writer): void {
  into.map();
  into.key("scopes").list();
  for (let i = 0; i < from.scopes.length; i++) into.text(from.scopes[i]);
  into.end();
  into.end();
}

/** The fields asked for. */
export class UserProfileResult {
  /** Scope → value, of those asked for; nil where it is not known. `avatar` is an https URL, `locale` a BCP 47 tag, `age_band` one of 0-12, 13-15, 16-17, 18+ [a map]. */
  profile: Value = new Value(0, 0, null);
}

export function readUserProfileResult(from: Reader): UserProfileResult {
  const it = new UserProfileResult();
  for (let left = from.map(); left > 0 && !from.bad; left--) {
    from.key();
    if (from.isKey("profile")) it.profile = from.value();
    else from.skip();
  }
  return it;
}

/** How much of it. */
export class UserPhoneParams {
  /** The last digits only (scope `phone_masked`), or the whole number (scope `phone`). */
  masked: bool = true;
}

function writeUserPhoneParams(from: UserPhoneParams, into: Writer): void {
  into.map();
  if (from.masked != true) into.key("masked").bool(from.masked);
  into.end();
}

/** The number. */
export class UserPhoneResult {
  /** `****1234`, or the number in E.164; nil where it is not known. */
  phone: string | null = null;
}

export function readUserPhoneResult(from: Reader): UserPhoneResult {
  const it = new UserPhoneResult();
  for (let left = from.map(); left > 0 && !from.bad; left--) {
    from.key();
    if (from.isKey("phone")) it.phone = from.textOrNull();
    else from.skip();
  }
  return it;
}

/** A postal address: parts as they are known, each 1 to 128 printable characters; at least one. */
export class Address {
  /** Whom it is for [1 to 128 characters]. */
  recipient: string | null = null;
  /** ISO 3166-1 alpha-2 [1 to 128 characters]. */
  country: string | null = null;
  /** State, province or prefecture [1 to 128 characters]. */
  region: string | null = null;
  /** City or town [1 to 128 characters]. */
  city: string | null = null;
  /** Part of the city [1 to 128 characters]. */
  district: string | null = null;
  /** Street, house and flat [1 to 128 characters]. */
  street: string | null = null;
  /** As the country writes it [1 to 128 characters]. */
  postalCode: string | null = null;
}

export function readAddress(from: Reader): Address {
  const it = new Address();
  for (let left = from.map(); left > 0 && !from.bad; left--) {
    from.key();
    if (from.isKey("recipient")) it.recipient = from.textOrNull();
    else if (from.isKey("country")) it.country = from.textOrNull();
    else if (from.isKey("region")) it.region = from.textOrNull();
    else if (from.isKey("city")) it.city = from.textOrNull();
    else if (from.isKey("district")) it.district = from.textOrNull();
    else if (from.isKey("street")) it.street = from.textOrNull();
    else if (from.isKey("postal_code")) it.postalCode = from.textOrNull();
    else from.skip();
  }
  return it;
}

/** The address. */
export class UserAddressResult {
  /** Only parts that are known; nil where none is. */
  address: Address | null = null;
}

export function readUserAddressResult(from: Reader): UserAddressResult {
  const it = new UserAddressResult();
  for (let left = from.map(); left > 0 && !from.bad; left--) {
    from.key();
    if (from.isKey("address")) it.address = from.isNil() ? null : readAddress(from);
    else from.skip();
  }
  return it;
}

/** One decision of the user. */
export class Decided {
  /** What was decided about. */
  scope: string = "";
  /** A yes that holds, or a no that is remembered. */
  given: bool = false;
  /** Until when; milliseconds since the epoch. */
  expiresAtMs: i64 = 0;
}

export function readDecided(from: Reader): Decided {
  const it = new Decided();
  for (let left = from.map(); left > 0 && !from.bad; left--) {
    from.key();
    if (from.isKey("scope")) it.scope = from.text();
    else if (from.isKey("given")) it.given = from.bool();
    else if (from.isKey("expires_at_ms")) it.expiresAtMs = from.int();
    else from.skip();
  }
  return it;
}

/** What this user decided for this program and what holds now, by scope. */
export class UserConsentsResult {
  /** By scope; only what holds now. */
  consents: Array<Decided> = [];
}

export function readUserConsentsResult(from: Reader): UserConsentsResult {
  const it = new UserConsentsResult();
  for (let left = from.map(); left > 0 && !from.bad; left--) {
    from.key();
    if (from.isKey("consents")) {
      for (let items = from.list(); items > 0 && !from.bad; items--) it.consents.push(readDecided(from));
    }
    else from.skip();
  }
  return it;
}

/** An amount of money. */
export class Money {
  /** Whole minor units: 1250 is 12.50 of a currency with two digits, and 1250 of one with none [1 to 1,000,000,000,000]. */
  amount: i64 = 0;
  /** ISO 4217, exactly as it is written there: EUR, not eur [3 characters]. */
  currency: string = "";
}

function writeMoney(from: Money, into: Writer): void {
  into.map();
  into.key("amount").int(from.amount);
  into.key("currency").text(from.currency);
  into.end();
}

export function readMoney(from: Reader): Money {
  const it = new Money();
  for (let left = from.map(); left > 0 && !from.bad; left--) {
    from.key();
    if (from.isKey("amount")) it.amount = from.int();
    else if (from.isKey("currency")) it.currency = from.text();
    else from.skip();
  }
  return it;
}

export class PaymentCreateParams {
  /** 1 to 64 printable ASCII characters. */
  key: string;
  /** The program's own number of the order; unique for it for ever; 1 to 64 of A-Z a-z 0-9 _ . : -. */
  outTradeNo: string;
  amount: Money;
  /** What it is for, as the user reads it: 1 to 64 visible characters, cleaned (protocol §8.2). */
  subject: string;
  /** Seconds until an order that nobody paid is closed [60 to 86,400]. */
  ttlS: i64 = 900;
  /** When the money moves: with the user's yes, or held for up to 7 days until payment.capture (auto, manual). */
  capture: string = "auto";
}

function writePaymentCreateParams(from: PaymentCreateParams, into: Writer): void {
  into.map();
  into.key("key").text(from.key);
  into.key("out_trade_no").text(from.outTradeNo);
  into.key("amount");
  writeMoney(from.amount, into);
  into.key("subject").text(from.subject);
  if (from.ttlS != 900) into.key("ttl_s").int(from.ttlS);
  if (from.capture != "auto") into.key("capture").text(from.capture);
  into.end();
}

export class OrderResult {
  /** The host's number of the order. */
  orderId: string = "";
  /** The program's own. */
  outTradeNo: string = "";
  /** pending, confirming, authorized, succeeded, finished or closed; more may come. */
  status: string = "";
  /** declined, expired, no_funds, limit, closed, voided, uninstalled or revoked; nil while the order is not closed. */
  closeReason: string | null = null;
  amount: Money = new Money();
  /** As the user reads it. */
  subject: string = "";
  /** When it is closed unless the user has paid; milliseconds since the epoch. */
  expiresAtMs: i64 = 0;
  /** True where the request had been carried out before, and this is its outcome again. */
  replayed: bool = false;
  /** auto or manual, as it was created. */
  capture: string = "auto";
  /** Minor units that were taken. */
  captured: i64 = 0;
  /** Minor units that were given back in all. */
  refunded: i64 = 0;
  /** Until when the money is held; nil unless authorized. */
  holdExpiresAtMs: i64 = UNSET;
  /** nil unless succeeded. */
  refundableUntilMs: i64 = UNSET;
  /** Grows by one with each change: of two answers or events the later one has the greater. */
  version: i64 = 0;
}

export function readOrderResult(from: Reader): OrderResult {
  const it = new OrderResult();
  for (let left = from.map(); left > 0 && !from.bad; left--) {
    from.key();
    if (from.isKey("order_id")) it.orderId = from.text();
    else if (from.isKey("out_trade_no")) it.outTradeNo = from.text();
    else if (from.isKey("status")) it.status = from.text();
    else if (from.isKey("close_reason")) it.closeReason = from.textOrNull();
    else if (from.isKey("amount")) it.amount = readMoney(from);
    else if (from.isKey("subject")) it.subject = from.text();
    else if (from.isKey("expires_at_ms")) it.expiresAtMs = from.int();
    else if (from.isKey("replayed")) it.replayed = from.bool();
    else if (from.isKey("capture")) it.capture = from.text();
    else if (from.isKey("captured")) it.captured = from.int();
    else if (from.isKey("refunded")) it.refunded = from.int();
    else if (from.isKey("hold_expires_at_ms")) it.holdExpiresAtMs = from.intOrUnset();
    else if (from.isKey("refundable_until_ms")) it.refundableUntilMs = from.intOrUnset();
    else if (from.isKey("version")) it.version = from.int();
    else from.skip();
  }
  return it;
}

export class PaymentRequestParams {
  /** As payment.create gave it [1 to 64 characters]. */
  orderId: string;
  /** How long to wait for the user; 0 answers at once. Never longer than the limit prompt_wait_ms [0 to 600,000]. */
  waitMs: i64 = 0;
}

function writePaymentRequestParams(from: PaymentRequestParams, into: Writer): void {
  into.map();
  into.key("order_id").text(from.orderId);
  if (from.waitMs != 0) into.key("wait_ms").int(from.waitMs);
  into.end();
}

export class PaymentCaptureParams {
  /** 1 to 64 printable ASCII characters. */
  key: string;
  /** As payment.create gave it [1 to 64 characters]. */
  orderId: string;
  /** Minor units of the order's currency, at most what is held; all of it by default. The rest goes back [1 to 1,000,000,000,000]. */
  amount: i64 = UNSET;
}

function writePaymentCaptureParams(from: PaymentCaptureParams, into: Writer): void {
  into.map();
  into.key("key").text(from.key);
  into.key("order_id").text(from.orderId);
  if (from.amount != UNSET) into.key("amount").int(from.amount);
  into.end();
}

export class PaymentQueryParams {
  /** As payment.create gave it; or else out_trade_no [1 to 64 characters]. */
  orderId: string | null = null;
  /** The program's own number of the order; or else order_id; 1 to 64 of A-Z a-z 0-9 _ . : -. */
  outTradeNo: string | null = null;
}

function writePaymentQueryParams(from: PaymentQueryParams, into: Writer): void {
  into.map();
  const orderId = from.orderId;
  if (orderId !== null) into.key("order_id").text(orderId);
  const outTradeNo = from.outTradeNo;
  if (outTradeNo !== null) into.key("out_trade_no").text(outTradeNo);
  into.end();
}

export class PaymentCloseParams {
  /** 1 to 64 printable ASCII characters. */
  key: string;
  /** As payment.create gave it [1 to 64 characters]. */
  orderId: string;
}

function writePaymentCloseParams(from: PaymentCloseParams, into: Writer): void {
  into.map();
  into.key("key").text(from.key);
  into.key("order_id").text(from.orderId);
  into.end();
}

export class PaymentRefundParams {
  /** 1 to 64 printable ASCII characters. */
  key: string;
  /** The order that was captured [1 to 64 characters]. */
  orderId: string;
  /** The program's own number of the refund; unique for the order for ever; 1 to 64 of A-Z a-z 0-9 _ . : -. */
  outRequestNo: string;
  /** Minor units of the order's currency; all refunds together at most what was captured [1 to 1,000,000,000,000]. */
  amount: i64;
  /** What it is for; one clean line, as a subject. */
  reason: string;
}

function writePaymentRefundParams(from: PaymentRefundParams, into: Writer): void {
  into.map();
  into.key("key").text(from.key);
  into.key("order_id").text(from.orderId);
  into.key("out_request_no").text(from.outRequestNo);
  into.key("amount").int(from.amount);
  into.key("reason").text(from.reason);
  into.end();
}

export class RefundResult {
  /** The host's number of the refund. */
  refundId: string = "";
  /** The order it is of. */
  orderId: string = "";
  /** The program's own. */
  outRequestNo: string = "";
  /** succeeded; more may come. */
  status: string = "";
  amount: Money = new Money();
  /** As it was given, cleaned. */
  reason: string = "";
  /** Minor units of the order that were given back in all. */
  orderRefunded: i64 = 0;
  /** True where the refund had been made before: it was not made again. */
  replayed: bool = false;
}

export function readRefundResult(from: Reader): RefundResult {
  const it = new RefundResult();
  for (let left = from.map(); left > 0 && !from.bad; left--) {
    from.key();
    if (from.isKey("refund_id")) it.refundId = from.text();
    else if (from.isKey("order_id")) it.orderId = from.text();
    else if (from.isKey("out_request_no")) it.outRequestNo = from.text();
    else if (from.isKey("status")) it.status = from.text();
    else if (from.isKey("amount")) it.amount = readMoney(from);
    else if (from.isKey("reason")) it.reason = from.text();
    else if (from.isKey("order_refunded")) it.orderRefunded = from.int();
    else if (from.isKey("replayed")) it.replayed = from.bool();
    else from.skip();
  }
  return it;
}

export class PaymentRefundQueryParams {
  /** The order it is of [1 to 64 characters]. */
  orderId: string;
  /** The program's own number of the refund; 1 to 64 of A-Z a-z 0-9 _ . : -. */
  outRequestNo: string;
}

function writePaymentRefundQueryParams(from: PaymentRefundQueryParams, into: Writer): void {
  into.map();
  into.key("order_id").text(from.orderId);
  into.key("out_request_no").text(from.outRequestNo);
  into.end();
}

/** Which events: in a call with a user that user's, in a call without one all of the program. */
export class EventsListParams {
  /** Only those with a higher seq [0 to 9,007,199,254,740,992]. */
  after: i64 = 0;
  /** How many at most [1 to 100]. */
  limit: i64 = 100;
}

function writeEventsListParams(from: EventsListParams, into: Writer): void {
  into.map();
  if (from.after != 0) into.key("after").int(from.after);
  if (from.limit != 100) into.key("limit").int(from.limit);
  into.end();
}

/** One event. */
export class ListedEvent {
  /** Later events have higher ones, of whatever stream. */
  seq: i64 = 0;
  /** What happened, such as "payment.succeeded". */
  topic: string = "";
  /** To what: an order's id. */
  stream: string = "";
  /** Its place among the events of the stream, from 1 without a gap. */
  streamSeq: i64 = 0;
  /** Ids, states and amounts, by topic [a map]. */
  payload: Value = new Value(0, 0, null);
  /** Milliseconds since the epoch. */
  createdAtMs: i64 = 0;
  /** The program has acknowledged it. */
  acked: bool = false;
}

export function readListedEvent(from: Reader): ListedEvent {
  const it = new ListedEvent();
  for (let left = from.map(); left > 0 && !from.bad; left--) {
    from.key();
    if (from.isKey("seq")) it.seq = from.int();
    else if (from.isKey("topic")) it.topic = from.text();
    else if (from.isKey("stream")) it.stream = from.text();
    else if (from.isKey("stream_seq")) it.streamSeq = from.int();
    else if (from.isKey("payload")) it.payload = from.value();
    else if (from.isKey("created_at_ms")) it.createdAtMs = from.int();
    else if (from.isKey("acked")) it.acked = from.bool();
    else from.skip();
  }
  return it;
}

/** A page, in the order of seq. */
export class EventsListResult {
  /** In the order of seq. */
  events: Array<ListedEvent> = [];
  /** There are more: ask again with `after` set to the last seq. */
  more: bool = false;
}

export function readEventsListResult(from: Reader): EventsListResult {
  const it = new EventsListResult();
  for (let left = from.map(); left > 0 && !from.bad; left--) {
    from.key();
    if (from.isKey("events")) {
      for (let items = from.list(); items > 0 && !from.bad; items--) it.events.push(readListedEvent(from));
    }
    else if (from.isKey("more")) it.more = from.bool();
    else from.skip();
  }
  return it;
}

/** What was handled. */
export class EventsAckParams {
  /** Of the event; those before it in its stream are acknowledged with it [1 to 9,007,199,254,740,992]. */
  seq: i64;
}

function writeEventsAckParams(from: EventsAckParams, into: Writer): void {
  into.map();
  into.key("seq").int(from.seq);
  into.end();
}

/** Which value. */
export class StorageGetParams {
  /** 1 to 256 bytes of UTF-8 without control characters [1 to 256 characters]. */
  key: string;
  /** this user's values, or the program's own (program, user). */
  scope: string = "user";
}

function writeStorageGetParams(from: StorageGetParams, into: Writer): void {
  into.map();
  into.key("key").text(from.key);
  if (from.scope != "user") into.key("scope").text(from.scope);
  into.end();
}

/** The value as it is now. */
export class StorageGetResult {
  /** False where there is no such key. */
  found: bool = false;
  /** As it was put; nil where there is none. */
  value: Value = new Value(0, 0, null);
  /** Of this value; 0 where there is none. */
  version: i64 = 0;
}

export function readStorageGetResult(from: Reader): StorageGetResult {
  const it = new StorageGetResult();
  for (let left = from.map(); left > 0 && !from.bad; left--) {
    from.key();
    if (from.isKey("found")) it.found = from.bool();
    else if (from.isKey("value")) it.value = from.value();
    else if (from.isKey("version")) it.version = from.int();
    else from.skip();
  }
  return it;
}

/** What to write, and over what. */
export class StoragePutParams {
  /** 1 to 256 bytes of UTF-8 without control characters [1 to 256 characters]. */
  key: string;
  /** At most 14 levels of lists and maps. */
  value: Writer;
  /** this user's values, or the program's own (program, user). */
  scope: string = "user";
  /** Write only if the key is at this version; 0: only if there is no such key [0 to 9,007,199,254,740,992]. */
  ifVersion: i64 = UNSET;
}

function writeStoragePutParams(from: StoragePutParams, into: Writer): void {
  into.map();
  into.key("key").text(from.key);
  into.key("value").packed(from.value);
  if (from.scope != "user") into.key("scope").text(from.scope);
  if (from.ifVersion != UNSET) into.key("if_version").int(from.ifVersion);
  into.end();
}

/** That it was written. */
export class StoragePutResult {
  /** Of the value written: never used twice in a scope, not even by a key that was deleted and written again. */
  version: i64 = 0;
}

export function readStoragePutResult(from: Reader): StoragePutResult {
  const it = new StoragePutResult();
  for (let left = from.map(); left > 0 && !from.bad; left--) {
    from.key();
    if (from.isKey("version")) it.version = from.int();
    else from.skip();
  }
  return it;
}

/** What to delete. */
export class StorageDeleteParams {
  /** 1 to 256 bytes of UTF-8 without control characters [1 to 256 characters]. */
  key: string;
  /** this user's values, or the program's own (program, user). */
  scope: string = "user";
  /** Delete only if the key is at this version [0 to 9,007,199,254,740,992]. */
  ifVersion: i64 = UNSET;
}

function writeStorageDeleteParams(from: StorageDeleteParams, into: Writer): void {
  into.map();
  into.key("key").text(from.key);
  if (from.scope != "user") into.key("scope").text(from.scope);
  if (from.ifVersion != UNSET) into.key("if_version").int(from.ifVersion);
  into.end();
}

/** Whether anything was there. */
export class StorageDeleteResult {
  /** False where there was no such key. */
  deleted: bool = false;
}

export function readStorageDeleteResult(from: Reader): StorageDeleteResult {
  const it = new StorageDeleteResult();
  for (let left = from.map(); left > 0 && !from.bad; left--) {
    from.key();
    if (from.isKey("deleted")) it.deleted = from.bool();
    else from.skip();
  }
  return it;
}

/** Keys that begin with `prefix` and come after `after`, in the order of their UTF-8 bytes. */
export class StorageListParams {
  /** What the keys begin with [≤ 256 characters]. */
  prefix: string = "";
  /** this user's values, or the program's own (program, user). */
  scope: string = "user";
  /** The last key of the page before [≤ 256 characters]. */
  after: string = "";
  /** Keys in one page [1 to 500]. */
  limit: i64 = 100;
}

function writeStorageListParams(from: StorageListParams, into: Writer): void {
  into.map();
  if (from.prefix != "") into.key("prefix").text(from.prefix);
  if (from.scope != "user") into.key("scope").text(from.scope);
  if (from.after != "") into.key("after").text(from.after);
  if (from.limit != 100) into.key("limit").int(from.limit);
  into.end();
}

/** One key, without its value. */
export class ListedKey {
  /** The key. */
  key: string = "";
  /** What it counts for the quota: key and encoded value. */
  bytes: i64 = 0;
  /** Of its value. */
  version: i64 = 0;
}

export function readListedKey(from: Reader): ListedKey {
  const it = new ListedKey();
  for (let left = from.map(); left > 0 && !from.bad; left--) {
    from.key();
    if (from.isKey("key")) it.key = from.text();
    else if (from.isKey("bytes")) it.bytes = from.int();
    else if (from.isKey("version")) it.version = from.int();
    else from.skip();
  }
  return it;
}

/** One page. */
export class StorageListResult {
  /** In the order of their UTF-8 bytes. */
  keys: Array<ListedKey> = [];
  /** Ask again with `after` set to the last key. */
  more: bool = false;
}

export function readStorageListResult(from: Reader): StorageListResult {
  const it = new StorageListResult();
  for (let left = from.map(); left > 0 && !from.bad; left--) {
    from.key();
    if (from.isKey("keys")) {
      for (let items = from.list(); items > 0 && !from.bad; items--) it.keys.push(readListedKey(from));
    }
    else if (from.isKey("more")) it.more = from.bool();
    else from.skip();
  }
  return it;
}

/** Of which scope. */
export class StorageUsageParams {
  /** this user's values, or the program's own (program, user). */
  scope: string = "user";
}

function writeStorageUsageParams(from: StorageUsageParams, into: Writer): void {
  into.map();
  if (from.scope != "user") into.key("scope").text(from.scope);
  into.end();
}

/** What the scope uses and what it may use. */
export class StorageUsageResult {
  /** Used: keys and encoded values. */
  bytes: i64 = 0;
  /** The limit storage_bytes. */
  bytesMax: i64 = 0;
  /** Kept now. */
  keys: i64 = 0;
  /** The limit storage_keys. */
  keysMax: i64 = 0;
}

export function readStorageUsageResult(from: Reader): StorageUsageResult {
  const it = new StorageUsageResult();
  for (let left = from.map(); left > 0 && !from.bad; left--) {
    from.key();
    if (from.isKey("bytes")) it.bytes = from.int();
    else if (from.isKey("bytes_max")) it.bytesMax = from.int();
    else if (from.isKey("keys")) it.keys = from.int();
    else if (from.isKey("keys_max")) it.keysMax = from.int();
    else from.skip();
  }
  return it;
}

export class NotifyRequestParams {
  /** How long to wait for the user; 0 answers at once. Never longer than the limit prompt_wait_ms [0 to 600,000]. */
  waitMs: i64 = 0;
}

function writeNotifyRequestParams(from: NotifyRequestParams, into: Writer): void {
  into.map();
  if (from.waitMs != 0) into.key("wait_ms").int(from.waitMs);
  into.end();
}

export class NotifyRequestResult {
  /** pending: not decided, or not yet; ask again (granted, pending, refused). */
  status: string = "";
}

export function readNotifyRequestResult(from: Reader): NotifyRequestResult {
  const it = new NotifyRequestResult();
  for (let left = from.map(); left > 0 && !from.bad; left--) {
    from.key();
    if (from.isKey("status")) it.status = from.text();
    else from.skip();
  }
  return it;
}

export class NotifySendParams {
  /** The id of one of the manifest's notices [1 to 64 characters]. */
  template: string;
  /** A text for each of its placeholders, one clean line of 1 to 64 characters [≤ 8 entries; each key 1 to 32 characters; each 1 to 256 characters] [a map]. */
  params: Writer | null = null;
  /** BCP 47: which of the notice's texts. Left out, it is the user's own language [2 to 35 characters]. */
  language: string | null = null;
}

function writeNotifySendParams(from: NotifySendParams, into: Writer): void {
  into.map();
  into.key("template").text(from.template);
  const params = from.params;
  if (params !== null) into.key("params").packed(params);
  const language = from.language;
  if (language !== null) into.key("language").text(language);
  into.end();
}

export class NotifySendResult {
  /** Of the notice, which is kept now for the user's front end. */
  id: string = "";
}

export function readNotifySendResult(from: Reader): NotifySendResult {
  const it = new NotifySendResult();
  for (let left = from.map(); left > 0 && !from.bad; left--) {
    from.key();
    if (from.isKey("id")) it.id = from.text();
    else from.skip();
  }
  return it;
}

/** One HTTPS request. */
export class HttpFetchParams {
  /** `https://host/path?query`, also with `:port`; the host a full name in ASCII, that the grant names [1 to 8,192 characters]. */
  url: string;
  /** GET and HEAD have no body, and can be tried again (DELETE, GET, HEAD, PATCH, POST, PUT). */
  method: string = "GET";
  /** Name to value, printable ASCII; not those that are the connection's (`host`, `content-length`, …) [≤ 32 entries; each key 1 to 64 characters; each ≤ 4,096 characters] [a map]. */
  headers: Writer | null = null;
  /** At most `fetch_request_bytes`. */
  body: Uint8Array | null = null;
  /** For all of it, redirects included; the call's deadline may come sooner [1 to 600,000]. */
  timeoutMs: i64 = 5000;
  /** How many are followed; the next one is the answer [0 to 5]. */
  redirects: i64 = 3;
}

function writeHttpFetchParams(from: HttpFetchParams, into: Writer): void {
  into.map();
  into.key("url").text(from.url);
  if (from.method != "GET") into.key("method").text(from.method);
  const headers = from.headers;
  if (headers !== null) into.key("headers").packed(headers);
  const body = from.body;
  if (body !== null) into.key("body").bytes(body);
  if (from.timeoutMs != 5000) into.key("timeout_ms").int(from.timeoutMs);
  if (from.redirects != 3) into.key("redirects").int(from.redirects);
  into.end();
}

/** The answer, whatever its status. */
export class HttpFetchResult {
  /** From 200 to 999. */
  status: i64 = 0;
  /** Names in lower case; equal ones joined by ", "; no cookies, and none of the connection's own [a map]. */
  headers: Value = new Value(0, 0, null);
  /** As it was sent, at most `fetch_response_bytes`; nothing is inflated. */
  body: Uint8Array = new Uint8Array(0);
  /** Where the answer came from, after redirects. */
  url: string = "";
}

export function readHttpFetchResult(from: Reader): HttpFetchResult {
  const it = new HttpFetchResult();
  for (let left = from.map(); left > 0 && !from.bad; left--) {
    from.key();
    if (from.isKey("status")) it.status = from.int();
    else if (from.isKey("headers")) it.headers = from.value();
    else if (from.isKey("body")) it.body = from.bytes();
    else if (from.isKey("url")) it.url = from.text();
    else from.skip();
  }
  return it;
}

export class ProgramCallParams {
  /** The program to call: one that the grant names [1 to 128 characters]. */
  program: string;
  /** A method of that program [1 to 64 characters]. */
  method: string;
  /** What its method takes [a map]. */
  params: Writer | null = null;
  /** Capability → constraints: what it may use of its own grants during this call; all of them where left out [≤ 16 entries] [a map]. */
  narrow: Writer | null = null;
  /** Capability → constraints: what it may do as this program (`program.as_caller`), within this program's grants [≤ 16 entries] [a map]. */
  delegate: Writer | null = null;
  /** CPU time lent to it, out of this call's; half of what is left by default [≥ 1,000]. */
  cpuUs: i64 = UNSET;
  /** Host calls lent to it, out of this call's; half of what is left by default [≥ 0]. */
  hostCalls: i64 = UNSET;
}

function writeProgramCallParams(from: ProgramCallParams, into: Writer): void {
  into.map();
  into.key("program").text(from.program);
  into.key("method").text(from.method);
  const params = from.params;
  if (params !== null) into.key("params").packed(params);
  const narrow = from.narrow;
  if (narrow !== null) into.key("narrow").packed(narrow);
  const delegate = from.delegate;
  if (delegate !== null) into.key("delegate").packed(delegate);
  if (from.cpuUs != UNSET) into.key("cpu_us").int(from.cpuUs);
  if (from.hostCalls != UNSET) into.key("host_calls").int(from.hostCalls);
  into.end();
}

export class ProgramCallResult {
  /** What its method answered. */
  value: Value = new Value(0, 0, null);
}

export function readProgramCallResult(from: Reader): ProgramCallResult {
  const it = new ProgramCallResult();
  for (let left = from.map(); left > 0 && !from.bad; left--) {
    from.key();
    if (from.isKey("value")) it.value = from.value();
    else from.skip();
  }
  return it;
}

export class ProgramAsCallerParams {
  /** A method of the host API, of a capability that was delegated [1 to 64 characters]. */
  method: string;
  /** What that method takes [a map]. */
  params: Writer | null = null;
}

function writeProgramAsCallerParams(from: ProgramAsCallerParams, into: Writer): void {
  into.map();
  into.key("method").text(from.method);
  const params = from.params;
  if (params !== null) into.key("params").packed(params);
  into.end();
}

export class ProgramAsCallerResult {
  /** What that method answers. */
  value: Value = new Value(0, 0, null);
}

export function readProgramAsCallerResult(from: Reader): ProgramAsCallerResult {
  const it = new ProgramAsCallerResult();
  for (let left = from.map(); left > 0 && !from.bad; left--) {
    from.key();
    if (from.isKey("value")) it.value = from.value();
    else from.skip();
  }
  return it;
}

export namespace session {
  /**
   * The program, its release and settings, and the user's language, time zone and currency.
   * Errors: unknown_method, invalid_params, limit_exceeded, internal.
   */
  export function info(): Result<SessionInfoResult> {
    begin_("session.info").map().end();
    return received_<SessionInfoResult>(send_(), readSessionInfoResult);
  }

  /**
   * Wait without using CPU time.
   * Errors: unknown_method, invalid_params, limit_exceeded, internal.
   */
  export function sleep(params: SessionSleepParams): Result<Value> {
    writeSessionSleepParams(params, begin_("session.sleep"));
    return send_();
  }
}

export namespace log {
  /**
   * Write one line to the program's log.
   * Errors: unknown_method, invalid_params, limit_exceeded, internal.
   */
  export function write(params: LogWriteParams): Result<Value> {
    writeLogWriteParams(params, begin_("log.write"));
    return send_();
  }
}

export namespace asset {
  /**
   * Read a part of a member of the program's own bundle: any but the manifest, the module and scripts.
   * Errors: unknown_method, invalid_params, limit_exceeded, not_found, internal.
   */
  export function read(params: AssetReadParams): Result<AssetReadResult> {
    writeAssetReadParams(params, begin_("asset.read"));
    return received_<AssetReadResult>(send_(), readAssetReadResult);
  }
}

export namespace user {
  /**
   * Who the user is to this program: an id that nobody can join with other programs' ids. Needs user.login.
   * Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired, invalid_params, limit_exceeded, internal.
   */
  export function login(): Result<UserLoginResult> {
    begin_("user.login").map().end();
    return received_<UserLoginResult>(send_(), readUserLoginResult);
  }

  /**
   * Ask the user, in one dialog, for consent to what is not decided yet; needs the capability of each scope.
   * Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired, invalid_params, limit_exceeded, rate_limited, cashier_busy, not_interactive, unknown_outcome, busy, internal.
   */
  export function authorize(params: UserAuthorizeParams): Result<UserAuthorizeResult> {
    writeUserAuthorizeParams(params, begin_("user.authorize"));
    return received_<UserAuthorizeResult>(send_(), readUserAuthorizeResult);
  }

  /**
   * Fields of the user's profile that they consented to. Needs user.profile.
   * Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired, consent_required, consent_denied, invalid_params, limit_exceeded, busy, internal.
   */
  export function profile(params: UserProfileParams): Result<UserProfileResult> {
    writeUserProfileParams(params, begin_("user.profile"));
    return received_<UserProfileResult>(send_(), readUserProfileResult);
  }

  /**
   * The user's phone number: its last digits, or the whole of it. Needs user.phone.
   * Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired, consent_required, consent_denied, invalid_params, limit_exceeded, busy, internal.
   */
  export function phone(params: UserPhoneParams = new UserPhoneParams()): Result<UserPhoneResult> {
    writeUserPhoneParams(params, begin_("user.phone"));
    return received_<UserPhoneResult>(send_(), readUserPhoneResult);
  }

  /**
   * The user's postal address. Needs user.address.
   * Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired, consent_required, consent_denied, invalid_params, limit_exceeded, busy, internal.
   */
  export function address(): Result<UserAddressResult> {
    begin_("user.address").map().end();
    return received_<UserAddressResult>(send_(), readUserAddressResult);
  }

  /**
   * What the user decided for this program: what may be asked for without a dialog.
   * Errors: unknown_method, invalid_params, limit_exceeded, busy, internal.
   */
  export function consents(): Result<UserConsentsResult> {
    begin_("user.consents").map().end();
    return received_<UserConsentsResult>(send_(), readUserConsentsResult);
  }
}

export namespace payment {
  /**
   * Create an order that the session's user is to pay to this program's payee. Needs payment.
   * Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired, grant_constraint, invalid_params, limit_exceeded, rate_limited, key_reused, order_mismatch, unknown_outcome, busy, internal.
   */
  export function create(params: PaymentCreateParams): Result<OrderResult> {
    writePaymentCreateParams(params, begin_("payment.create"));
    return received_<OrderResult>(send_(), readOrderResult);
  }

  /**
   * Ask the user to pay an order: opens the cashier, and waits for the answer up to wait_ms. Needs payment.
   * Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired, grant_constraint, invalid_params, limit_exceeded, rate_limited, not_found, invalid_state, expired, declined, insufficient_funds, cashier_busy, not_interactive, unknown_outcome, busy, internal.
   */
  export function request(params: PaymentRequestParams): Result<OrderResult> {
    writePaymentRequestParams(params, begin_("payment.request"));
    return received_<OrderResult>(send_(), readOrderResult);
  }

  /**
   * Take what is held for an order with manual capture, all of it or a part; what is left goes back at once. Needs payment.
   * Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired, grant_constraint, invalid_params, limit_exceeded, rate_limited, key_reused, not_found, invalid_state, expired, declined, insufficient_funds, unknown_outcome, busy, internal.
   */
  export function capture(params: PaymentCaptureParams): Result<OrderResult> {
    writePaymentCaptureParams(params, begin_("payment.capture"));
    return received_<OrderResult>(send_(), readOrderResult);
  }

  /**
   * How an order stands now: the truth about every payment whose answer was lost. Needs payment.
   * Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired, invalid_params, limit_exceeded, not_found, busy, internal.
   */
  export function query(params: PaymentQueryParams = new PaymentQueryParams()): Result<OrderResult> {
    writePaymentQueryParams(params, begin_("payment.query"));
    return received_<OrderResult>(send_(), readOrderResult);
  }

  /**
   * Give an order up before it is captured: its prompt is taken away, what is held goes back. Needs payment.
   * Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired, invalid_params, limit_exceeded, rate_limited, key_reused, not_found, invalid_state, expired, declined, insufficient_funds, unknown_outcome, busy, internal.
   */
  export function close(params: PaymentCloseParams): Result<OrderResult> {
    writePaymentCloseParams(params, begin_("payment.close"));
    return received_<OrderResult>(send_(), readOrderResult);
  }

  /**
   * Give the user back all or a part of what was captured, and the program its share of the fee. Needs payment.refund.
   * Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired, grant_constraint, invalid_params, limit_exceeded, rate_limited, key_reused, not_found, order_mismatch, invalid_state, expired, declined, insufficient_funds, refund_exceeds_captured, refund_window_over, merchant_funds_low, unknown_outcome, busy, internal.
   */
  export function refund(params: PaymentRefundParams): Result<RefundResult> {
    writePaymentRefundParams(params, begin_("payment.refund"));
    return received_<RefundResult>(send_(), readRefundResult);
  }

  /**
   * Whether a refund was made: the truth where its answer was lost. Needs payment.refund.
   * Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired, invalid_params, limit_exceeded, not_found, busy, internal.
   */
  export function refundQuery(params: PaymentRefundQueryParams): Result<RefundResult> {
    writePaymentRefundQueryParams(params, begin_("payment.refund_query"));
    return received_<RefundResult>(send_(), readRefundResult);
  }
}

export namespace events {
  /**
   * What changed, in order: also for a program that is never notified, or was not there to be.
   * Errors: unknown_method, invalid_params, limit_exceeded, busy, internal.
   */
  export function list(params: EventsListParams = new EventsListParams()): Result<EventsListResult> {
    writeEventsListParams(params, begin_("events.list"));
    return received_<EventsListResult>(send_(), readEventsListResult);
  }

  /**
   * Say that an event was handled: it is not pushed again, and the next of its stream is.
   * Errors: unknown_method, invalid_params, limit_exceeded, not_found, unknown_outcome, busy, internal.
   */
  export function ack(params: EventsAckParams): Result<Value> {
    writeEventsAckParams(params, begin_("events.ack"));
    return send_();
  }
}

export namespace storage {
  /**
   * Read one value. Needs storage.
   * Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired, grant_constraint, invalid_params, limit_exceeded, busy, internal.
   */
  export function get(params: StorageGetParams): Result<StorageGetResult> {
    writeStorageGetParams(params, begin_("storage.get"));
    return received_<StorageGetResult>(send_(), readStorageGetResult);
  }

  /**
   * Write one value, durable when answered; with if_version only over what was read. Needs storage.
   * Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired, grant_constraint, invalid_params, limit_exceeded, version_conflict, quota_exceeded, unknown_outcome, busy, internal.
   */
  export function put(params: StoragePutParams): Result<StoragePutResult> {
    writeStoragePutParams(params, begin_("storage.put"));
    return received_<StoragePutResult>(send_(), readStoragePutResult);
  }

  /**
   * Delete one key. Needs storage.
   * Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired, grant_constraint, invalid_params, limit_exceeded, version_conflict, unknown_outcome, busy, internal.
   */
  export function delete_(params: StorageDeleteParams): Result<StorageDeleteResult> {
    writeStorageDeleteParams(params, begin_("storage.delete"));
    return received_<StorageDeleteResult>(send_(), readStorageDeleteResult);
  }

  /**
   * List keys in order, page by page. Needs storage.
   * Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired, grant_constraint, invalid_params, limit_exceeded, busy, internal.
   */
  export function list(params: StorageListParams = new StorageListParams()): Result<StorageListResult> {
    writeStorageListParams(params, begin_("storage.list"));
    return received_<StorageListResult>(send_(), readStorageListResult);
  }

  /**
   * Bytes and keys used, and the most there may be. Needs storage.
   * Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired, invalid_params, limit_exceeded, busy, internal.
   */
  export function usage(params: StorageUsageParams = new StorageUsageParams()): Result<StorageUsageResult> {
    writeStorageUsageParams(params, begin_("storage.usage"));
    return received_<StorageUsageResult>(send_(), readStorageUsageResult);
  }
}

export namespace notify {
  /**
   * Ask the user to subscribe to this program's messages. Needs notify.
   * Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired, invalid_params, limit_exceeded, rate_limited, cashier_busy, not_interactive, unknown_outcome, busy, internal.
   */
  export function request(params: NotifyRequestParams = new NotifyRequestParams()): Result<NotifyRequestResult> {
    writeNotifyRequestParams(params, begin_("notify.request"));
    return received_<NotifyRequestResult>(send_(), readNotifyRequestResult);
  }

  /**
   * Send the subscribed user a message, from a template of the manifest; not only while they look. Needs notify.
   * Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired, grant_constraint, consent_required, consent_denied, invalid_params, limit_exceeded, unknown_outcome, busy, internal.
   */
  export function send(params: NotifySendParams): Result<NotifySendResult> {
    writeNotifySendParams(params, begin_("notify.send"));
    return received_<NotifySendResult>(send_(), readNotifySendResult);
  }
}

export namespace http {
  /**
   * One HTTPS request to a host that the operator granted. Needs http.
   * Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired, grant_constraint, invalid_params, limit_exceeded, address_refused, fetch_failed, unknown_outcome, busy, internal.
   */
  export function fetch(params: HttpFetchParams): Result<HttpFetchResult> {
    writeHttpFetchParams(params, begin_("http.fetch"));
    return received_<HttpFetchResult>(send_(), readHttpFetchResult);
  }
}

export namespace program {
  /**
   * Call another program for this call's user; what it uses is paid from this call's budget. Needs program.call.
   * Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired, grant_constraint, invalid_params, limit_exceeded, not_found, program_failed, reentrant_call, busy, internal.
   */
  export function call(params: ProgramCallParams): Result<ProgramCallResult> {
    writeProgramCallParams(params, begin_("program.call"));
    return received_<ProgramCallResult>(send_(), readProgramCallResult);
  }

  /**
   * Use what the calling program delegated: the request is carried out as that program's, on its account.
   * Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired, invalid_params, limit_exceeded, internal.
   */
  export function asCaller(params: ProgramAsCallerParams): Result<ProgramAsCallerResult> {
    writeProgramAsCallerParams(params, begin_("program.as_caller"));
    return received_<ProgramAsCallerResult>(send_(), readProgramAsCallerResult);
  }
}
