//! The methods of the host, typed: `hostel.api.storage.get(call, .{ .key = "cart" })`.
//!
//! Generated from the declared methods by `python docs/generate.py` (host_api/bindings/zig.py). API level 2.
//! Fields that may be left out have their defaults here; of a result, fields that are not here are ignored.

const hostel = @import("hostel.zig");
const Bytes = hostel.Bytes;
const Call = hostel.Call;
const Error = hostel.Error;
const Map = hostel.Map;
const Raw = hostel.Raw;

/// Which release of the program is running.
pub const Release = struct {
    /// For people.
    name: []const u8,
    /// Never goes down from one release to the next.
    code: i64,
};

/// A postal address: parts as they are known, each 1 to 128 printable characters; at least one.
pub const Address = struct {
    /// Whom it is for. (1 – 128 characters)
    recipient: ?[]const u8 = null,
    /// ISO 3166-1 alpha-2. (1 – 128 characters)
    country: ?[]const u8 = null,
    /// State, province or prefecture. (1 – 128 characters)
    region: ?[]const u8 = null,
    /// City or town. (1 – 128 characters)
    city: ?[]const u8 = null,
    /// Part of the city. (1 – 128 characters)
    district: ?[]const u8 = null,
    /// Street, house and flat. (1 – 128 characters)
    street: ?[]const u8 = null,
    /// As the country writes it. (1 – 128 characters)
    postal_code: ?[]const u8 = null,
};

/// One decision of the user.
pub const Decided = struct {
    /// What was decided about.
    scope: []const u8,
    /// A yes that holds, or a no that is remembered.
    given: bool,
    /// Until when; milliseconds since the epoch.
    expires_at_ms: i64,
};

/// An amount of money.
pub const Money = struct {
    /// Whole minor units: 1250 is 12.50 of a currency with two digits, and 1250 of one with none. (1 –
    /// 1,000,000,000,000)
    amount: i64,
    /// ISO 4217, exactly as it is written there: EUR, not eur. (3 characters)
    currency: []const u8,
};

pub const OrderResult = struct {
    /// The host's number of the order.
    order_id: []const u8,
    /// The program's own.
    out_trade_no: []const u8,
    /// pending, confirming, authorized, succeeded, finished or closed; more may come.
    status: []const u8,
    /// declined, expired, no_funds, limit, closed, voided, uninstalled or revoked; nil while the order is not closed.
    close_reason: ?[]const u8,
    amount: Money,
    /// As the user reads it.
    subject: []const u8,
    /// When it is closed unless the user has paid; milliseconds since the epoch.
    expires_at_ms: i64,
    /// True where the request had been carried out before, and this is its outcome again.
    replayed: bool,
    /// auto or manual, as it was created.
    capture: []const u8 = "auto",
    /// Minor units that were taken.
    captured: i64 = 0,
    /// Minor units that were given back in all.
    refunded: i64 = 0,
    /// Until when the money is held; nil unless authorized.
    hold_expires_at_ms: ?i64 = null,
    /// nil unless succeeded.
    refundable_until_ms: ?i64 = null,
    /// Grows by one with each change: of two answers or events the later one has the greater.
    version: i64 = 0,
};

pub const RefundResult = struct {
    /// The host's number of the refund.
    refund_id: []const u8,
    /// The order it is of.
    order_id: []const u8,
    /// The program's own.
    out_request_no: []const u8,
    /// succeeded; more may come.
    status: []const u8,
    amount: Money,
    /// As it was given, cleaned.
    reason: []const u8,
    /// Minor units of the order that were given back in all.
    order_refunded: i64,
    /// True where the refund had been made before: it was not made again.
    replayed: bool,
};

/// One event.
pub const ListedEvent = struct {
    /// Later events have higher ones, of whatever stream.
    seq: i64,
    /// What happened, such as "payment.succeeded".
    topic: []const u8,
    /// To what: an order's id.
    stream: []const u8,
    /// Its place among the events of the stream, from 1 without a gap.
    stream_seq: i64,
    /// Ids, states and amounts, by topic.
    payload: Raw,
    /// Milliseconds since the epoch.
    created_at_ms: i64,
    /// The program has acknowledged it.
    acked: bool,
};

/// One key, without its value.
pub const ListedKey = struct {
    /// The key.
    key: []const u8,
    /// What it counts for the quota: key and encoded value.
    bytes: i64,
    /// Of its value.
    version: i64,
};

pub const session = struct {
    /// The session, as the host knows it.
    pub const InfoResult = struct {
        /// The program's own.
        app_id: []const u8,
        /// Which release of it is running.
        release: Release,
        /// What methods and fields this host has; platform_version.min_code of the manifest asks for one.
        api_level: i64,
        /// BCP 47.
        locale: []const u8,
        /// IANA.
        time_zone: []const u8,
        /// ISO 4217: what amounts are shown in unless the program says otherwise.
        currency: []const u8,
        /// What the operator set for this program at install.
        config: Raw,
        /// The user is looking: prompts may open.
        interactive: bool,
        /// The app_id of the program that called (program.call); '' for a call from outside.
        caller: []const u8,
        /// Milliseconds since the epoch, by the host's clock.
        time_ms: i64,
        /// For logs; a client may choose it, so it is no source of numbers that must be unique.
        trace_id: []const u8,
    };

    /// The program, its release and settings, and the user's language, time zone and currency. Errors: unknown_method,
    /// invalid_params, limit_exceeded, internal.
    pub fn info(from: *Call) Error!InfoResult {
        return from.ask(InfoResult, "session.info", Raw.empty_map);
    }

    /// How long. The call's deadline goes on.
    pub const SleepParams = struct {
        /// Milliseconds. (0 – 60,000)
        ms: i64,
    };

    /// Wait without using CPU time. Errors: unknown_method, invalid_params, limit_exceeded, internal.
    pub fn sleep(from: *Call, params: SleepParams) Error!void {
        return from.ask(void, "session.sleep", params);
    }
};

pub const log = struct {
    /// One line. What is not printable in it is escaped, line breaks too.
    pub const WriteParams = struct {
        /// How it is shown to whoever reads the log. One of debug · error · info · warning.
        level: enum { debug, @"error", info, warning },
        /// The line. (≤ 16,384 characters)
        message: []const u8,
    };

    /// Write one line to the program's log. Errors: unknown_method, invalid_params, limit_exceeded, internal.
    pub fn write(from: *Call, params: WriteParams) Error!void {
        return from.ask(void, "log.write", params);
    }
};

pub const asset = struct {
    /// Which member of the bundle, and which part of it.
    pub const ReadParams = struct {
        /// As it stands in the bundle: `i18n/zh.json`. (1 – 255 characters)
        path: []const u8,
        /// Bytes before the part. (0 – 1,099,511,627,776)
        offset: i64 = 0,
        /// Bytes of the part, at most. (1 – 196,608)
        length: i64 = 196608,
    };

    /// The part, as far as the member goes.
    pub const ReadResult = struct {
        /// Shorter than asked for at the member's end, and empty behind it.
        data: Bytes,
        /// Bytes of the whole member.
        size: i64,
        /// By the ending of its path; nil for one that is not known.
        media_type: ?[]const u8,
    };

    /// Read a part of a member of the program's own bundle: any but the manifest, the module and scripts. Errors:
    /// unknown_method, invalid_params, limit_exceeded, not_found, internal.
    pub fn read(from: *Call, params: ReadParams) Error!ReadResult {
        return from.ask(ReadResult, "asset.read", params);
    }
};

pub const user = struct {
    /// The user's id for this program.
    pub const LoginResult = struct {
        /// Always the same for this program, and another one for programs of other developers.
        id: []const u8,
    };

    /// Who the user is to this program: an id that nobody can join with other programs' ids. Capability: user.login.
    /// Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired, invalid_params,
    /// limit_exceeded, internal.
    pub fn login(from: *Call) Error!LoginResult {
        return from.ask(LoginResult, "user.login", Raw.empty_map);
    }

    /// What to ask consent for.
    pub const AuthorizeParams = struct {
        /// Each once. One of address · age_band · avatar · locale · nickname · phone · phone_masked. (1 – 7 entries)
        scopes: []const enum { address, age_band, avatar, locale, nickname, phone, phone_masked },
        /// How long to wait for the user; 0 answers at once, never longer than the limit prompt_wait_ms. (0 – 600,000)
        wait_ms: i64 = 0,
    };

    /// What the user decided.
    pub const AuthorizeResult = struct {
        /// Scope → `granted`, `refused`, or `pending`: not decided, or not yet; ask again. One of granted · pending ·
        /// refused.
        scopes: Map([]const u8),
    };

    /// Ask the user, in one dialog, for consent to what is not decided yet; needs the capability of each scope. Errors:
    /// unknown_method, capability_undeclared, capability_not_granted, grant_expired, invalid_params, limit_exceeded,
    /// rate_limited, cashier_busy, not_interactive, unknown_outcome, busy, internal.
    pub fn authorize(from: *Call, params: AuthorizeParams) Error!AuthorizeResult {
        return from.ask(AuthorizeResult, "user.authorize", params);
    }

    /// Which fields.
    pub const ProfileParams = struct {
        /// What is needed now, each once. One of age_band · avatar · locale · nickname. (1 – 4 entries)
        scopes: []const enum { age_band, avatar, locale, nickname },
    };

    /// The fields asked for.
    pub const ProfileResult = struct {
        /// Scope → value, of those asked for; nil where it is not known. `avatar` is an https URL, `locale` a BCP 47
        /// tag, `age_band` one of 0-12, 13-15, 16-17, 18+.
        profile: Map(?[]const u8),
    };

    /// Fields of the user's profile that they consented to. Capability: user.profile. Errors: unknown_method,
    /// capability_undeclared, capability_not_granted, grant_expired, consent_required, consent_denied, invalid_params,
    /// limit_exceeded, busy, internal.
    pub fn profile(from: *Call, params: ProfileParams) Error!ProfileResult {
        return from.ask(ProfileResult, "user.profile", params);
    }

    /// How much of it.
    pub const PhoneParams = struct {
        /// The last digits only (scope `phone_masked`), or the whole number (scope `phone`).
        masked: bool = true,
    };

    /// The number.
    pub const PhoneResult = struct {
        /// `****1234`, or the number in E.164; nil where it is not known.
        phone: ?[]const u8,
    };

    /// The user's phone number: its last digits, or the whole of it. Capability: user.phone. Errors: unknown_method,
    /// capability_undeclared, capability_not_granted, grant_expired, consent_required, consent_denied, invalid_params,
    /// limit_exceeded, busy, internal.
    pub fn phone(from: *Call, params: PhoneParams) Error!PhoneResult {
        return from.ask(PhoneResult, "user.phone", params);
    }

    /// The address.
    pub const AddressResult = struct {
        /// Only parts that are known; nil where none is.
        address: ?Address,
    };

    /// The user's postal address. Capability: user.address. Errors: unknown_method, capability_undeclared,
    /// capability_not_granted, grant_expired, consent_required, consent_denied, invalid_params, limit_exceeded, busy,
    /// internal.
    pub fn address(from: *Call) Error!AddressResult {
        return from.ask(AddressResult, "user.address", Raw.empty_map);
    }

    /// What this user decided for this program and what holds now, by scope.
    pub const ConsentsResult = struct {
        /// By scope; only what holds now.
        consents: []const Decided,
    };

    /// What the user decided for this program: what may be asked for without a dialog. Errors: unknown_method,
    /// invalid_params, limit_exceeded, busy, internal.
    pub fn consents(from: *Call) Error!ConsentsResult {
        return from.ask(ConsentsResult, "user.consents", Raw.empty_map);
    }
};

pub const payment = struct {
    pub const CreateParams = struct {
        /// 1 to 64 printable ASCII characters (`^[!-~]{1,64}$`)
        key: []const u8,
        /// The program's own number of the order; unique for it for ever; 1 to 64 of A-Z a-z 0-9 _ . : -
        /// (`^[A-Za-z0-9_.:-]{1,64}$`)
        out_trade_no: []const u8,
        amount: Money,
        /// What it is for, as the user reads it: 1 to 64 visible characters, cleaned (protocol §8.2).
        subject: []const u8,
        /// Seconds until an order that nobody paid is closed. (60 – 86,400)
        ttl_s: i64 = 900,
        /// When the money moves: with the user's yes, or held for up to 7 days until payment.capture. One of auto ·
        /// manual.
        capture: enum { auto, manual } = .auto,
    };

    /// Create an order that the session's user is to pay to this program's payee. Capability: payment. Errors:
    /// unknown_method, capability_undeclared, capability_not_granted, grant_expired, grant_constraint, invalid_params,
    /// limit_exceeded, rate_limited, key_reused, order_mismatch, unknown_outcome, busy, internal.
    pub fn create(from: *Call, params: CreateParams) Error!OrderResult {
        return from.ask(OrderResult, "payment.create", params);
    }

    pub const RequestParams = struct {
        /// As payment.create gave it. (1 – 64 characters)
        order_id: []const u8,
        /// How long to wait for the user; 0 answers at once. Never longer than the limit prompt_wait_ms. (0 – 600,000)
        wait_ms: i64 = 0,
    };

    /// Ask the user to pay an order: opens the cashier, and waits for the answer up to wait_ms. Capability: payment.
    /// Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired, grant_constraint,
    /// invalid_params, limit_exceeded, rate_limited, not_found, invalid_state, expired, declined, insufficient_funds,
    /// cashier_busy, not_interactive, unknown_outcome, busy, internal.
    pub fn request(from: *Call, params: RequestParams) Error!OrderResult {
        return from.ask(OrderResult, "payment.request", params);
    }

    pub const CaptureParams = struct {
        /// 1 to 64 printable ASCII characters (`^[!-~]{1,64}$`)
        key: []const u8,
        /// As payment.create gave it. (1 – 64 characters)
        order_id: []const u8,
        /// Minor units of the order's currency, at most what is held; all of it by default. The rest goes back. (1 –
        /// 1,000,000,000,000)
        amount: ?i64 = null,
    };

    /// Take what is held for an order with manual capture, all of it or a part; what is left goes back at once.
    /// Capability: payment. Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired,
    /// grant_constraint, invalid_params, limit_exceeded, rate_limited, key_reused, not_found, invalid_state, expired,
    /// declined, insufficient_funds, unknown_outcome, busy, internal.
    pub fn capture(from: *Call, params: CaptureParams) Error!OrderResult {
        return from.ask(OrderResult, "payment.capture", params);
    }

    pub const QueryParams = struct {
        /// As payment.create gave it; or else out_trade_no. (1 – 64 characters)
        order_id: ?[]const u8 = null,
        /// The program's own number of the order; or else order_id; 1 to 64 of A-Z a-z 0-9 _ . : -
        /// (`^[A-Za-z0-9_.:-]{1,64}$`)
        out_trade_no: ?[]const u8 = null,
    };

    /// How an order stands now: the truth about every payment whose answer was lost. Capability: payment. Errors:
    /// unknown_method, capability_undeclared, capability_not_granted, grant_expired, invalid_params, limit_exceeded,
    /// not_found, busy, internal.
    pub fn query(from: *Call, params: QueryParams) Error!OrderResult {
        return from.ask(OrderResult, "payment.query", params);
    }

    pub const CloseParams = struct {
        /// 1 to 64 printable ASCII characters (`^[!-~]{1,64}$`)
        key: []const u8,
        /// As payment.create gave it. (1 – 64 characters)
        order_id: []const u8,
    };

    /// Give an order up before it is captured: its prompt is taken away, what is held goes back. Capability: payment.
    /// Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired, invalid_params,
    /// limit_exceeded, rate_limited, key_reused, not_found, invalid_state, expired, declined, insufficient_funds,
    /// unknown_outcome, busy, internal.
    pub fn close(from: *Call, params: CloseParams) Error!OrderResult {
        return from.ask(OrderResult, "payment.close", params);
    }

    pub const RefundParams = struct {
        /// 1 to 64 printable ASCII characters (`^[!-~]{1,64}$`)
        key: []const u8,
        /// The order that was captured. (1 – 64 characters)
        order_id: []const u8,
        /// The program's own number of the refund; unique for the order for ever; 1 to 64 of A-Z a-z 0-9 _ . : -
        /// (`^[A-Za-z0-9_.:-]{1,64}$`)
        out_request_no: []const u8,
        /// Minor units of the order's currency; all refunds together at most what was captured. (1 – 1,000,000,000,000)
        amount: i64,
        /// What it is for; one clean line, as a subject.
        reason: []const u8,
    };

    /// Give the user back all or a part of what was captured, and the program its share of the fee. Capability:
    /// payment.refund. Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired,
    /// grant_constraint, invalid_params, limit_exceeded, rate_limited, key_reused, not_found, order_mismatch,
    /// invalid_state, expired, declined, insufficient_funds, refund_exceeds_captured, refund_window_over,
    /// merchant_funds_low, unknown_outcome, busy, internal.
    pub fn refund(from: *Call, params: RefundParams) Error!RefundResult {
        return from.ask(RefundResult, "payment.refund", params);
    }

    pub const RefundQueryParams = struct {
        /// The order it is of. (1 – 64 characters)
        order_id: []const u8,
        /// The program's own number of the refund; 1 to 64 of A-Z a-z 0-9 _ . : - (`^[A-Za-z0-9_.:-]{1,64}$`)
        out_request_no: []const u8,
    };

    /// Whether a refund was made: the truth where its answer was lost. Capability: payment.refund. Errors:
    /// unknown_method, capability_undeclared, capability_not_granted, grant_expired, invalid_params, limit_exceeded,
    /// not_found, busy, internal.
    pub fn refund_query(from: *Call, params: RefundQueryParams) Error!RefundResult {
        return from.ask(RefundResult, "payment.refund_query", params);
    }
};

pub const events = struct {
    /// Which events: in a call with a user that user's, in a call without one all of the program.
    pub const ListParams = struct {
        /// Only those with a higher seq. (0 – 9,007,199,254,740,992)
        after: i64 = 0,
        /// How many at most. (1 – 100)
        limit: i64 = 100,
    };

    /// A page, in the order of seq.
    pub const ListResult = struct {
        /// In the order of seq.
        events: []const ListedEvent,
        /// There are more: ask again with `after` set to the last seq.
        more: bool,
    };

    /// What changed, in order: also for a program that is never notified, or was not there to be. Errors:
    /// unknown_method, invalid_params, limit_exceeded, busy, internal.
    pub fn list(from: *Call, params: ListParams) Error!ListResult {
        return from.ask(ListResult, "events.list", params);
    }

    /// What was handled.
    pub const AckParams = struct {
        /// Of the event; those before it in its stream are acknowledged with it. (1 – 9,007,199,254,740,992)
        seq: i64,
    };

    /// Say that an event was handled: it is not pushed again, and the next of its stream is. Errors: unknown_method,
    /// invalid_params, limit_exceeded, not_found, unknown_outcome, busy, internal.
    pub fn ack(from: *Call, params: AckParams) Error!void {
        return from.ask(void, "events.ack", params);
    }
};

pub const storage = struct {
    /// Which value.
    pub const GetParams = struct {
        /// 1 to 256 bytes of UTF-8 without control characters (1 – 256 characters)
        key: []const u8,
        /// this user's values, or the program's own One of program · user.
        scope: enum { program, user } = .user,
    };

    /// The value as it is now.
    pub const GetResult = struct {
        /// False where there is no such key.
        found: bool,
        /// As it was put; nil where there is none.
        value: Raw,
        /// Of this value; 0 where there is none.
        version: i64,
    };

    /// Read one value. Capability: storage. Errors: unknown_method, capability_undeclared, capability_not_granted,
    /// grant_expired, grant_constraint, invalid_params, limit_exceeded, busy, internal.
    pub fn get(from: *Call, params: GetParams) Error!GetResult {
        return from.ask(GetResult, "storage.get", params);
    }

    /// What to write, and over what.
    pub const PutParams = struct {
        /// 1 to 256 bytes of UTF-8 without control characters (1 – 256 characters)
        key: []const u8,
        /// At most 14 levels of lists and maps.
        value: Raw,
        /// this user's values, or the program's own One of program · user.
        scope: enum { program, user } = .user,
        /// Write only if the key is at this version; 0: only if there is no such key. (0 – 9,007,199,254,740,992)
        if_version: ?i64 = null,
    };

    /// That it was written.
    pub const PutResult = struct {
        /// Of the value written: never used twice in a scope, not even by a key that was deleted and written again.
        version: i64,
    };

    /// Write one value, durable when answered; with if_version only over what was read. Capability: storage. Errors:
    /// unknown_method, capability_undeclared, capability_not_granted, grant_expired, grant_constraint, invalid_params,
    /// limit_exceeded, version_conflict, quota_exceeded, unknown_outcome, busy, internal.
    pub fn put(from: *Call, params: PutParams) Error!PutResult {
        return from.ask(PutResult, "storage.put", params);
    }

    /// What to delete.
    pub const DeleteParams = struct {
        /// 1 to 256 bytes of UTF-8 without control characters (1 – 256 characters)
        key: []const u8,
        /// this user's values, or the program's own One of program · user.
        scope: enum { program, user } = .user,
        /// Delete only if the key is at this version. (0 – 9,007,199,254,740,992)
        if_version: ?i64 = null,
    };

    /// Whether anything was there.
    pub const DeleteResult = struct {
        /// False where there was no such key.
        deleted: bool,
    };

    /// Delete one key. Capability: storage. Errors: unknown_method, capability_undeclared, capability_not_granted,
    /// grant_expired, grant_constraint, invalid_params, limit_exceeded, version_conflict, unknown_outcome, busy,
    /// internal.
    pub fn delete(from: *Call, params: DeleteParams) Error!DeleteResult {
        return from.ask(DeleteResult, "storage.delete", params);
    }

    /// Keys that begin with `prefix` and come after `after`, in the order of their UTF-8 bytes.
    pub const ListParams = struct {
        /// What the keys begin with. (≤ 256 characters)
        prefix: []const u8 = "",
        /// this user's values, or the program's own One of program · user.
        scope: enum { program, user } = .user,
        /// The last key of the page before. (≤ 256 characters)
        after: []const u8 = "",
        /// Keys in one page. (1 – 500)
        limit: i64 = 100,
    };

    /// One page.
    pub const ListResult = struct {
        /// In the order of their UTF-8 bytes.
        keys: []const ListedKey,
        /// Ask again with `after` set to the last key.
        more: bool,
    };

    /// List keys in order, page by page. Capability: storage. Errors: unknown_method, capability_undeclared,
    /// capability_not_granted, grant_expired, grant_constraint, invalid_params, limit_exceeded, busy, internal.
    pub fn list(from: *Call, params: ListParams) Error!ListResult {
        return from.ask(ListResult, "storage.list", params);
    }

    /// Of which scope.
    pub const UsageParams = struct {
        /// this user's values, or the program's own One of program · user.
        scope: enum { program, user } = .user,
    };

    /// What the scope uses and what it may use.
    pub const UsageResult = struct {
        /// Used: keys and encoded values.
        bytes: i64,
        /// The limit storage_bytes.
        bytes_max: i64,
        /// Kept now.
        keys: i64,
        /// The limit storage_keys.
        keys_max: i64,
    };

    /// Bytes and keys used, and the most there may be. Capability: storage. Errors: unknown_method,
    /// capability_undeclared, capability_not_granted, grant_expired, invalid_params, limit_exceeded, busy, internal.
    pub fn usage(from: *Call, params: UsageParams) Error!UsageResult {
        return from.ask(UsageResult, "storage.usage", params);
    }
};

pub const notify = struct {
    pub const RequestParams = struct {
        /// How long to wait for the user; 0 answers at once. Never longer than the limit prompt_wait_ms. (0 – 600,000)
        wait_ms: i64 = 0,
    };

    pub const RequestResult = struct {
        /// pending: not decided, or not yet; ask again. One of granted · pending · refused.
        status: []const u8,
    };

    /// Ask the user to subscribe to this program's messages. Capability: notify. Errors: unknown_method,
    /// capability_undeclared, capability_not_granted, grant_expired, invalid_params, limit_exceeded, rate_limited,
    /// cashier_busy, not_interactive, unknown_outcome, busy, internal.
    pub fn request(from: *Call, params: RequestParams) Error!RequestResult {
        return from.ask(RequestResult, "notify.request", params);
    }

    pub const SendParams = struct {
        /// The id of one of the manifest's notices. (1 – 64 characters)
        template: []const u8,
        /// A text for each of its placeholders, one clean line of 1 to 64 characters. (≤ 8 entries; each key 1 – 32
        /// characters; each 1 – 256 characters)
        params: Map([]const u8) = .{},
        /// BCP 47: which of the notice's texts. Left out, it is the user's own language. (2 – 35 characters)
        language: ?[]const u8 = null,
    };

    pub const SendResult = struct {
        /// Of the notice, which is kept now for the user's front end.
        id: []const u8,
    };

    /// Send the subscribed user a message, from a template of the manifest; not only while they look. Capability:
    /// notify. Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired, grant_constraint,
    /// consent_required, consent_denied, invalid_params, limit_exceeded, unknown_outcome, busy, internal.
    pub fn send(from: *Call, params: SendParams) Error!SendResult {
        return from.ask(SendResult, "notify.send", params);
    }
};

pub const http = struct {
    /// One HTTPS request.
    pub const FetchParams = struct {
        /// `https://host/path?query`, also with `:port`; the host a full name in ASCII, that the grant names. (1 –
        /// 8,192 characters)
        url: []const u8,
        /// GET and HEAD have no body, and can be tried again. One of DELETE · GET · HEAD · PATCH · POST · PUT.
        method: enum { DELETE, GET, HEAD, PATCH, POST, PUT } = .GET,
        /// Name to value, printable ASCII; not those that are the connection's (`host`, `content-length`, …). (≤ 32
        /// entries; each key 1 – 64 characters; each ≤ 4,096 characters)
        headers: Map([]const u8) = .{},
        /// At most `fetch_request_bytes`.
        body: Bytes = .{},
        /// For all of it, redirects included; the call's deadline may come sooner. (1 – 600,000)
        timeout_ms: i64 = 5000,
        /// How many are followed; the next one is the answer. (0 – 5)
        redirects: i64 = 3,
    };

    /// The answer, whatever its status.
    pub const FetchResult = struct {
        /// From 200 to 999.
        status: i64,
        /// Names in lower case; equal ones joined by ", "; no cookies, and none of the connection's own.
        headers: Map([]const u8),
        /// As it was sent, at most `fetch_response_bytes`; nothing is inflated.
        body: Bytes,
        /// Where the answer came from, after redirects.
        url: []const u8,
    };

    /// One HTTPS request to a host that the operator granted. Capability: http. Errors: unknown_method,
    /// capability_undeclared, capability_not_granted, grant_expired, grant_constraint, invalid_params, limit_exceeded,
    /// address_refused, fetch_failed, unknown_outcome, busy, internal.
    pub fn fetch(from: *Call, params: FetchParams) Error!FetchResult {
        return from.ask(FetchResult, "http.fetch", params);
    }
};

pub const program = struct {
    pub const CallParams = struct {
        /// The program to call: one that the grant names. (1 – 128 characters)
        program: []const u8,
        /// A method of that program. (1 – 64 characters)
        method: []const u8,
        /// What its method takes.
        params: Raw = .empty_map,
        /// Capability → constraints: what it may use of its own grants during this call; all of them where left out. (≤
        /// 16 entries)
        narrow: ?Map(Raw) = null,
        /// Capability → constraints: what it may do as this program (`program.as_caller`), within this program's
        /// grants. (≤ 16 entries)
        delegate: Map(Raw) = .{},
        /// CPU time lent to it, out of this call's; half of what is left by default. (≥ 1,000)
        cpu_us: ?i64 = null,
        /// Host calls lent to it, out of this call's; half of what is left by default. (≥ 0)
        host_calls: ?i64 = null,
    };

    pub const CallResult = struct {
        /// What its method answered.
        value: Raw,
    };

    /// Call another program for this call's user; what it uses is paid from this call's budget. Capability:
    /// program.call. Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired,
    /// grant_constraint, invalid_params, limit_exceeded, not_found, program_failed, reentrant_call, busy, internal.
    pub fn call(from: *Call, params: CallParams) Error!CallResult {
        return from.ask(CallResult, "program.call", params);
    }

    pub const AsCallerParams = struct {
        /// A method of the host API, of a capability that was delegated. (1 – 64 characters)
        method: []const u8,
        /// What that method takes.
        params: Raw = .empty_map,
    };

    pub const AsCallerResult = struct {
        /// What that method answers.
        value: Raw,
    };

    /// Use what the calling program delegated: the request is carried out as that program's, on its account. Errors:
    /// unknown_method, capability_undeclared, capability_not_granted, grant_expired, invalid_params, limit_exceeded,
    /// internal.
    pub fn as_caller(from: *Call, params: AsCallerParams) Error!AsCallerResult {
        return from.ask(AsCallerResult, "program.as_caller", params);
    }
};
