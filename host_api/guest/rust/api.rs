//! The methods of the host API, each a struct with its parameters: fill it in, then `call` it.
//!
//! Written by `python docs/generate.py` from the host's schema: a change here is lost. A parameter that is an `Option`
//! may be left out; a field of an answer that is one may be nil. `typed` tells what the macros make.

use crate::host::ask;
use crate::typed::{put, Field, Fields, Param, Record};
use crate::{post, HostError, Ticket, Value};

/// The level of the host API that these were written from; `session::Info` tells the host's own.
pub const API_LEVEL: i64 = 2;

/// The codes of the host's errors, for `HostError::is`.
pub mod codes {
    /// check the method's name and the api level in session.info.
    pub const UNKNOWN_METHOD: &str = "unknown_method";
    /// add the permission to req_permissions in manifest.json.
    pub const CAPABILITY_UNDECLARED: &str = "capability_undeclared";
    /// ask the operator to grant the capability.
    pub const CAPABILITY_NOT_GRANTED: &str = "capability_not_granted";
    /// ask the operator to renew the grant.
    pub const GRANT_EXPIRED: &str = "grant_expired";
    /// stay inside the grant; details name the constraint and its value.
    pub const GRANT_CONSTRAINT: &str = "grant_constraint";
    /// ask the user with user.authorize.
    pub const CONSENT_REQUIRED: &str = "consent_required";
    /// the user said no; ask again after retry_after_ms at the earliest.
    pub const CONSENT_DENIED: &str = "consent_denied";
    /// details name the parameter and what it must be.
    pub const INVALID_PARAMS: &str = "invalid_params";
    /// details name the limit, its value and what was used.
    pub const LIMIT_EXCEEDED: &str = "limit_exceeded";
    /// wait retry_after_ms.
    pub const RATE_LIMITED: &str = "rate_limited";
    /// the idempotency key was used with other parameters: make a new one.
    pub const KEY_REUSED: &str = "key_reused";
    /// the same key is being worked on: ask again for its outcome.
    pub const IN_PROGRESS: &str = "in_progress";
    /// no such thing, or not yours.
    pub const NOT_FOUND: &str = "not_found";
    /// read again and retry with the version found.
    pub const VERSION_CONFLICT: &str = "version_conflict";
    /// delete something, or ask the operator for more.
    pub const QUOTA_EXCEEDED: &str = "quota_exceeded";
    /// the out_trade_no exists with other content.
    pub const ORDER_MISMATCH: &str = "order_mismatch";
    /// details name the state the order is in.
    pub const INVALID_STATE: &str = "invalid_state";
    /// create a new order.
    pub const EXPIRED: &str = "expired";
    /// the user said no.
    pub const DECLINED: &str = "declined";
    /// the user can top up and confirm again.
    pub const INSUFFICIENT_FUNDS: &str = "insufficient_funds";
    /// another question waits for this user's answer.
    pub const CASHIER_BUSY: &str = "cashier_busy";
    /// prompts open only while the user is looking at the program.
    pub const NOT_INTERACTIVE: &str = "not_interactive";
    /// refund at most what was captured and not yet refunded.
    pub const REFUND_EXCEEDS_CAPTURED: &str = "refund_exceeds_captured";
    /// the order is too old to be refunded here; ask the operator.
    pub const REFUND_WINDOW_OVER: &str = "refund_window_over";
    /// the payee's account does not cover it now; try again after the next payments.
    pub const MERCHANT_FUNDS_LOW: &str = "merchant_funds_low";
    /// the program that was called gave no result; details say how it ended.
    pub const PROGRAM_FAILED: &str = "program_failed";
    /// only public addresses are fetched from.
    pub const ADDRESS_REFUSED: &str = "address_refused";
    /// the other side could not be reached or broke off; try again later.
    pub const FETCH_FAILED: &str = "fetch_failed";
    /// a resident program is called again only when its own call is over.
    pub const REENTRANT_CALL: &str = "reentrant_call";
    /// query before trying again: it may have happened.
    pub const UNKNOWN_OUTCOME: &str = "unknown_outcome";
    /// wait retry_after_ms.
    pub const BUSY: &str = "busy";
    /// a fault of the host; details carry the incident id.
    pub const INTERNAL: &str = "internal";
}

answer! {
    /// Which release of the program is running.
    Release {
        /// For people.
        name: String,
        /// Never goes down from one release to the next.
        code: i64,
    }
}

answer! {
    /// A postal address: parts as they are known, each 1 to 128 printable characters; at least one.
    Address {
        /// Whom it is for. (1 – 128 characters)
        recipient: Option<String>,
        /// ISO 3166-1 alpha-2. (1 – 128 characters)
        country: Option<String>,
        /// State, province or prefecture. (1 – 128 characters)
        region: Option<String>,
        /// City or town. (1 – 128 characters)
        city: Option<String>,
        /// Part of the city. (1 – 128 characters)
        district: Option<String>,
        /// Street, house and flat. (1 – 128 characters)
        street: Option<String>,
        /// As the country writes it. (1 – 128 characters)
        postal_code: Option<String>,
    }
}

answer! {
    /// One decision of the user.
    Decided {
        /// What was decided about.
        scope: String,
        /// A yes that holds, or a no that is remembered.
        given: bool,
        /// Until when; milliseconds since the epoch.
        expires_at_ms: i64,
    }
}

answer! {
    /// An amount of money.
    Money {
        /// Whole minor units: 1250 is 12.50 of a currency with two digits, and 1250 of one with none. (1 –
        /// 1,000,000,000,000)
        amount: i64,
        /// ISO 4217, exactly as it is written there: EUR, not eur. (3 characters)
        currency: String,
    }
}

answer! {
    /// The answer of `payment.create`, `payment.request`, `payment.capture`, `payment.query`, `payment.close`.
    OrderResult {
        /// The host's number of the order.
        order_id: String,
        /// The program's own.
        out_trade_no: String,
        /// pending, confirming, authorized, succeeded, finished or closed; more may come.
        status: String,
        /// declined, expired, no_funds, limit, closed, voided, uninstalled or revoked; nil while the order is not
        /// closed.
        close_reason: Option<String>,
        /// amount.
        amount: crate::Money,
        /// As the user reads it.
        subject: String,
        /// When it is closed unless the user has paid; milliseconds since the epoch.
        expires_at_ms: i64,
        /// True where the request had been carried out before, and this is its outcome again.
        replayed: bool,
        /// auto or manual, as it was created.
        capture: Option<String>,
        /// Minor units that were taken.
        captured: Option<i64>,
        /// Minor units that were given back in all.
        refunded: Option<i64>,
        /// Until when the money is held; nil unless authorized.
        hold_expires_at_ms: Option<i64>,
        /// nil unless succeeded.
        refundable_until_ms: Option<i64>,
        /// Grows by one with each change: of two answers or events the later one has the greater.
        version: Option<i64>,
    }
}

answer! {
    /// The answer of `payment.refund`, `payment.refund_query`.
    RefundResult {
        /// The host's number of the refund.
        refund_id: String,
        /// The order it is of.
        order_id: String,
        /// The program's own.
        out_request_no: String,
        /// succeeded; more may come.
        status: String,
        /// amount.
        amount: crate::Money,
        /// As it was given, cleaned.
        reason: String,
        /// Minor units of the order that were given back in all.
        order_refunded: i64,
        /// True where the refund had been made before: it was not made again.
        replayed: bool,
    }
}

answer! {
    /// One event.
    ListedEvent {
        /// Later events have higher ones, of whatever stream.
        seq: i64,
        /// What happened, such as "payment.succeeded".
        topic: String,
        /// To what: an order's id.
        stream: String,
        /// Its place among the events of the stream, from 1 without a gap.
        stream_seq: i64,
        /// Ids, states and amounts, by topic.
        payload: Value,
        /// Milliseconds since the epoch.
        created_at_ms: i64,
        /// The program has acknowledged it.
        acked: bool,
    }
}

answer! {
    /// One key, without its value.
    ListedKey {
        /// The key.
        key: String,
        /// What it counts for the quota: key and encoded value.
        bytes: i64,
        /// Of its value.
        version: i64,
    }
}

impl Param for Money {
    fn sent(self) -> Option<Value> {
        Some(crate::map! { "amount" => self.amount, "currency" => self.currency })
    }
}

/// The methods `session.*`.
pub mod session {
    use super::*;

    method! {
        /// The program, its release and settings, and the user's language, time zone and currency.
        "session.info": Info -> InfoResult
    }

    answer! {
        /// The session, as the host knows it.
        InfoResult {
            /// The program's own.
            app_id: String,
            /// Which release of it is running.
            release: crate::Release,
            /// What methods and fields this host has; platform_version.min_code of the manifest asks for one.
            api_level: i64,
            /// BCP 47.
            locale: String,
            /// IANA.
            time_zone: String,
            /// ISO 4217: what amounts are shown in unless the program says otherwise.
            currency: String,
            /// What the operator set for this program at install.
            config: Value,
            /// The user is looking: prompts may open.
            interactive: bool,
            /// The app_id of the program that called (program.call); '' for a call from outside.
            caller: String,
            /// Milliseconds since the epoch, by the host's clock.
            time_ms: i64,
            /// For logs; a client may choose it, so it is no source of numbers that must be unique.
            trace_id: String,
        }
    }

    method! {
        /// Wait without using CPU time.
        "session.sleep": Sleep -> () {
            /// Milliseconds. (0 – 60,000)
            ms: i64,
        }
    }
}

/// The methods `log.*`.
pub mod log {
    use super::*;

    choice! {
        /// One of `debug`, `error`, `info`, `warning`.
        Level {
            #[default]
            Debug = "debug",
            Error = "error",
            Info = "info",
            Warning = "warning",
        }
    }

    method! {
        /// Write one line to the program's log.
        "log.write": Write<'a> -> () {
            /// How it is shown to whoever reads the log.
            level: Level,
            /// The line. (≤ 16,384 characters)
            message: &'a str,
        }
    }
}

/// The methods `asset.*`.
pub mod asset {
    use super::*;

    method! {
        /// Read a part of a member of the program's own bundle: any but the manifest, the module and scripts.
        "asset.read": Read<'a> -> ReadResult {
            /// As it stands in the bundle: `i18n/zh.json`. (1 – 255 characters)
            path: &'a str,
            /// Bytes before the part. (0 – 1,099,511,627,776) Left out: 0.
            offset: Option<i64>,
            /// Bytes of the part, at most. (1 – 196,608) Left out: 196608.
            length: Option<i64>,
        }
    }

    answer! {
        /// The part, as far as the member goes.
        ReadResult {
            /// Shorter than asked for at the member's end, and empty behind it.
            data: Vec<u8>,
            /// Bytes of the whole member.
            size: i64,
            /// By the ending of its path; nil for one that is not known.
            media_type: Option<String>,
        }
    }
}

/// The methods `user.*`.
pub mod user {
    use super::*;

    choice! {
        /// One of `address`, `age_band`, `avatar`, `locale`, `nickname`, `phone`, `phone_masked`.
        AuthorizeScope {
            #[default]
            Address = "address",
            AgeBand = "age_band",
            Avatar = "avatar",
            Locale = "locale",
            Nickname = "nickname",
            Phone = "phone",
            PhoneMasked = "phone_masked",
        }
    }

    choice! {
        /// One of `age_band`, `avatar`, `locale`, `nickname`.
        ProfileScope {
            #[default]
            AgeBand = "age_band",
            Avatar = "avatar",
            Locale = "locale",
            Nickname = "nickname",
        }
    }

    method! {
        /// Who the user is to this program: an id that nobody can join with other programs' ids.
        ///
        /// Needs the capability `user.login`.
        "user.login": Login -> LoginResult
    }

    answer! {
        /// The user's id for this program.
        LoginResult {
            /// Always the same for this program, and another one for programs of other developers.
            id: String,
        }
    }

    method! {
        /// Ask the user, in one dialog, for consent to what is not decided yet; needs the capability of each scope.
        "user.authorize": Authorize<'a> -> AuthorizeResult {
            /// Each once. (1 – 7 entries)
            scopes: &'a [AuthorizeScope],
            /// How long to wait for the user; 0 answers at once, never longer than the limit prompt_wait_ms. (0 –
            /// 600,000) Left out: 0.
            wait_ms: Option<i64>,
        }
    }

    answer! {
        /// What the user decided.
        AuthorizeResult {
            /// Scope → `granted`, `refused`, or `pending`: not decided, or not yet; ask again.
            scopes: Vec<(String, String)>,
        }
    }

    method! {
        /// Fields of the user's profile that they consented to.
        ///
        /// Needs the capability `user.profile`.
        "user.profile": Profile<'a> -> ProfileResult {
            /// What is needed now, each once. (1 – 4 entries)
            scopes: &'a [ProfileScope],
        }
    }

    answer! {
        /// The fields asked for.
        ProfileResult {
            /// Scope → value, of those asked for; nil where it is not known. `avatar` is an https URL, `locale` a BCP
            /// 47 tag, `age_band` one of 0-12, 13-15, 16-17, 18+.
            profile: Vec<(String, Option<String>)>,
        }
    }

    method! {
        /// The user's phone number: its last digits, or the whole of it.
        ///
        /// Needs the capability `user.phone`.
        "user.phone": Phone -> PhoneResult {
            /// The last digits only (scope `phone_masked`), or the whole number (scope `phone`). Left out: true.
            masked: Option<bool>,
        }
    }

    answer! {
        /// The number.
        PhoneResult {
            /// `****1234`, or the number in E.164; nil where it is not known.
            phone: Option<String>,
        }
    }

    method! {
        /// The user's postal address.
        ///
        /// Needs the capability `user.address`.
        "user.address": Address -> AddressResult
    }

    answer! {
        /// The address.
        AddressResult {
            /// Only parts that are known; nil where none is.
            address: Option<crate::Address>,
        }
    }

    method! {
        /// What the user decided for this program: what may be asked for without a dialog.
        "user.consents": Consents -> ConsentsResult
    }

    answer! {
        /// What this user decided for this program and what holds now, by scope.
        ConsentsResult {
            /// By scope; only what holds now.
            consents: Vec<crate::Decided>,
        }
    }
}

/// The methods `payment.*`.
pub mod payment {
    use super::*;

    choice! {
        /// One of `auto`, `manual`.
        CreateCapture {
            #[default]
            Auto = "auto",
            Manual = "manual",
        }
    }

    method! {
        /// Create an order that the session's user is to pay to this program's payee.
        ///
        /// Needs the capability `payment`.
        "payment.create": Create<'a> -> OrderResult {
            /// 1 to 64 printable ASCII characters. (`^[!-~]{1,64}$`)
            key: &'a str,
            /// The program's own number of the order; unique for it for ever; 1 to 64 of A-Z a-z 0-9 _ . : -.
            /// (`^[A-Za-z0-9_.:-]{1,64}$`)
            out_trade_no: &'a str,
            /// amount.
            amount: crate::Money,
            /// What it is for, as the user reads it: 1 to 64 visible characters, cleaned (protocol §8.2).
            subject: &'a str,
            /// Seconds until an order that nobody paid is closed. (60 – 86,400) Left out: 900.
            ttl_s: Option<i64>,
            /// When the money moves: with the user's yes, or held for up to 7 days until payment.capture. Left out:
            /// "auto".
            capture: Option<CreateCapture>,
        }
    }

    method! {
        /// Ask the user to pay an order: opens the cashier, and waits for the answer up to wait_ms.
        ///
        /// Needs the capability `payment`.
        "payment.request": Request<'a> -> OrderResult {
            /// As payment.create gave it. (1 – 64 characters)
            order_id: &'a str,
            /// How long to wait for the user; 0 answers at once. Never longer than the limit prompt_wait_ms. (0 –
            /// 600,000) Left out: 0.
            wait_ms: Option<i64>,
        }
    }

    method! {
        /// Take what is held for an order with manual capture, all of it or a part; what is left goes back at once.
        ///
        /// Needs the capability `payment`.
        "payment.capture": Capture<'a> -> OrderResult {
            /// 1 to 64 printable ASCII characters. (`^[!-~]{1,64}$`)
            key: &'a str,
            /// As payment.create gave it. (1 – 64 characters)
            order_id: &'a str,
            /// Minor units of the order's currency, at most what is held; all of it by default. The rest goes back. (1
            /// – 1,000,000,000,000)
            amount: Option<i64>,
        }
    }

    method! {
        /// How an order stands now: the truth about every payment whose answer was lost.
        ///
        /// Needs the capability `payment`.
        "payment.query": Query<'a> -> OrderResult {
            /// As payment.create gave it; or else out_trade_no. (1 – 64 characters)
            order_id: Option<&'a str>,
            /// The program's own number of the order; or else order_id; 1 to 64 of A-Z a-z 0-9 _ . : -.
            /// (`^[A-Za-z0-9_.:-]{1,64}$`)
            out_trade_no: Option<&'a str>,
        }
    }

    method! {
        /// Give an order up before it is captured: its prompt is taken away, what is held goes back.
        ///
        /// Needs the capability `payment`.
        "payment.close": Close<'a> -> OrderResult {
            /// 1 to 64 printable ASCII characters. (`^[!-~]{1,64}$`)
            key: &'a str,
            /// As payment.create gave it. (1 – 64 characters)
            order_id: &'a str,
        }
    }

    method! {
        /// Give the user back all or a part of what was captured, and the program its share of the fee.
        ///
        /// Needs the capability `payment.refund`.
        "payment.refund": Refund<'a> -> RefundResult {
            /// 1 to 64 printable ASCII characters. (`^[!-~]{1,64}$`)
            key: &'a str,
            /// The order that was captured. (1 – 64 characters)
            order_id: &'a str,
            /// The program's own number of the refund; unique for the order for ever; 1 to 64 of A-Z a-z 0-9 _ . : -.
            /// (`^[A-Za-z0-9_.:-]{1,64}$`)
            out_request_no: &'a str,
            /// Minor units of the order's currency; all refunds together at most what was captured. (1 –
            /// 1,000,000,000,000)
            amount: i64,
            /// What it is for; one clean line, as a subject.
            reason: &'a str,
        }
    }

    method! {
        /// Whether a refund was made: the truth where its answer was lost.
        ///
        /// Needs the capability `payment.refund`.
        "payment.refund_query": RefundQuery<'a> -> RefundResult {
            /// The order it is of. (1 – 64 characters)
            order_id: &'a str,
            /// The program's own number of the refund; 1 to 64 of A-Z a-z 0-9 _ . : -. (`^[A-Za-z0-9_.:-]{1,64}$`)
            out_request_no: &'a str,
        }
    }
}

/// The methods `events.*`.
pub mod events {
    use super::*;

    method! {
        /// What changed, in order: also for a program that is never notified, or was not there to be.
        "events.list": List -> ListResult {
            /// Only those with a higher seq. (0 – 9,007,199,254,740,992) Left out: 0.
            after: Option<i64>,
            /// How many at most. (1 – 100) Left out: 100.
            limit: Option<i64>,
        }
    }

    answer! {
        /// A page, in the order of seq.
        ListResult {
            /// In the order of seq.
            events: Vec<crate::ListedEvent>,
            /// There are more: ask again with `after` set to the last seq.
            more: bool,
        }
    }

    method! {
        /// Say that an event was handled: it is not pushed again, and the next of its stream is.
        "events.ack": Ack -> () {
            /// Of the event; those before it in its stream are acknowledged with it. (1 – 9,007,199,254,740,992)
            seq: i64,
        }
    }
}

/// The methods `storage.*`.
pub mod storage {
    use super::*;

    choice! {
        /// One of `program`, `user`.
        Scope {
            Program = "program",
            #[default]
            User = "user",
        }
    }

    method! {
        /// Read one value.
        ///
        /// Needs the capability `storage`.
        "storage.get": Get<'a> -> GetResult {
            /// 1 to 256 bytes of UTF-8 without control characters. (1 – 256 characters)
            key: &'a str,
            /// this user's values, or the program's own. Left out: "user".
            scope: Option<Scope>,
        }
    }

    answer! {
        /// The value as it is now.
        GetResult {
            /// False where there is no such key.
            found: bool,
            /// As it was put; nil where there is none.
            value: Value,
            /// Of this value; 0 where there is none.
            version: i64,
        }
    }

    method! {
        /// Write one value, durable when answered; with if_version only over what was read.
        ///
        /// Needs the capability `storage`.
        "storage.put": Put<'a> -> PutResult {
            /// 1 to 256 bytes of UTF-8 without control characters. (1 – 256 characters)
            key: &'a str,
            /// At most 14 levels of lists and maps.
            value: Value,
            /// this user's values, or the program's own. Left out: "user".
            scope: Option<Scope>,
            /// Write only if the key is at this version; 0: only if there is no such key. (0 – 9,007,199,254,740,992)
            if_version: Option<i64>,
        }
    }

    answer! {
        /// That it was written.
        PutResult {
            /// Of the value written: never used twice in a scope, not even by a key that was deleted and written again.
            version: i64,
        }
    }

    method! {
        /// Delete one key.
        ///
        /// Needs the capability `storage`.
        "storage.delete": Delete<'a> -> DeleteResult {
            /// 1 to 256 bytes of UTF-8 without control characters. (1 – 256 characters)
            key: &'a str,
            /// this user's values, or the program's own. Left out: "user".
            scope: Option<Scope>,
            /// Delete only if the key is at this version. (0 – 9,007,199,254,740,992)
            if_version: Option<i64>,
        }
    }

    answer! {
        /// Whether anything was there.
        DeleteResult {
            /// False where there was no such key.
            deleted: bool,
        }
    }

    method! {
        /// List keys in order, page by page.
        ///
        /// Needs the capability `storage`.
        "storage.list": List<'a> -> ListResult {
            /// What the keys begin with. (≤ 256 characters)
            prefix: Option<&'a str>,
            /// this user's values, or the program's own. Left out: "user".
            scope: Option<Scope>,
            /// The last key of the page before. (≤ 256 characters)
            after: Option<&'a str>,
            /// Keys in one page. (1 – 500) Left out: 100.
            limit: Option<i64>,
        }
    }

    answer! {
        /// One page.
        ListResult {
            /// In the order of their UTF-8 bytes.
            keys: Vec<crate::ListedKey>,
            /// Ask again with `after` set to the last key.
            more: bool,
        }
    }

    method! {
        /// Bytes and keys used, and the most there may be.
        ///
        /// Needs the capability `storage`.
        "storage.usage": Usage -> UsageResult {
            /// this user's values, or the program's own. Left out: "user".
            scope: Option<Scope>,
        }
    }

    answer! {
        /// What the scope uses and what it may use.
        UsageResult {
            /// Used: keys and encoded values.
            bytes: i64,
            /// The limit storage_bytes.
            bytes_max: i64,
            /// Kept now.
            keys: i64,
            /// The limit storage_keys.
            keys_max: i64,
        }
    }
}

/// The methods `notify.*`.
pub mod notify {
    use super::*;

    method! {
        /// Ask the user to subscribe to this program's messages.
        ///
        /// Needs the capability `notify`.
        "notify.request": Request -> RequestResult {
            /// How long to wait for the user; 0 answers at once. Never longer than the limit prompt_wait_ms. (0 –
            /// 600,000) Left out: 0.
            wait_ms: Option<i64>,
        }
    }

    answer! {
        /// The answer of `notify.request`.
        RequestResult {
            /// pending: not decided, or not yet; ask again.
            status: String,
        }
    }

    method! {
        /// Send the subscribed user a message, from a template of the manifest; not only while they look.
        ///
        /// Needs the capability `notify`.
        "notify.send": Send<'a> -> SendResult {
            /// The id of one of the manifest's notices. (1 – 64 characters)
            template: &'a str,
            /// A text for each of its placeholders, one clean line of 1 to 64 characters. (≤ 8 entries; each key 1 – 32
            /// characters; each 1 – 256 characters)
            params: Option<&'a [(&'a str, &'a str)]>,
            /// BCP 47: which of the notice's texts. Left out, it is the user's own language. (2 – 35 characters)
            language: Option<&'a str>,
        }
    }

    answer! {
        /// The answer of `notify.send`.
        SendResult {
            /// Of the notice, which is kept now for the user's front end.
            id: String,
        }
    }
}

/// The methods `http.*`.
pub mod http {
    use super::*;

    choice! {
        /// One of `DELETE`, `GET`, `HEAD`, `PATCH`, `POST`, `PUT`.
        Method {
            Delete = "DELETE",
            #[default]
            Get = "GET",
            Head = "HEAD",
            Patch = "PATCH",
            Post = "POST",
            Put = "PUT",
        }
    }

    method! {
        /// One HTTPS request to a host that the operator granted.
        ///
        /// Needs the capability `http`.
        "http.fetch": Fetch<'a> -> FetchResult {
            /// `https://host/path?query`, also with `:port`; the host a full name in ASCII, that the grant names. (1 –
            /// 8,192 characters)
            url: &'a str,
            /// GET and HEAD have no body, and can be tried again. Left out: "GET".
            method: Option<Method>,
            /// Name to value, printable ASCII; not those that are the connection's (`host`, `content-length`, …). (≤ 32
            /// entries; each key 1 – 64 characters; each ≤ 4,096 characters)
            headers: Option<&'a [(&'a str, &'a str)]>,
            /// At most `fetch_request_bytes`.
            body: Option<&'a [u8]>,
            /// For all of it, redirects included; the call's deadline may come sooner. (1 – 600,000) Left out: 5000.
            timeout_ms: Option<i64>,
            /// How many are followed; the next one is the answer. (0 – 5) Left out: 3.
            redirects: Option<i64>,
        }
    }

    answer! {
        /// The answer, whatever its status.
        FetchResult {
            /// From 200 to 999.
            status: i64,
            /// Names in lower case; equal ones joined by ", "; no cookies, and none of the connection's own.
            headers: Vec<(String, String)>,
            /// As it was sent, at most `fetch_response_bytes`; nothing is inflated.
            body: Vec<u8>,
            /// Where the answer came from, after redirects.
            url: String,
        }
    }
}

/// The methods `program.*`.
pub mod program {
    use super::*;

    method! {
        /// Call another program for this call's user; what it uses is paid from this call's budget.
        ///
        /// Needs the capability `program.call`.
        "program.call": Call<'a> -> CallResult {
            /// The program to call: one that the grant names. (1 – 128 characters)
            program: &'a str,
            /// A method of that program. (1 – 64 characters)
            method: &'a str,
            /// What its method takes.
            params: Option<Value>,
            /// Capability → constraints: what it may use of its own grants during this call; all of them where left
            /// out. (≤ 16 entries)
            narrow: Option<Value>,
            /// Capability → constraints: what it may do as this program (`program.as_caller`), within this program's
            /// grants. (≤ 16 entries)
            delegate: Option<Value>,
            /// CPU time lent to it, out of this call's; half of what is left by default. (≥ 1,000)
            cpu_us: Option<i64>,
            /// Host calls lent to it, out of this call's; half of what is left by default. (≥ 0)
            host_calls: Option<i64>,
        }
    }

    answer! {
        /// The answer of `program.call`.
        CallResult {
            /// What its method answered.
            value: Value,
        }
    }

    method! {
        /// Use what the calling program delegated: the request is carried out as that program's, on its account.
        "program.as_caller": AsCaller<'a> -> AsCallerResult {
            /// A method of the host API, of a capability that was delegated. (1 – 64 characters)
            method: &'a str,
            /// What that method takes.
            params: Option<Value>,
        }
    }

    answer! {
        /// The answer of `program.as_caller`.
        AsCallerResult {
            /// What that method answers.
            value: Value,
        }
    }
}
