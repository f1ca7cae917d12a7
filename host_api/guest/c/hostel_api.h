/* hostel_api.h: the methods of the host, typed. Include it in the place of hostel.h, which it includes.
 *
 * Generated from the declared methods by `python docs/generate.py` (host_api/bindings/c.py). API level 2.
 *
 *     hostel_storage_get_params params = {.key = hostel_text_of("cart")};
 *     hostel_storage_get_result stored;
 *     if (hostel_api_storage_get(&call, &params, &stored)) ...   else: call.error
 *
 * What is left out of an initializer is not sent, where it may be left out: a text or name that is NULL, a number or
 * bool without HOSTEL_GIVEN, a reader over nothing. What holds then stands behind each field. Lists, maps and values of
 * any kind are readers: given, over an encoded value (hostel_written); received, at the value. Of a result, fields that
 * are not here are ignored; a text that is nil or missing is NULL.
 */
#ifndef HOSTEL_API_H
#define HOSTEL_API_H

#include "hostel.h"

typedef struct { bool given; int64_t value; } hostel_given_int;
typedef struct { bool given, value; } hostel_given_bool;
#define HOSTEL_GIVEN(number) {true, (number)}

/* ---- reading fields -------------------------------------------------------------------------------------------- */
HOSTEL_SHARED_ bool hostel_field_absent_(hostel_reader map, const char *key, hostel_reader *value) {
    *value = hostel_find(map, key);
    return hostel_peek(*value) == HOSTEL_NONE || hostel_peek(*value) == HOSTEL_NIL;
}

/* `must`: false where nil, or no such field, is an answer too. */
HOSTEL_SHARED_ bool hostel_field_text_(hostel_reader map, const char *key, bool must, hostel_text *text) {
    hostel_reader value;
    text->at = NULL, text->size = 0;
    if (hostel_field_absent_(map, key, &value)) return !must;
    return hostel_text_between(value, 0, UINT32_MAX, text);
}

HOSTEL_SHARED_ bool hostel_field_bytes_(hostel_reader map, const char *key, bool must, hostel_text *bytes) {
    hostel_reader value;
    bytes->at = NULL, bytes->size = 0;
    if (hostel_field_absent_(map, key, &value)) return !must;
    *bytes = hostel_read_bytes(&value);
    return !value.bad;
}

HOSTEL_SHARED_ bool hostel_field_int_(hostel_reader map, const char *key, bool must, hostel_given_int *number) {
    hostel_reader value;
    number->value = 0;
    number->given = !hostel_field_absent_(map, key, &value);
    return number->given ? hostel_int_between(value, INT64_MIN, INT64_MAX, &number->value) : !must;
}

HOSTEL_SHARED_ bool hostel_field_bool_(hostel_reader map, const char *key, bool must, hostel_given_bool *answer) {
    hostel_reader value;
    answer->value = false;
    answer->given = !hostel_field_absent_(map, key, &value);
    if (!answer->given) return !must;
    answer->value = hostel_read_bool(&value);
    return !value.bad;
}

HOSTEL_SHARED_ bool hostel_not_read_(hostel_call *call) {
    return hostel_call_failed(call, "bad_response", "the host's result is not what this program was built for");
}

/* ---- what several methods use ------------------------------------------------------------------------------------ */
/** Which release of the program is running. */
typedef struct {
    /* For people. */
    hostel_text name;
    /* Never goes down from one release to the next. */
    int64_t code;
} hostel_release;

HOSTEL_SHARED_ bool hostel_release_read(hostel_reader map, hostel_release *into) {
    hostel_given_int number;
    bool good = hostel_peek(map) == HOSTEL_MAP;
    good &= hostel_field_text_(map, "name", true, &into->name);
    good &= hostel_field_int_(map, "code", true, &number), into->code = number.value;
    return good;
}

/** A postal address: parts as they are known, each 1 to 128 printable characters; at least one. */
typedef struct {
    /* Whom it is for. (1 – 128 characters) */
    hostel_text recipient;
    /* ISO 3166-1 alpha-2. (1 – 128 characters) */
    hostel_text country;
    /* State, province or prefecture. (1 – 128 characters) */
    hostel_text region;
    /* City or town. (1 – 128 characters) */
    hostel_text city;
    /* Part of the city. (1 – 128 characters) */
    hostel_text district;
    /* Street, house and flat. (1 – 128 characters) */
    hostel_text street;
    /* As the country writes it. (1 – 128 characters) */
    hostel_text postal_code;
} hostel_address;

HOSTEL_SHARED_ bool hostel_address_read(hostel_reader map, hostel_address *into) {
    bool good = hostel_peek(map) == HOSTEL_MAP;
    good &= hostel_field_text_(map, "recipient", false, &into->recipient);
    good &= hostel_field_text_(map, "country", false, &into->country);
    good &= hostel_field_text_(map, "region", false, &into->region);
    good &= hostel_field_text_(map, "city", false, &into->city);
    good &= hostel_field_text_(map, "district", false, &into->district);
    good &= hostel_field_text_(map, "street", false, &into->street);
    good &= hostel_field_text_(map, "postal_code", false, &into->postal_code);
    return good;
}

/** One decision of the user. */
typedef struct {
    /* What was decided about. */
    hostel_text scope;
    /* A yes that holds, or a no that is remembered. */
    bool given;
    /* Until when; milliseconds since the epoch. */
    int64_t expires_at_ms;
} hostel_decided;

HOSTEL_SHARED_ bool hostel_decided_read(hostel_reader map, hostel_decided *into) {
    hostel_given_int number;
    hostel_given_bool answer;
    bool good = hostel_peek(map) == HOSTEL_MAP;
    good &= hostel_field_text_(map, "scope", true, &into->scope);
    good &= hostel_field_bool_(map, "given", true, &answer), into->given = answer.value;
    good &= hostel_field_int_(map, "expires_at_ms", true, &number), into->expires_at_ms = number.value;
    return good;
}

/** An amount of money. */
typedef struct {
    /* Whole minor units: 1250 is 12.50 of a currency with two digits, and 1250 of one with none. (1 –
       1,000,000,000,000) */
    int64_t amount;
    /* ISO 4217, exactly as it is written there: EUR, not eur. (3 characters) */
    hostel_text currency;
} hostel_money;

HOSTEL_SHARED_ void hostel_money_put_(hostel_writer *w, const hostel_money *from) {
    hostel_put_map(w, 2);
    hostel_put_string(w, "amount"), hostel_put_int(w, from->amount);
    hostel_put_string(w, "currency"), hostel_put_text(w, from->currency);
}

HOSTEL_SHARED_ bool hostel_money_read(hostel_reader map, hostel_money *into) {
    hostel_given_int number;
    bool good = hostel_peek(map) == HOSTEL_MAP;
    good &= hostel_field_int_(map, "amount", true, &number), into->amount = number.value;
    good &= hostel_field_text_(map, "currency", true, &into->currency);
    return good;
}

typedef struct {
    /* The host's number of the order. */
    hostel_text order_id;
    /* The program's own. */
    hostel_text out_trade_no;
    /* pending, confirming, authorized, succeeded, finished or closed; more may come. */
    hostel_text status;
    /* declined, expired, no_funds, limit, closed, voided, uninstalled or revoked; nil while the order is not closed. */
    hostel_text close_reason;
    hostel_money amount;
    /* As the user reads it. */
    hostel_text subject;
    /* When it is closed unless the user has paid; milliseconds since the epoch. */
    int64_t expires_at_ms;
    /* True where the request had been carried out before, and this is its outcome again. */
    bool replayed;
    /* auto or manual, as it was created. */
    hostel_text capture;
    /* Minor units that were taken. */
    int64_t captured;
    /* Minor units that were given back in all. */
    int64_t refunded;
    /* Until when the money is held; nil unless authorized. */
    hostel_given_int hold_expires_at_ms;
    /* nil unless succeeded. */
    hostel_given_int refundable_until_ms;
    /* Grows by one with each change: of two answers or events the later one has the greater. */
    int64_t version;
} hostel_order_result;

HOSTEL_SHARED_ bool hostel_order_result_read(hostel_reader map, hostel_order_result *into) {
    hostel_given_int number;
    hostel_given_bool answer;
    bool good = hostel_peek(map) == HOSTEL_MAP;
    good &= hostel_field_text_(map, "order_id", true, &into->order_id);
    good &= hostel_field_text_(map, "out_trade_no", true, &into->out_trade_no);
    good &= hostel_field_text_(map, "status", true, &into->status);
    good &= hostel_field_text_(map, "close_reason", false, &into->close_reason);
    good &= hostel_money_read(hostel_find(map, "amount"), &into->amount);
    good &= hostel_field_text_(map, "subject", true, &into->subject);
    good &= hostel_field_int_(map, "expires_at_ms", true, &number), into->expires_at_ms = number.value;
    good &= hostel_field_bool_(map, "replayed", true, &answer), into->replayed = answer.value;
    good &= hostel_field_text_(map, "capture", false, &into->capture);
    if (into->capture.at == NULL) into->capture = hostel_text_of("auto");
    good &= hostel_field_int_(map, "captured", false, &number), into->captured = number.value;
    good &= hostel_field_int_(map, "refunded", false, &number), into->refunded = number.value;
    good &= hostel_field_int_(map, "hold_expires_at_ms", false, &into->hold_expires_at_ms);
    good &= hostel_field_int_(map, "refundable_until_ms", false, &into->refundable_until_ms);
    good &= hostel_field_int_(map, "version", false, &number), into->version = number.value;
    return good;
}

typedef struct {
    /* The host's number of the refund. */
    hostel_text refund_id;
    /* The order it is of. */
    hostel_text order_id;
    /* The program's own. */
    hostel_text out_request_no;
    /* succeeded; more may come. */
    hostel_text status;
    hostel_money amount;
    /* As it was given, cleaned. */
    hostel_text reason;
    /* Minor units of the order that were given back in all. */
    int64_t order_refunded;
    /* True where the refund had been made before: it was not made again. */
    bool replayed;
} hostel_refund_result;

HOSTEL_SHARED_ bool hostel_refund_result_read(hostel_reader map, hostel_refund_result *into) {
    hostel_given_int number;
    hostel_given_bool answer;
    bool good = hostel_peek(map) == HOSTEL_MAP;
    good &= hostel_field_text_(map, "refund_id", true, &into->refund_id);
    good &= hostel_field_text_(map, "order_id", true, &into->order_id);
    good &= hostel_field_text_(map, "out_request_no", true, &into->out_request_no);
    good &= hostel_field_text_(map, "status", true, &into->status);
    good &= hostel_money_read(hostel_find(map, "amount"), &into->amount);
    good &= hostel_field_text_(map, "reason", true, &into->reason);
    good &= hostel_field_int_(map, "order_refunded", true, &number), into->order_refunded = number.value;
    good &= hostel_field_bool_(map, "replayed", true, &answer), into->replayed = answer.value;
    return good;
}

/** One event. */
typedef struct {
    /* Later events have higher ones, of whatever stream. */
    int64_t seq;
    /* What happened, such as "payment.succeeded". */
    hostel_text topic;
    /* To what: an order's id. */
    hostel_text stream;
    /* Its place among the events of the stream, from 1 without a gap. */
    int64_t stream_seq;
    /* Ids, states and amounts, by topic. A map. */
    hostel_reader payload;
    /* Milliseconds since the epoch. */
    int64_t created_at_ms;
    /* The program has acknowledged it. */
    bool acked;
} hostel_listed_event;

HOSTEL_SHARED_ bool hostel_listed_event_read(hostel_reader map, hostel_listed_event *into) {
    hostel_given_int number;
    hostel_given_bool answer;
    bool good = hostel_peek(map) == HOSTEL_MAP;
    good &= hostel_field_int_(map, "seq", true, &number), into->seq = number.value;
    good &= hostel_field_text_(map, "topic", true, &into->topic);
    good &= hostel_field_text_(map, "stream", true, &into->stream);
    good &= hostel_field_int_(map, "stream_seq", true, &number), into->stream_seq = number.value;
    into->payload = hostel_find(map, "payload");
    good &= hostel_peek(into->payload) != HOSTEL_NONE;
    good &= hostel_field_int_(map, "created_at_ms", true, &number), into->created_at_ms = number.value;
    good &= hostel_field_bool_(map, "acked", true, &answer), into->acked = answer.value;
    return good;
}

/** One key, without its value. */
typedef struct {
    /* The key. */
    hostel_text key;
    /* What it counts for the quota: key and encoded value. */
    int64_t bytes;
    /* Of its value. */
    int64_t version;
} hostel_listed_key;

HOSTEL_SHARED_ bool hostel_listed_key_read(hostel_reader map, hostel_listed_key *into) {
    hostel_given_int number;
    bool good = hostel_peek(map) == HOSTEL_MAP;
    good &= hostel_field_text_(map, "key", true, &into->key);
    good &= hostel_field_int_(map, "bytes", true, &number), into->bytes = number.value;
    good &= hostel_field_int_(map, "version", true, &number), into->version = number.value;
    return good;
}

/* ---- session ----------------------------------------------------------------------------------------------------- */
/** The session, as the host knows it. */
typedef struct {
    /* The program's own. */
    hostel_text app_id;
    /* Which release of it is running. */
    hostel_release release;
    /* What methods and fields this host has; platform_version.min_code of the manifest asks for one. */
    int64_t api_level;
    /* BCP 47. */
    hostel_text locale;
    /* IANA. */
    hostel_text time_zone;
    /* ISO 4217: what amounts are shown in unless the program says otherwise. */
    hostel_text currency;
    /* What the operator set for this program at install. A map. */
    hostel_reader config;
    /* The user is looking: prompts may open. */
    bool interactive;
    /* The app_id of the program that called (program.call); '' for a call from outside. */
    hostel_text caller;
    /* Milliseconds since the epoch, by the host's clock. */
    int64_t time_ms;
    /* For logs; a client may choose it, so it is no source of numbers that must be unique. */
    hostel_text trace_id;
} hostel_session_info_result;

HOSTEL_SHARED_ bool hostel_session_info_result_read(hostel_reader map, hostel_session_info_result *into) {
    hostel_given_int number;
    hostel_given_bool answer;
    bool good = hostel_peek(map) == HOSTEL_MAP;
    good &= hostel_field_text_(map, "app_id", true, &into->app_id);
    good &= hostel_release_read(hostel_find(map, "release"), &into->release);
    good &= hostel_field_int_(map, "api_level", true, &number), into->api_level = number.value;
    good &= hostel_field_text_(map, "locale", true, &into->locale);
    good &= hostel_field_text_(map, "time_zone", true, &into->time_zone);
    good &= hostel_field_text_(map, "currency", true, &into->currency);
    into->config = hostel_find(map, "config");
    good &= hostel_peek(into->config) != HOSTEL_NONE;
    good &= hostel_field_bool_(map, "interactive", true, &answer), into->interactive = answer.value;
    good &= hostel_field_text_(map, "caller", true, &into->caller);
    good &= hostel_field_int_(map, "time_ms", true, &number), into->time_ms = number.value;
    good &= hostel_field_text_(map, "trace_id", true, &into->trace_id);
    return good;
}

/** session.info: The program, its release and settings, and the user's language, time zone and currency. Errors:
    unknown_method, invalid_params, limit_exceeded, internal. */
HOSTEL_SHARED_ bool hostel_api_session_info(hostel_call *call, hostel_session_info_result *into) {
    (void)hostel_begin(call, "session.info", 0);
    return hostel_send(call) && (hostel_session_info_result_read(call->result, into) || hostel_not_read_(call));
}

/** How long. The call's deadline goes on. */
typedef struct {
    /* Milliseconds. (0 – 60,000) */
    int64_t ms;
} hostel_session_sleep_params;

/** session.sleep: Wait without using CPU time. Errors: unknown_method, invalid_params, limit_exceeded, internal. */
HOSTEL_SHARED_ bool hostel_api_session_sleep(hostel_call *call, const hostel_session_sleep_params *from) {
    hostel_writer *w = hostel_begin(call, "session.sleep", 1);
    hostel_put_string(w, "ms"), hostel_put_int(w, from->ms);
    return hostel_send(call);
}

/* ---- log --------------------------------------------------------------------------------------------------------- */
/** One line. What is not printable in it is escaped, line breaks too. */
typedef struct {
    /* How it is shown to whoever reads the log. debug, error, info, warning. */
    const char *level;
    /* The line. (≤ 16,384 characters) */
    hostel_text message;
} hostel_log_write_params;

/** log.write: Write one line to the program's log. Errors: unknown_method, invalid_params, limit_exceeded, internal. */
HOSTEL_SHARED_ bool hostel_api_log_write(hostel_call *call, const hostel_log_write_params *from) {
    hostel_writer *w = hostel_begin(call, "log.write", 2);
    hostel_put_string(w, "level"), hostel_put_string(w, from->level);
    hostel_put_string(w, "message"), hostel_put_text(w, from->message);
    return hostel_send(call);
}

/* ---- asset ------------------------------------------------------------------------------------------------------- */
/** Which member of the bundle, and which part of it. */
typedef struct {
    /* As it stands in the bundle: `i18n/zh.json`. (1 – 255 characters) */
    hostel_text path;
    /* Bytes before the part. (0 – 1,099,511,627,776) Left out: 0. */
    hostel_given_int offset;
    /* Bytes of the part, at most. (1 – 196,608) Left out: 196608. */
    hostel_given_int length;
} hostel_asset_read_params;

/** The part, as far as the member goes. */
typedef struct {
    /* Shorter than asked for at the member's end, and empty behind it. */
    hostel_text data;
    /* Bytes of the whole member. */
    int64_t size;
    /* By the ending of its path; nil for one that is not known. */
    hostel_text media_type;
} hostel_asset_read_result;

HOSTEL_SHARED_ bool hostel_asset_read_result_read(hostel_reader map, hostel_asset_read_result *into) {
    hostel_given_int number;
    bool good = hostel_peek(map) == HOSTEL_MAP;
    good &= hostel_field_bytes_(map, "data", true, &into->data);
    good &= hostel_field_int_(map, "size", true, &number), into->size = number.value;
    good &= hostel_field_text_(map, "media_type", false, &into->media_type);
    return good;
}

/** asset.read: Read a part of a member of the program's own bundle: any but the manifest, the module and scripts.
    Errors: unknown_method, invalid_params, limit_exceeded, not_found, internal. */
HOSTEL_SHARED_ bool hostel_api_asset_read(hostel_call *call, const hostel_asset_read_params *from,
                                          hostel_asset_read_result *into) {
    uint32_t count = 1;
    count += from->offset.given;
    count += from->length.given;
    hostel_writer *w = hostel_begin(call, "asset.read", count);
    hostel_put_string(w, "path"), hostel_put_text(w, from->path);
    if (from->offset.given) hostel_put_string(w, "offset"), hostel_put_int(w, from->offset.value);
    if (from->length.given) hostel_put_string(w, "length"), hostel_put_int(w, from->length.value);
    return hostel_send(call) && (hostel_asset_read_result_read(call->result, into) || hostel_not_read_(call));
}

/* ---- user -------------------------------------------------------------------------------------------------------- */
/** The user's id for this program. */
typedef struct {
    /* Always the same for this program, and another one for programs of other developers. */
    hostel_text id;
} hostel_user_login_result;

HOSTEL_SHARED_ bool hostel_user_login_result_read(hostel_reader map, hostel_user_login_result *into) {
    bool good = hostel_peek(map) == HOSTEL_MAP;
    good &= hostel_field_text_(map, "id", true, &into->id);
    return good;
}

/** user.login: Who the user is to this program: an id that nobody can join with other programs' ids. Capability:
    user.login. Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired, invalid_params,
    limit_exceeded, internal. */
HOSTEL_SHARED_ bool hostel_api_user_login(hostel_call *call, hostel_user_login_result *into) {
    (void)hostel_begin(call, "user.login", 0);
    return hostel_send(call) && (hostel_user_login_result_read(call->result, into) || hostel_not_read_(call));
}

/** What to ask consent for. */
typedef struct {
    /* Each once. address, age_band, avatar, locale, nickname, phone, phone_masked. A list of choice. (1 – 7 entries) */
    hostel_reader scopes;
    /* How long to wait for the user; 0 answers at once, never longer than the limit prompt_wait_ms. (0 – 600,000) Left
       out: 0. */
    hostel_given_int wait_ms;
} hostel_user_authorize_params;

/** What the user decided. */
typedef struct {
    /* Scope → `granted`, `refused`, or `pending`: not decided, or not yet; ask again. granted, pending, refused. A map
       of choice. */
    hostel_reader scopes;
} hostel_user_authorize_result;

HOSTEL_SHARED_ bool hostel_user_authorize_result_read(hostel_reader map, hostel_user_authorize_result *into) {
    bool good = hostel_peek(map) == HOSTEL_MAP;
    into->scopes = hostel_find(map, "scopes");
    good &= hostel_peek(into->scopes) != HOSTEL_NONE;
    return good;
}

/** user.authorize: Ask the user, in one dialog, for consent to what is not decided yet; needs the capability of each
    scope. Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired, invalid_params,
    limit_exceeded, rate_limited, cashier_busy, not_interactive, unknown_outcome, busy, internal. */
HOSTEL_SHARED_ bool hostel_api_user_authorize(hostel_call *call, const hostel_user_authorize_params *from,
                                              hostel_user_authorize_result *into) {
    uint32_t count = 1;
    count += from->wait_ms.given;
    hostel_writer *w = hostel_begin(call, "user.authorize", count);
    hostel_put_string(w, "scopes"), hostel_put_value(w, from->scopes);
    if (from->wait_ms.given) hostel_put_string(w, "wait_ms"), hostel_put_int(w, from->wait_ms.value);
    return hostel_send(call) && (hostel_user_authorize_result_read(call->result, into) || hostel_not_read_(call));
}

/** Which fields. */
typedef struct {
    /* What is needed now, each once. age_band, avatar, locale, nickname. A list of choice. (1 – 4 entries) */
    hostel_reader scopes;
} hostel_user_profile_params;

/** The fields asked for. */
typedef struct {
    /* Scope → value, of those asked for; nil where it is not known. `avatar` is an https URL, `locale` a BCP 47 tag,
       `age_band` one of 0-12, 13-15, 16-17, 18+. A map of text. */
    hostel_reader profile;
} hostel_user_profile_result;

HOSTEL_SHARED_ bool hostel_user_profile_result_read(hostel_reader map, hostel_user_profile_result *into) {
    bool good = hostel_peek(map) == HOSTEL_MAP;
    into->profile = hostel_find(map, "profile");
    good &= hostel_peek(into->profile) != HOSTEL_NONE;
    return good;
}

/** user.profile: Fields of the user's profile that they consented to. Capability: user.profile. Errors: unknown_method,
    capability_undeclared, capability_not_granted, grant_expired, consent_required, consent_denied, invalid_params,
    limit_exceeded, busy, internal. */
HOSTEL_SHARED_ bool hostel_api_user_profile(hostel_call *call, const hostel_user_profile_params *from,
                                            hostel_user_profile_result *into) {
    hostel_writer *w = hostel_begin(call, "user.profile", 1);
    hostel_put_string(w, "scopes"), hostel_put_value(w, from->scopes);
    return hostel_send(call) && (hostel_user_profile_result_read(call->result, into) || hostel_not_read_(call));
}

/** How much of it. */
typedef struct {
    /* The last digits only (scope `phone_masked`), or the whole number (scope `phone`). Left out: true. */
    hostel_given_bool masked;
} hostel_user_phone_params;

/** The number. */
typedef struct {
    /* `****1234`, or the number in E.164; nil where it is not known. */
    hostel_text phone;
} hostel_user_phone_result;

HOSTEL_SHARED_ bool hostel_user_phone_result_read(hostel_reader map, hostel_user_phone_result *into) {
    bool good = hostel_peek(map) == HOSTEL_MAP;
    good &= hostel_field_text_(map, "phone", false, &into->phone);
    return good;
}

/** user.phone: The user's phone number: its last digits, or the whole of it. Capability: user.phone. Errors:
    unknown_method, capability_undeclared, capability_not_granted, grant_expired, consent_required, consent_denied,
    invalid_params, limit_exceeded, busy, internal. */
HOSTEL_SHARED_ bool hostel_api_user_phone(hostel_call *call, const hostel_user_phone_params *from,
                                          hostel_user_phone_result *into) {
    uint32_t count = 0;
    count += from->masked.given;
    hostel_writer *w = hostel_begin(call, "user.phone", count);
    if (from->masked.given) hostel_put_string(w, "masked"), hostel_put_bool(w, from->masked.value);
    return hostel_send(call) && (hostel_user_phone_result_read(call->result, into) || hostel_not_read_(call));
}

/** The address. */
typedef struct {
    /* Only parts that are known; nil where none is. */
    bool has_address;
    hostel_address address;
} hostel_user_address_result;

HOSTEL_SHARED_ bool hostel_user_address_result_read(hostel_reader map, hostel_user_address_result *into) {
    bool good = hostel_peek(map) == HOSTEL_MAP;
    into->has_address = hostel_address_read(hostel_find(map, "address"), &into->address);
    return good;
}

/** user.address: The user's postal address. Capability: user.address. Errors: unknown_method, capability_undeclared,
    capability_not_granted, grant_expired, consent_required, consent_denied, invalid_params, limit_exceeded, busy,
    internal. */
HOSTEL_SHARED_ bool hostel_api_user_address(hostel_call *call, hostel_user_address_result *into) {
    (void)hostel_begin(call, "user.address", 0);
    return hostel_send(call) && (hostel_user_address_result_read(call->result, into) || hostel_not_read_(call));
}

/** What this user decided for this program and what holds now, by scope. */
typedef struct {
    /* By scope; only what holds now. A list of hostel_decided. */
    hostel_reader consents;
} hostel_user_consents_result;

HOSTEL_SHARED_ bool hostel_user_consents_result_read(hostel_reader map, hostel_user_consents_result *into) {
    bool good = hostel_peek(map) == HOSTEL_MAP;
    into->consents = hostel_find(map, "consents");
    good &= hostel_peek(into->consents) != HOSTEL_NONE;
    return good;
}

/** user.consents: What the user decided for this program: what may be asked for without a dialog. Errors:
    unknown_method, invalid_params, limit_exceeded, busy, internal. */
HOSTEL_SHARED_ bool hostel_api_user_consents(hostel_call *call, hostel_user_consents_result *into) {
    (void)hostel_begin(call, "user.consents", 0);
    return hostel_send(call) && (hostel_user_consents_result_read(call->result, into) || hostel_not_read_(call));
}

/* ---- payment ----------------------------------------------------------------------------------------------------- */
typedef struct {
    /* 1 to 64 printable ASCII characters (`^[!-~]{1,64}$`) */
    hostel_text key;
    /* The program's own number of the order; unique for it for ever; 1 to 64 of A-Z a-z 0-9 _ . : -
       (`^[A-Za-z0-9_.:-]{1,64}$`) */
    hostel_text out_trade_no;
    hostel_money amount;
    /* What it is for, as the user reads it: 1 to 64 visible characters, cleaned (protocol §8.2). */
    hostel_text subject;
    /* Seconds until an order that nobody paid is closed. (60 – 86,400) Left out: 900. */
    hostel_given_int ttl_s;
    /* When the money moves: with the user's yes, or held for up to 7 days until payment.capture. auto, manual. Left
       out: auto. */
    const char *capture;
} hostel_payment_create_params;

/** payment.create: Create an order that the session's user is to pay to this program's payee. Capability: payment.
    Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired, grant_constraint,
    invalid_params, limit_exceeded, rate_limited, key_reused, order_mismatch, unknown_outcome, busy, internal. */
HOSTEL_SHARED_ bool hostel_api_payment_create(hostel_call *call, const hostel_payment_create_params *from,
                                              hostel_order_result *into) {
    uint32_t count = 4;
    count += from->ttl_s.given;
    count += from->capture != NULL;
    hostel_writer *w = hostel_begin(call, "payment.create", count);
    hostel_put_string(w, "key"), hostel_put_text(w, from->key);
    hostel_put_string(w, "out_trade_no"), hostel_put_text(w, from->out_trade_no);
    hostel_put_string(w, "amount"), hostel_money_put_(w, &from->amount);
    hostel_put_string(w, "subject"), hostel_put_text(w, from->subject);
    if (from->ttl_s.given) hostel_put_string(w, "ttl_s"), hostel_put_int(w, from->ttl_s.value);
    if (from->capture != NULL) hostel_put_string(w, "capture"), hostel_put_string(w, from->capture);
    return hostel_send(call) && (hostel_order_result_read(call->result, into) || hostel_not_read_(call));
}

typedef struct {
    /* As payment.create gave it. (1 – 64 characters) */
    hostel_text order_id;
    /* How long to wait for the user; 0 answers at once. Never longer than the limit prompt_wait_ms. (0 – 600,000) Left
       out: 0. */
    hostel_given_int wait_ms;
} hostel_payment_request_params;

/** payment.request: Ask the user to pay an order: opens the cashier, and waits for the answer up to wait_ms.
    Capability: payment. Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired,
    grant_constraint, invalid_params, limit_exceeded, rate_limited, not_found, invalid_state, expired, declined,
    insufficient_funds, cashier_busy, not_interactive, unknown_outcome, busy, internal. */
HOSTEL_SHARED_ bool hostel_api_payment_request(hostel_call *call, const hostel_payment_request_params *from,
                                               hostel_order_result *into) {
    uint32_t count = 1;
    count += from->wait_ms.given;
    hostel_writer *w = hostel_begin(call, "payment.request", count);
    hostel_put_string(w, "order_id"), hostel_put_text(w, from->order_id);
    if (from->wait_ms.given) hostel_put_string(w, "wait_ms"), hostel_put_int(w, from->wait_ms.value);
    return hostel_send(call) && (hostel_order_result_read(call->result, into) || hostel_not_read_(call));
}

typedef struct {
    /* 1 to 64 printable ASCII characters (`^[!-~]{1,64}$`) */
    hostel_text key;
    /* As payment.create gave it. (1 – 64 characters) */
    hostel_text order_id;
    /* Minor units of the order's currency, at most what is held; all of it by default. The rest goes back. (1 –
       1,000,000,000,000) Left out: nothing. */
    hostel_given_int amount;
} hostel_payment_capture_params;

/** payment.capture: Take what is held for an order with manual capture, all of it or a part; what is left goes back at
    once. Capability: payment. Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired,
    grant_constraint, invalid_params, limit_exceeded, rate_limited, key_reused, not_found, invalid_state, expired,
    declined, insufficient_funds, unknown_outcome, busy, internal. */
HOSTEL_SHARED_ bool hostel_api_payment_capture(hostel_call *call, const hostel_payment_capture_params *from,
                                               hostel_order_result *into) {
    uint32_t count = 2;
    count += from->amount.given;
    hostel_writer *w = hostel_begin(call, "payment.capture", count);
    hostel_put_string(w, "key"), hostel_put_text(w, from->key);
    hostel_put_string(w, "order_id"), hostel_put_text(w, from->order_id);
    if (from->amount.given) hostel_put_string(w, "amount"), hostel_put_int(w, from->amount.value);
    return hostel_send(call) && (hostel_order_result_read(call->result, into) || hostel_not_read_(call));
}

typedef struct {
    /* As payment.create gave it; or else out_trade_no. (1 – 64 characters) Left out: nothing. */
    hostel_text order_id;
    /* The program's own number of the order; or else order_id; 1 to 64 of A-Z a-z 0-9 _ . : -
       (`^[A-Za-z0-9_.:-]{1,64}$`) Left out: nothing. */
    hostel_text out_trade_no;
} hostel_payment_query_params;

/** payment.query: How an order stands now: the truth about every payment whose answer was lost. Capability: payment.
    Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired, invalid_params,
    limit_exceeded, not_found, busy, internal. */
HOSTEL_SHARED_ bool hostel_api_payment_query(hostel_call *call, const hostel_payment_query_params *from,
                                             hostel_order_result *into) {
    uint32_t count = 0;
    count += from->order_id.at != NULL;
    count += from->out_trade_no.at != NULL;
    hostel_writer *w = hostel_begin(call, "payment.query", count);
    if (from->order_id.at != NULL) hostel_put_string(w, "order_id"), hostel_put_text(w, from->order_id);
    if (from->out_trade_no.at != NULL) hostel_put_string(w, "out_trade_no"), hostel_put_text(w, from->out_trade_no);
    return hostel_send(call) && (hostel_order_result_read(call->result, into) || hostel_not_read_(call));
}

typedef struct {
    /* 1 to 64 printable ASCII characters (`^[!-~]{1,64}$`) */
    hostel_text key;
    /* As payment.create gave it. (1 – 64 characters) */
    hostel_text order_id;
} hostel_payment_close_params;

/** payment.close: Give an order up before it is captured: its prompt is taken away, what is held goes back. Capability:
    payment. Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired, invalid_params,
    limit_exceeded, rate_limited, key_reused, not_found, invalid_state, expired, declined, insufficient_funds,
    unknown_outcome, busy, internal. */
HOSTEL_SHARED_ bool hostel_api_payment_close(hostel_call *call, const hostel_payment_close_params *from,
                                             hostel_order_result *into) {
    hostel_writer *w = hostel_begin(call, "payment.close", 2);
    hostel_put_string(w, "key"), hostel_put_text(w, from->key);
    hostel_put_string(w, "order_id"), hostel_put_text(w, from->order_id);
    return hostel_send(call) && (hostel_order_result_read(call->result, into) || hostel_not_read_(call));
}

typedef struct {
    /* 1 to 64 printable ASCII characters (`^[!-~]{1,64}$`) */
    hostel_text key;
    /* The order that was captured. (1 – 64 characters) */
    hostel_text order_id;
    /* The program's own number of the refund; unique for the order for ever; 1 to 64 of A-Z a-z 0-9 _ . : -
       (`^[A-Za-z0-9_.:-]{1,64}$`) */
    hostel_text out_request_no;
    /* Minor units of the order's currency; all refunds together at most what was captured. (1 – 1,000,000,000,000) */
    int64_t amount;
    /* What it is for; one clean line, as a subject. */
    hostel_text reason;
} hostel_payment_refund_params;

/** payment.refund: Give the user back all or a part of what was captured, and the program its share of the fee.
    Capability: payment.refund. Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired,
    grant_constraint, invalid_params, limit_exceeded, rate_limited, key_reused, not_found, order_mismatch,
    invalid_state, expired, declined, insufficient_funds, refund_exceeds_captured, refund_window_over,
    merchant_funds_low, unknown_outcome, busy, internal. */
HOSTEL_SHARED_ bool hostel_api_payment_refund(hostel_call *call, const hostel_payment_refund_params *from,
                                              hostel_refund_result *into) {
    hostel_writer *w = hostel_begin(call, "payment.refund", 5);
    hostel_put_string(w, "key"), hostel_put_text(w, from->key);
    hostel_put_string(w, "order_id"), hostel_put_text(w, from->order_id);
    hostel_put_string(w, "out_request_no"), hostel_put_text(w, from->out_request_no);
    hostel_put_string(w, "amount"), hostel_put_int(w, from->amount);
    hostel_put_string(w, "reason"), hostel_put_text(w, from->reason);
    return hostel_send(call) && (hostel_refund_result_read(call->result, into) || hostel_not_read_(call));
}

typedef struct {
    /* The order it is of. (1 – 64 characters) */
    hostel_text order_id;
    /* The program's own number of the refund; 1 to 64 of A-Z a-z 0-9 _ . : - (`^[A-Za-z0-9_.:-]{1,64}$`) */
    hostel_text out_request_no;
} hostel_payment_refund_query_params;

/** payment.refund_query: Whether a refund was made: the truth where its answer was lost. Capability: payment.refund.
    Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired, invalid_params,
    limit_exceeded, not_found, busy, internal. */
HOSTEL_SHARED_ bool hostel_api_payment_refund_query(hostel_call *call, const hostel_payment_refund_query_params *from,
                                                    hostel_refund_result *into) {
    hostel_writer *w = hostel_begin(call, "payment.refund_query", 2);
    hostel_put_string(w, "order_id"), hostel_put_text(w, from->order_id);
    hostel_put_string(w, "out_request_no"), hostel_put_text(w, from->out_request_no);
    return hostel_send(call) && (hostel_refund_result_read(call->result, into) || hostel_not_read_(call));
}

/* ---- events ------------------------------------------------------------------------------------------------------ */
/** Which events: in a call with a user that user's, in a call without one all of the program. */
typedef struct {
    /* Only those with a higher seq. (0 – 9,007,199,254,740,992) Left out: 0. */
    hostel_given_int after;
    /* How many at most. (1 – 100) Left out: 100. */
    hostel_given_int limit;
} hostel_events_list_params;

/** A page, in the order of seq. */
typedef struct {
    /* In the order of seq. A list of hostel_listed_event. */
    hostel_reader events;
    /* There are more: ask again with `after` set to the last seq. */
    bool more;
} hostel_events_list_result;

HOSTEL_SHARED_ bool hostel_events_list_result_read(hostel_reader map, hostel_events_list_result *into) {
    hostel_given_bool answer;
    bool good = hostel_peek(map) == HOSTEL_MAP;
    into->events = hostel_find(map, "events");
    good &= hostel_peek(into->events) != HOSTEL_NONE;
    good &= hostel_field_bool_(map, "more", true, &answer), into->more = answer.value;
    return good;
}

/** events.list: What changed, in order: also for a program that is never notified, or was not there to be. Errors:
    unknown_method, invalid_params, limit_exceeded, busy, internal. */
HOSTEL_SHARED_ bool hostel_api_events_list(hostel_call *call, const hostel_events_list_params *from,
                                           hostel_events_list_result *into) {
    uint32_t count = 0;
    count += from->after.given;
    count += from->limit.given;
    hostel_writer *w = hostel_begin(call, "events.list", count);
    if (from->after.given) hostel_put_string(w, "after"), hostel_put_int(w, from->after.value);
    if (from->limit.given) hostel_put_string(w, "limit"), hostel_put_int(w, from->limit.value);
    return hostel_send(call) && (hostel_events_list_result_read(call->result, into) || hostel_not_read_(call));
}

/** What was handled. */
typedef struct {
    /* Of the event; those before it in its stream are acknowledged with it. (1 – 9,007,199,254,740,992) */
    int64_t seq;
} hostel_events_ack_params;

/** events.ack: Say that an event was handled: it is not pushed again, and the next of its stream is. Errors:
    unknown_method, invalid_params, limit_exceeded, not_found, unknown_outcome, busy, internal. */
HOSTEL_SHARED_ bool hostel_api_events_ack(hostel_call *call, const hostel_events_ack_params *from) {
    hostel_writer *w = hostel_begin(call, "events.ack", 1);
    hostel_put_string(w, "seq"), hostel_put_int(w, from->seq);
    return hostel_send(call);
}

/* ---- storage ----------------------------------------------------------------------------------------------------- */
/** Which value. */
typedef struct {
    /* 1 to 256 bytes of UTF-8 without control characters (1 – 256 characters) */
    hostel_text key;
    /* this user's values, or the program's own program, user. Left out: user. */
    const char *scope;
} hostel_storage_get_params;

/** The value as it is now. */
typedef struct {
    /* False where there is no such key. */
    bool found;
    /* As it was put; nil where there is none. */
    hostel_reader value;
    /* Of this value; 0 where there is none. */
    int64_t version;
} hostel_storage_get_result;

HOSTEL_SHARED_ bool hostel_storage_get_result_read(hostel_reader map, hostel_storage_get_result *into) {
    hostel_given_int number;
    hostel_given_bool answer;
    bool good = hostel_peek(map) == HOSTEL_MAP;
    good &= hostel_field_bool_(map, "found", true, &answer), into->found = answer.value;
    into->value = hostel_find(map, "value");
    good &= hostel_peek(into->value) != HOSTEL_NONE;
    good &= hostel_field_int_(map, "version", true, &number), into->version = number.value;
    return good;
}

/** storage.get: Read one value. Capability: storage. Errors: unknown_method, capability_undeclared,
    capability_not_granted, grant_expired, grant_constraint, invalid_params, limit_exceeded, busy, internal. */
HOSTEL_SHARED_ bool hostel_api_storage_get(hostel_call *call, const hostel_storage_get_params *from,
                                           hostel_storage_get_result *into) {
    uint32_t count = 1;
    count += from->scope != NULL;
    hostel_writer *w = hostel_begin(call, "storage.get", count);
    hostel_put_string(w, "key"), hostel_put_text(w, from->key);
    if (from->scope != NULL) hostel_put_string(w, "scope"), hostel_put_string(w, from->scope);
    return hostel_send(call) && (hostel_storage_get_result_read(call->result, into) || hostel_not_read_(call));
}

/** What to write, and over what. */
typedef struct {
    /* 1 to 256 bytes of UTF-8 without control characters (1 – 256 characters) */
    hostel_text key;
    /* At most 14 levels of lists and maps. */
    hostel_reader value;
    /* this user's values, or the program's own program, user. Left out: user. */
    const char *scope;
    /* Write only if the key is at this version; 0: only if there is no such key. (0 – 9,007,199,254,740,992) Left out:
       nothing. */
    hostel_given_int if_version;
} hostel_storage_put_params;

/** That it was written. */
typedef struct {
    /* Of the value written: never used twice in a scope, not even by a key that was deleted and written again. */
    int64_t version;
} hostel_storage_put_result;

HOSTEL_SHARED_ bool hostel_storage_put_result_read(hostel_reader map, hostel_storage_put_result *into) {
    hostel_given_int number;
    bool good = hostel_peek(map) == HOSTEL_MAP;
    good &= hostel_field_int_(map, "version", true, &number), into->version = number.value;
    return good;
}

/** storage.put: Write one value, durable when answered; with if_version only over what was read. Capability: storage.
    Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired, grant_constraint,
    invalid_params, limit_exceeded, version_conflict, quota_exceeded, unknown_outcome, busy, internal. */
HOSTEL_SHARED_ bool hostel_api_storage_put(hostel_call *call, const hostel_storage_put_params *from,
                                           hostel_storage_put_result *into) {
    uint32_t count = 2;
    count += from->scope != NULL;
    count += from->if_version.given;
    hostel_writer *w = hostel_begin(call, "storage.put", count);
    hostel_put_string(w, "key"), hostel_put_text(w, from->key);
    hostel_put_string(w, "value"), hostel_put_value(w, from->value);
    if (from->scope != NULL) hostel_put_string(w, "scope"), hostel_put_string(w, from->scope);
    if (from->if_version.given) hostel_put_string(w, "if_version"), hostel_put_int(w, from->if_version.value);
    return hostel_send(call) && (hostel_storage_put_result_read(call->result, into) || hostel_not_read_(call));
}

/** What to delete. */
typedef struct {
    /* 1 to 256 bytes of UTF-8 without control characters (1 – 256 characters) */
    hostel_text key;
    /* this user's values, or the program's own program, user. Left out: user. */
    const char *scope;
    /* Delete only if the key is at this version. (0 – 9,007,199,254,740,992) Left out: nothing. */
    hostel_given_int if_version;
} hostel_storage_delete_params;

/** Whether anything was there. */
typedef struct {
    /* False where there was no such key. */
    bool deleted;
} hostel_storage_delete_result;

HOSTEL_SHARED_ bool hostel_storage_delete_result_read(hostel_reader map, hostel_storage_delete_result *into) {
    hostel_given_bool answer;
    bool good = hostel_peek(map) == HOSTEL_MAP;
    good &= hostel_field_bool_(map, "deleted", true, &answer), into->deleted = answer.value;
    return good;
}

/** storage.delete: Delete one key. Capability: storage. Errors: unknown_method, capability_undeclared,
    capability_not_granted, grant_expired, grant_constraint, invalid_params, limit_exceeded, version_conflict,
    unknown_outcome, busy, internal. */
HOSTEL_SHARED_ bool hostel_api_storage_delete(hostel_call *call, const hostel_storage_delete_params *from,
                                              hostel_storage_delete_result *into) {
    uint32_t count = 1;
    count += from->scope != NULL;
    count += from->if_version.given;
    hostel_writer *w = hostel_begin(call, "storage.delete", count);
    hostel_put_string(w, "key"), hostel_put_text(w, from->key);
    if (from->scope != NULL) hostel_put_string(w, "scope"), hostel_put_string(w, from->scope);
    if (from->if_version.given) hostel_put_string(w, "if_version"), hostel_put_int(w, from->if_version.value);
    return hostel_send(call) && (hostel_storage_delete_result_read(call->result, into) || hostel_not_read_(call));
}

/** Keys that begin with `prefix` and come after `after`, in the order of their UTF-8 bytes. */
typedef struct {
    /* What the keys begin with. (≤ 256 characters) Left out: nothing. */
    hostel_text prefix;
    /* this user's values, or the program's own program, user. Left out: user. */
    const char *scope;
    /* The last key of the page before. (≤ 256 characters) Left out: nothing. */
    hostel_text after;
    /* Keys in one page. (1 – 500) Left out: 100. */
    hostel_given_int limit;
} hostel_storage_list_params;

/** One page. */
typedef struct {
    /* In the order of their UTF-8 bytes. A list of hostel_listed_key. */
    hostel_reader keys;
    /* Ask again with `after` set to the last key. */
    bool more;
} hostel_storage_list_result;

HOSTEL_SHARED_ bool hostel_storage_list_result_read(hostel_reader map, hostel_storage_list_result *into) {
    hostel_given_bool answer;
    bool good = hostel_peek(map) == HOSTEL_MAP;
    into->keys = hostel_find(map, "keys");
    good &= hostel_peek(into->keys) != HOSTEL_NONE;
    good &= hostel_field_bool_(map, "more", true, &answer), into->more = answer.value;
    return good;
}

/** storage.list: List keys in order, page by page. Capability: storage. Errors: unknown_method, capability_undeclared,
    capability_not_granted, grant_expired, grant_constraint, invalid_params, limit_exceeded, busy, internal. */
HOSTEL_SHARED_ bool hostel_api_storage_list(hostel_call *call, const hostel_storage_list_params *from,
                                            hostel_storage_list_result *into) {
    uint32_t count = 0;
    count += from->prefix.at != NULL;
    count += from->scope != NULL;
    count += from->after.at != NULL;
    count += from->limit.given;
    hostel_writer *w = hostel_begin(call, "storage.list", count);
    if (from->prefix.at != NULL) hostel_put_string(w, "prefix"), hostel_put_text(w, from->prefix);
    if (from->scope != NULL) hostel_put_string(w, "scope"), hostel_put_string(w, from->scope);
    if (from->after.at != NULL) hostel_put_string(w, "after"), hostel_put_text(w, from->after);
    if (from->limit.given) hostel_put_string(w, "limit"), hostel_put_int(w, from->limit.value);
    return hostel_send(call) && (hostel_storage_list_result_read(call->result, into) || hostel_not_read_(call));
}

/** Of which scope. */
typedef struct {
    /* this user's values, or the program's own program, user. Left out: user. */
    const char *scope;
} hostel_storage_usage_params;

/** What the scope uses and what it may use. */
typedef struct {
    /* Used: keys and encoded values. */
    int64_t bytes;
    /* The limit storage_bytes. */
    int64_t bytes_max;
    /* Kept now. */
    int64_t keys;
    /* The limit storage_keys. */
    int64_t keys_max;
} hostel_storage_usage_result;

HOSTEL_SHARED_ bool hostel_storage_usage_result_read(hostel_reader map, hostel_storage_usage_result *into) {
    hostel_given_int number;
    bool good = hostel_peek(map) == HOSTEL_MAP;
    good &= hostel_field_int_(map, "bytes", true, &number), into->bytes = number.value;
    good &= hostel_field_int_(map, "bytes_max", true, &number), into->bytes_max = number.value;
    good &= hostel_field_int_(map, "keys", true, &number), into->keys = number.value;
    good &= hostel_field_int_(map, "keys_max", true, &number), into->keys_max = number.value;
    return good;
}

/** storage.usage: Bytes and keys used, and the most there may be. Capability: storage. Errors: unknown_method,
    capability_undeclared, capability_not_granted, grant_expired, invalid_params, limit_exceeded, busy, internal. */
HOSTEL_SHARED_ bool hostel_api_storage_usage(hostel_call *call, const hostel_storage_usage_params *from,
                                             hostel_storage_usage_result *into) {
    uint32_t count = 0;
    count += from->scope != NULL;
    hostel_writer *w = hostel_begin(call, "storage.usage", count);
    if (from->scope != NULL) hostel_put_string(w, "scope"), hostel_put_string(w, from->scope);
    return hostel_send(call) && (hostel_storage_usage_result_read(call->result, into) || hostel_not_read_(call));
}

/* ---- notify ------------------------------------------------------------------------------------------------------ */
typedef struct {
    /* How long to wait for the user; 0 answers at once. Never longer than the limit prompt_wait_ms. (0 – 600,000) Left
       out: 0. */
    hostel_given_int wait_ms;
} hostel_notify_request_params;

typedef struct {
    /* pending: not decided, or not yet; ask again. granted, pending, refused. */
    hostel_text status;
} hostel_notify_request_result;

HOSTEL_SHARED_ bool hostel_notify_request_result_read(hostel_reader map, hostel_notify_request_result *into) {
    bool good = hostel_peek(map) == HOSTEL_MAP;
    good &= hostel_field_text_(map, "status", true, &into->status);
    return good;
}

/** notify.request: Ask the user to subscribe to this program's messages. Capability: notify. Errors: unknown_method,
    capability_undeclared, capability_not_granted, grant_expired, invalid_params, limit_exceeded, rate_limited,
    cashier_busy, not_interactive, unknown_outcome, busy, internal. */
HOSTEL_SHARED_ bool hostel_api_notify_request(hostel_call *call, const hostel_notify_request_params *from,
                                              hostel_notify_request_result *into) {
    uint32_t count = 0;
    count += from->wait_ms.given;
    hostel_writer *w = hostel_begin(call, "notify.request", count);
    if (from->wait_ms.given) hostel_put_string(w, "wait_ms"), hostel_put_int(w, from->wait_ms.value);
    return hostel_send(call) && (hostel_notify_request_result_read(call->result, into) || hostel_not_read_(call));
}

typedef struct {
    /* The id of one of the manifest's notices. (1 – 64 characters) */
    hostel_text template;
    /* A text for each of its placeholders, one clean line of 1 to 64 characters. A map of text. (≤ 8 entries; each key
       1 – 32 characters; each 1 – 256 characters) Left out: nothing. */
    hostel_reader params;
    /* BCP 47: which of the notice's texts. Left out, it is the user's own language. (2 – 35 characters) Left out:
       nothing. */
    hostel_text language;
} hostel_notify_send_params;

typedef struct {
    /* Of the notice, which is kept now for the user's front end. */
    hostel_text id;
} hostel_notify_send_result;

HOSTEL_SHARED_ bool hostel_notify_send_result_read(hostel_reader map, hostel_notify_send_result *into) {
    bool good = hostel_peek(map) == HOSTEL_MAP;
    good &= hostel_field_text_(map, "id", true, &into->id);
    return good;
}

/** notify.send: Send the subscribed user a message, from a template of the manifest; not only while they look.
    Capability: notify. Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired,
    grant_constraint, consent_required, consent_denied, invalid_params, limit_exceeded, unknown_outcome, busy, internal.
    */
HOSTEL_SHARED_ bool hostel_api_notify_send(hostel_call *call, const hostel_notify_send_params *from,
                                           hostel_notify_send_result *into) {
    uint32_t count = 1;
    count += hostel_peek(from->params) != HOSTEL_NONE;
    count += from->language.at != NULL;
    hostel_writer *w = hostel_begin(call, "notify.send", count);
    hostel_put_string(w, "template"), hostel_put_text(w, from->template);
    if (hostel_peek(from->params) != HOSTEL_NONE) hostel_put_string(w, "params"), hostel_put_value(w, from->params);
    if (from->language.at != NULL) hostel_put_string(w, "language"), hostel_put_text(w, from->language);
    return hostel_send(call) && (hostel_notify_send_result_read(call->result, into) || hostel_not_read_(call));
}

/* ---- http -------------------------------------------------------------------------------------------------------- */
/** One HTTPS request. */
typedef struct {
    /* `https://host/path?query`, also with `:port`; the host a full name in ASCII, that the grant names. (1 – 8,192
       characters) */
    hostel_text url;
    /* GET and HEAD have no body, and can be tried again. DELETE, GET, HEAD, PATCH, POST, PUT. Left out: get. */
    const char *method;
    /* Name to value, printable ASCII; not those that are the connection's (`host`, `content-length`, …). A map of text.
       (≤ 32 entries; each key 1 – 64 characters; each ≤ 4,096 characters) Left out: nothing. */
    hostel_reader headers;
    /* At most `fetch_request_bytes`. Left out: nothing. */
    hostel_text body;
    /* For all of it, redirects included; the call's deadline may come sooner. (1 – 600,000) Left out: 5000. */
    hostel_given_int timeout_ms;
    /* How many are followed; the next one is the answer. (0 – 5) Left out: 3. */
    hostel_given_int redirects;
} hostel_http_fetch_params;

/** The answer, whatever its status. */
typedef struct {
    /* From 200 to 999. */
    int64_t status;
    /* Names in lower case; equal ones joined by ", "; no cookies, and none of the connection's own. A map of text. */
    hostel_reader headers;
    /* As it was sent, at most `fetch_response_bytes`; nothing is inflated. */
    hostel_text body;
    /* Where the answer came from, after redirects. */
    hostel_text url;
} hostel_http_fetch_result;

HOSTEL_SHARED_ bool hostel_http_fetch_result_read(hostel_reader map, hostel_http_fetch_result *into) {
    hostel_given_int number;
    bool good = hostel_peek(map) == HOSTEL_MAP;
    good &= hostel_field_int_(map, "status", true, &number), into->status = number.value;
    into->headers = hostel_find(map, "headers");
    good &= hostel_peek(into->headers) != HOSTEL_NONE;
    good &= hostel_field_bytes_(map, "body", true, &into->body);
    good &= hostel_field_text_(map, "url", true, &into->url);
    return good;
}

/** http.fetch: One HTTPS request to a host that the operator granted. Capability: http. Errors: unknown_method,
    capability_undeclared, capability_not_granted, grant_expired, grant_constraint, invalid_params, limit_exceeded,
    address_refused, fetch_failed, unknown_outcome, busy, internal. */
HOSTEL_SHARED_ bool hostel_api_http_fetch(hostel_call *call, const hostel_http_fetch_params *from,
                                          hostel_http_fetch_result *into) {
    uint32_t count = 1;
    count += from->method != NULL;
    count += hostel_peek(from->headers) != HOSTEL_NONE;
    count += from->body.at != NULL;
    count += from->timeout_ms.given;
    count += from->redirects.given;
    hostel_writer *w = hostel_begin(call, "http.fetch", count);
    hostel_put_string(w, "url"), hostel_put_text(w, from->url);
    if (from->method != NULL) hostel_put_string(w, "method"), hostel_put_string(w, from->method);
    if (hostel_peek(from->headers) != HOSTEL_NONE) hostel_put_string(w, "headers"), hostel_put_value(w, from->headers);
    if (from->body.at != NULL) hostel_put_string(w, "body"), hostel_put_bytes(w, from->body);
    if (from->timeout_ms.given) hostel_put_string(w, "timeout_ms"), hostel_put_int(w, from->timeout_ms.value);
    if (from->redirects.given) hostel_put_string(w, "redirects"), hostel_put_int(w, from->redirects.value);
    return hostel_send(call) && (hostel_http_fetch_result_read(call->result, into) || hostel_not_read_(call));
}

/* ---- program ----------------------------------------------------------------------------------------------------- */
typedef struct {
    /* The program to call: one that the grant names. (1 – 128 characters) */
    hostel_text program;
    /* A method of that program. (1 – 64 characters) */
    hostel_text method;
    /* What its method takes. A map. Left out: nothing. */
    hostel_reader params;
    /* Capability → constraints: what it may use of its own grants during this call; all of them where left out. A map
       of map. (≤ 16 entries) Left out: nothing. */
    hostel_reader narrow;
    /* Capability → constraints: what it may do as this program (`program.as_caller`), within this program's grants. A
       map of map. (≤ 16 entries) Left out: nothing. */
    hostel_reader delegate;
    /* CPU time lent to it, out of this call's; half of what is left by default. (≥ 1,000) Left out: nothing. */
    hostel_given_int cpu_us;
    /* Host calls lent to it, out of this call's; half of what is left by default. (≥ 0) Left out: nothing. */
    hostel_given_int host_calls;
} hostel_program_call_params;

typedef struct {
    /* What its method answered. */
    hostel_reader value;
} hostel_program_call_result;

HOSTEL_SHARED_ bool hostel_program_call_result_read(hostel_reader map, hostel_program_call_result *into) {
    bool good = hostel_peek(map) == HOSTEL_MAP;
    into->value = hostel_find(map, "value");
    good &= hostel_peek(into->value) != HOSTEL_NONE;
    return good;
}

/** program.call: Call another program for this call's user; what it uses is paid from this call's budget. Capability:
    program.call. Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired,
    grant_constraint, invalid_params, limit_exceeded, not_found, program_failed, reentrant_call, busy, internal. */
HOSTEL_SHARED_ bool hostel_api_program_call(hostel_call *call, const hostel_program_call_params *from,
                                            hostel_program_call_result *into) {
    uint32_t count = 2;
    count += hostel_peek(from->params) != HOSTEL_NONE;
    count += hostel_peek(from->narrow) != HOSTEL_NONE;
    count += hostel_peek(from->delegate) != HOSTEL_NONE;
    count += from->cpu_us.given;
    count += from->host_calls.given;
    hostel_writer *w = hostel_begin(call, "program.call", count);
    hostel_put_string(w, "program"), hostel_put_text(w, from->program);
    hostel_put_string(w, "method"), hostel_put_text(w, from->method);
    if (hostel_peek(from->params) != HOSTEL_NONE) hostel_put_string(w, "params"), hostel_put_value(w, from->params);
    if (hostel_peek(from->narrow) != HOSTEL_NONE) hostel_put_string(w, "narrow"), hostel_put_value(w, from->narrow);
    if (hostel_peek(from->delegate) != HOSTEL_NONE) hostel_put_string(w, "delegate"), hostel_put_value(w, from->delegate);
    if (from->cpu_us.given) hostel_put_string(w, "cpu_us"), hostel_put_int(w, from->cpu_us.value);
    if (from->host_calls.given) hostel_put_string(w, "host_calls"), hostel_put_int(w, from->host_calls.value);
    return hostel_send(call) && (hostel_program_call_result_read(call->result, into) || hostel_not_read_(call));
}

typedef struct {
    /* A method of the host API, of a capability that was delegated. (1 – 64 characters) */
    hostel_text method;
    /* What that method takes. A map. Left out: nothing. */
    hostel_reader params;
} hostel_program_as_caller_params;

typedef struct {
    /* What that method answers. */
    hostel_reader value;
} hostel_program_as_caller_result;

HOSTEL_SHARED_ bool hostel_program_as_caller_result_read(hostel_reader map, hostel_program_as_caller_result *into) {
    bool good = hostel_peek(map) == HOSTEL_MAP;
    into->value = hostel_find(map, "value");
    good &= hostel_peek(into->value) != HOSTEL_NONE;
    return good;
}

/** program.as_caller: Use what the calling program delegated: the request is carried out as that program's, on its
    account. Errors: unknown_method, capability_undeclared, capability_not_granted, grant_expired, invalid_params,
    limit_exceeded, internal. */
HOSTEL_SHARED_ bool hostel_api_program_as_caller(hostel_call *call, const hostel_program_as_caller_params *from,
                                                 hostel_program_as_caller_result *into) {
    uint32_t count = 1;
    count += hostel_peek(from->params) != HOSTEL_NONE;
    hostel_writer *w = hostel_begin(call, "program.as_caller", count);
    hostel_put_string(w, "method"), hostel_put_text(w, from->method);
    if (hostel_peek(from->params) != HOSTEL_NONE) hostel_put_string(w, "params"), hostel_put_value(w, from->params);
    return hostel_send(call) && (hostel_program_as_caller_result_read(call->result, into) || hostel_not_read_(call));
}

#endif
