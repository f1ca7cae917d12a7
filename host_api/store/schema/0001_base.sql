-- The first schema: clock, storage of programs, ledger, orders, idempotency.
--
-- Written in the subset that SQLite and PostgreSQL share. For PostgreSQL three substitutions are made: STRICT goes, BLOB
-- becomes BYTEA, INTEGER becomes BIGINT (INTEGER PRIMARY KEY an identity column); texts collate by bytes ("C").
-- Times are microseconds since the epoch, amounts whole minor units. A text that is not there is '', never NULL, because it
-- stands in keys. No trigger, no default that reads a clock or makes an id: those come from the caller.

-- The last time the host stored something at: time never goes back behind it, not even across a restart.
CREATE TABLE host_clock (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    last_us INTEGER NOT NULL
) STRICT;
INSERT INTO host_clock (id, last_us) VALUES (1, 0);

-- What programs keep. scope_user '' is the program's own scope.
CREATE TABLE storage_values (
    app_id TEXT NOT NULL,
    scope_user TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    version INTEGER NOT NULL CHECK (version >= 1),
    bytes INTEGER NOT NULL CHECK (bytes >= 0),
    PRIMARY KEY (app_id, scope_user, key)
) STRICT;

-- What a scope uses, kept in the transaction of each change. last_version only grows, so that a key deleted and written
-- again never shows a version it had before.
CREATE TABLE storage_usage (
    app_id TEXT NOT NULL,
    scope_user TEXT NOT NULL,
    bytes INTEGER NOT NULL CHECK (bytes >= 0),
    keys INTEGER NOT NULL CHECK (keys >= 0),
    last_version INTEGER NOT NULL CHECK (last_version >= 0),
    PRIMARY KEY (app_id, scope_user)
) STRICT;

-- owner: the user of a wallet, the program of a merchant account, '' for funding, fee and suspense. It stands nowhere
-- else in the ledger: erasing a user rewrites this one column. Only funding, the world outside, may be overdrawn.
CREATE TABLE accounts (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('funding', 'wallet', 'merchant', 'fee', 'suspense')),
    owner TEXT NOT NULL,
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    debits_pending INTEGER NOT NULL DEFAULT 0 CHECK (debits_pending >= 0),
    debits_posted INTEGER NOT NULL DEFAULT 0 CHECK (debits_posted >= 0),
    credits_pending INTEGER NOT NULL DEFAULT 0 CHECK (credits_pending >= 0),
    credits_posted INTEGER NOT NULL DEFAULT 0 CHECK (credits_posted >= 0),
    UNIQUE (kind, owner, currency),
    CONSTRAINT no_overdraft CHECK (kind = 'funding' OR credits_posted - debits_posted - debits_pending >= 0)
) STRICT;

-- Immutable. id is a hash of what the transfer is for, so that a repeat collides. batch_id is the id of the first transfer
-- of a linked batch. A pending transfer is resolved at most once: pending_id is unique.
CREATE TABLE transfers (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    batch_id BLOB NOT NULL CHECK (length(batch_id) = 16),
    kind TEXT NOT NULL,
    phase TEXT NOT NULL CHECK (phase IN ('single', 'pending', 'post', 'void')),
    debit_account INTEGER NOT NULL REFERENCES accounts (id),
    credit_account INTEGER NOT NULL REFERENCES accounts (id),
    amount INTEGER NOT NULL CHECK (amount BETWEEN 1 AND 1000000000000),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    pending_id BLOB UNIQUE REFERENCES transfers (id),
    expires_us INTEGER,
    order_id TEXT NOT NULL,
    refund_id TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    CHECK (debit_account <> credit_account),
    CHECK ((phase IN ('post', 'void')) = (pending_id IS NOT NULL)),
    CHECK ((phase = 'pending') = (expires_us IS NOT NULL))
) STRICT;
CREATE INDEX transfers_by_order ON transfers (order_id);
CREATE INDEX transfers_by_expiry ON transfers (expires_us) WHERE expires_us IS NOT NULL;

-- What a program's merchant account pays the platform for each capture.
CREATE TABLE merchants (
    app_id TEXT PRIMARY KEY,
    fee_bps INTEGER NOT NULL CHECK (fee_bps BETWEEN 0 AND 10000),
    fee_fixed INTEGER NOT NULL CHECK (fee_fixed BETWEEN 0 AND 1000000000000)
) STRICT;

-- (app_id, out_trade_no) is unique for ever: the business key that protects when idempotency rows are long gone.
-- authorized, finished, captured < amount and refunded > 0 wait for manual capture and refunds.
CREATE TABLE orders (
    id TEXT PRIMARY KEY,
    app_id TEXT NOT NULL,
    user_id TEXT NOT NULL CHECK (user_id <> ''),
    out_trade_no TEXT NOT NULL,
    amount INTEGER NOT NULL CHECK (amount BETWEEN 1 AND 1000000000000),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    subject TEXT NOT NULL,
    capture TEXT NOT NULL CHECK (capture IN ('auto', 'manual')),
    status TEXT NOT NULL
        CHECK (status IN ('pending', 'confirming', 'authorized', 'succeeded', 'finished', 'closed')),
    close_reason TEXT NOT NULL,
    declines INTEGER NOT NULL CHECK (declines >= 0),
    captured INTEGER NOT NULL,
    refunded INTEGER NOT NULL,
    fee INTEGER NOT NULL,
    version INTEGER NOT NULL CHECK (version >= 1),
    created_us INTEGER NOT NULL,
    expires_us INTEGER NOT NULL CHECK (expires_us > created_us),
    UNIQUE (app_id, out_trade_no),
    CHECK ((status = 'closed') = (close_reason <> '')),
    CHECK ((status IN ('succeeded', 'finished')) = (captured > 0)),
    CHECK (0 <= refunded AND refunded <= captured AND captured <= amount),
    CHECK (0 <= fee AND fee <= captured)
) STRICT;
CREATE INDEX orders_by_user ON orders (app_id, user_id, created_us);

-- The user's yes. The digest covers order, version, amount, currency and payee: what was on the cashier's screen.
CREATE TABLE confirmations (
    order_id TEXT PRIMARY KEY REFERENCES orders (id),
    order_version INTEGER NOT NULL,
    amount INTEGER NOT NULL,
    currency TEXT NOT NULL,
    payee TEXT NOT NULL,
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    confirmed_us INTEGER NOT NULL
) STRICT;

-- What counts against the amounts a user may pay a program: written in the transaction that takes the money.
CREATE TABLE payment_usage (
    order_id TEXT PRIMARY KEY REFERENCES orders (id),
    app_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    currency TEXT NOT NULL,
    amount INTEGER NOT NULL CHECK (amount BETWEEN 1 AND 1000000000000),
    at_us INTEGER NOT NULL
) STRICT;
CREATE INDEX payment_usage_by_user ON payment_usage (app_id, user_id, currency, at_us);

-- One row a key, in the transaction of its effect: the outcome that a replay is answered with.
CREATE TABLE idempotency (
    app_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    method TEXT NOT NULL,
    key TEXT NOT NULL,
    schema_version INTEGER NOT NULL CHECK (schema_version >= 1),
    fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 32),
    outcome BLOB NOT NULL,
    created_us INTEGER NOT NULL,
    PRIMARY KEY (app_id, user_id, method, key)
) STRICT;
CREATE INDEX idempotency_by_age ON idempotency (created_us);
