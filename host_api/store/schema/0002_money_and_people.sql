-- Manual capture, refunds, the outbox of events, the audit, open prompts, consents, users, notices.
--
-- Same rules as 0001_base.sql. `due_us` is when something happens to a row by itself; 0: never.

ALTER TABLE orders ADD COLUMN hold_until_us INTEGER NOT NULL DEFAULT 0;
ALTER TABLE orders ADD COLUMN captured_us INTEGER NOT NULL DEFAULT 0;
ALTER TABLE orders ADD COLUMN fee_returned INTEGER NOT NULL DEFAULT 0 CHECK (0 <= fee_returned AND fee_returned <= fee);
ALTER TABLE orders ADD COLUMN due_us INTEGER NOT NULL DEFAULT 0;
-- The version up to which nothing was told: 0 but for orders older than the outbox and the audit.
ALTER TABLE orders ADD COLUMN untold INTEGER NOT NULL DEFAULT 0 CHECK (untold >= 0);
-- Its last record in the audit, where each names the one before: 0 for none.
ALTER TABLE orders ADD COLUMN audit_n INTEGER NOT NULL DEFAULT 0 CHECK (audit_n >= 0);
-- What stood on a prompt is gone with the process that wrote this state: such an order waits to be asked for again.
UPDATE orders SET status = 'pending', version = version + 1 WHERE status = 'confirming';
UPDATE orders SET due_us = expires_us WHERE status = 'pending';
UPDATE orders SET captured_us = (SELECT confirmed_us FROM confirmations WHERE confirmations.order_id = orders.id)
    WHERE status = 'succeeded';
UPDATE orders SET due_us = captured_us + 7776000000000 WHERE status = 'succeeded';
UPDATE orders SET untold = version;
CREATE INDEX orders_by_due ON orders (due_us) WHERE due_us > 0;
CREATE INDEX orders_unpaid ON orders (app_id, user_id) WHERE status IN ('pending', 'confirming', 'authorized');

-- As it was, but for its order: a list of keys does not read past the values to find how long they are.
CREATE TABLE storage_values_anew (
    app_id TEXT NOT NULL,
    scope_user TEXT NOT NULL,
    key TEXT NOT NULL,
    version INTEGER NOT NULL CHECK (version >= 1),
    bytes INTEGER NOT NULL CHECK (bytes >= 0),
    value BLOB NOT NULL,
    PRIMARY KEY (app_id, scope_user, key)
) STRICT;
INSERT INTO storage_values_anew (app_id, scope_user, key, version, bytes, value)
    SELECT app_id, scope_user, key, version, bytes, value FROM storage_values;
DROP TABLE storage_values;
ALTER TABLE storage_values_anew RENAME TO storage_values;

-- Holds are found by their orders.
DROP INDEX transfers_by_expiry;
-- Deposits and what was forfeited, by the wallet.
CREATE INDEX transfers_in_without_order ON transfers (credit_account, seq) WHERE order_id = '';
CREATE INDEX transfers_out_without_order ON transfers (debit_account, seq) WHERE order_id = '';
CREATE INDEX orders_held_of_user ON orders (user_id, currency, due_us) WHERE status = 'authorized';
CREATE INDEX orders_held_for_program ON orders (app_id, currency, due_us) WHERE status = 'authorized';

-- For how many keys a program and user used of late; the user first, for all that is kept of one.
CREATE INDEX idempotency_by_user ON idempotency (user_id, app_id, created_us);
DROP INDEX orders_by_user;
CREATE INDEX orders_by_user ON orders (user_id, app_id, created_us);
DROP INDEX payment_usage_by_user;
CREATE INDEX payment_usage_by_user ON payment_usage (user_id, app_id, currency, at_us, amount);
CREATE INDEX storage_usage_by_user ON storage_usage (scope_user);

-- One a (order, out_request_no), for ever. Money that came back; reason is the program's own word.
CREATE TABLE refunds (
    id TEXT PRIMARY KEY,
    order_id TEXT NOT NULL REFERENCES orders (id),
    out_request_no TEXT NOT NULL,
    amount INTEGER NOT NULL CHECK (amount BETWEEN 1 AND 1000000000000),
    fee_returned INTEGER NOT NULL CHECK (0 <= fee_returned AND fee_returned <= amount),
    reason TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    UNIQUE (order_id, out_request_no)
) STRICT;

-- The outbox: written in the transaction of the change it tells. stream is the order (or other thing) that changed,
-- app_seq counts the program's events; stream_seq the stream's, from 1 without a gap; an acknowledgement covers all events of a stream up to its own.
-- next_us: when the event is pushed next. 0: not by itself, because it is acknowledged, waits for the one before it, or
-- was pushed as often as an event is. seq only grows: the row with the highest one is never deleted.
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    app_id TEXT NOT NULL,
    app_seq INTEGER NOT NULL CHECK (app_seq >= 1),
    user_id TEXT NOT NULL,
    stream TEXT NOT NULL,
    stream_seq INTEGER NOT NULL CHECK (stream_seq >= 1),
    topic TEXT NOT NULL,
    payload TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    next_us INTEGER NOT NULL,
    acked_us INTEGER NOT NULL DEFAULT 0,
    UNIQUE (app_id, app_seq),
    UNIQUE (app_id, stream, stream_seq),
    CHECK (next_us = 0 OR acked_us = 0)
) STRICT;
CREATE INDEX events_by_due ON events (app_id, next_us) WHERE next_us > 0;
CREATE INDEX events_by_user ON events (user_id, app_id, app_seq);
CREATE INDEX events_given_up ON events (app_id) WHERE next_us = 0 AND attempts > 0 AND acked_us = 0;
CREATE INDEX events_by_age ON events (acked_us) WHERE acked_us > 0;

-- How many events each program had: what it is told of an event is its number among its own, or it would count those of
-- its neighbours.
CREATE TABLE event_programs (
    app_id TEXT PRIMARY KEY,
    last_seq INTEGER NOT NULL CHECK (last_seq >= 1)
) STRICT;

-- How far each stream is: kept when its events are gone, so that no number comes twice.
CREATE TABLE event_streams (
    app_id TEXT NOT NULL,
    stream TEXT NOT NULL,
    last_seq INTEGER NOT NULL CHECK (last_seq >= 1),
    acked_seq INTEGER NOT NULL DEFAULT 0 CHECK (0 <= acked_seq AND acked_seq <= last_seq),
    PRIMARY KEY (app_id, stream)
) STRICT;

-- Whose a program's id is: the developer of its first signed release.
CREATE TABLE program_owners (
    app_id TEXT PRIMARY KEY,
    developer TEXT NOT NULL
) STRICT;

-- The audit: hash = SHA-256 over domain, n, the hash before, and the record as it stands here. For ever.
CREATE TABLE audit (
    n INTEGER PRIMARY KEY,
    record TEXT NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

-- A user's salt: what the audit says of a user is a commitment under it, and means nobody once the row is gone.
CREATE TABLE subjects (
    user_id TEXT PRIMARY KEY CHECK (user_id <> ''),
    salt BLOB NOT NULL CHECK (length(salt) = 16)
) STRICT;

-- Prompts that wait for their user; at most one a program and user. shown is what the front end draws (JSON), digest
-- covers it. The token is never stored, only its hash; empty until a front end asked for one.
CREATE TABLE prompts (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('payment', 'consent')),
    app_id TEXT NOT NULL,
    user_id TEXT NOT NULL CHECK (user_id <> ''),
    about TEXT NOT NULL,
    shown TEXT NOT NULL,
    bounds TEXT NOT NULL,
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    token_hash BLOB NOT NULL,
    opened_us INTEGER NOT NULL,
    expires_us INTEGER NOT NULL CHECK (expires_us > opened_us),
    UNIQUE (app_id, user_id)
) STRICT;
CREATE INDEX prompts_by_user ON prompts (user_id);
CREATE INDEX prompts_by_opening ON prompts (opened_us, id);
CREATE INDEX prompts_by_expiry ON prompts (expires_us);

-- How often a user said no to a program in a row, and when the prompts that opened without a yes were due at their pace:
-- what the cool-down is computed from. At gone_us neither counts any more.
CREATE TABLE prompt_declines (
    app_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    declines INTEGER NOT NULL CHECK (declines >= 0),
    last_us INTEGER NOT NULL,
    paced_us INTEGER NOT NULL,
    gone_us INTEGER NOT NULL,
    PRIMARY KEY (app_id, user_id)
) STRICT;
CREATE INDEX prompt_declines_by_user ON prompt_declines (user_id);
CREATE INDEX prompt_declines_by_age ON prompt_declines (gone_us);

-- The user's word on one scope: with the very text that was shown, and its language.
CREATE TABLE consents (
    app_id TEXT NOT NULL,
    user_id TEXT NOT NULL CHECK (user_id <> ''),
    scope TEXT NOT NULL,
    given INTEGER NOT NULL CHECK (given IN (0, 1)),
    purpose_version TEXT NOT NULL,
    purpose TEXT NOT NULL,
    language TEXT NOT NULL,
    decided_us INTEGER NOT NULL,
    expires_us INTEGER NOT NULL,
    PRIMARY KEY (app_id, user_id, scope)
) STRICT;
CREATE INDEX consents_by_user ON consents (user_id);

-- The embedded directory of users: one row a field that is known.
CREATE TABLE user_fields (
    user_id TEXT NOT NULL CHECK (user_id <> ''),
    field TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (user_id, field)
) STRICT;

-- Messages from programs to their users, until the front end has taken them: then the text goes, and the row at gone_us,
-- when it counts no more.
CREATE TABLE notices (
    id TEXT PRIMARY KEY,
    app_id TEXT NOT NULL,
    user_id TEXT NOT NULL CHECK (user_id <> ''),
    template TEXT NOT NULL,
    text TEXT NOT NULL,
    language TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    taken_us INTEGER NOT NULL DEFAULT 0,
    gone_us INTEGER NOT NULL
) STRICT;
CREATE INDEX notices_by_age ON notices (gone_us);
CREATE INDEX notices_by_user ON notices (user_id, created_us);
CREATE INDEX notices_waiting ON notices (created_us, id) WHERE taken_us = 0;
CREATE INDEX notices_by_app ON notices (app_id, user_id, created_us);

-- Which key what is kept was made with (`keys/` in the state directory holds the keys): another one is noticed.
CREATE TABLE host_keys (
    purpose TEXT PRIMARY KEY,
    key_id TEXT NOT NULL,
    created_us INTEGER NOT NULL
) STRICT;

-- Users who are being erased, and the name that stands for each from then on: until the last of their rows is gone.
CREATE TABLE erasures (
    user_id TEXT PRIMARY KEY CHECK (user_id <> ''),
    tombstone TEXT NOT NULL
) STRICT;

-- Erasures, and how many of them no file of the state holds any bytes of any more.
CREATE TABLE scrubs (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    asked INTEGER NOT NULL,
    done INTEGER NOT NULL CHECK (done <= asked)
) STRICT;
INSERT INTO scrubs (id, asked, done) VALUES (1, 0, 0);
