-- Sessions of front ends that were ended before their time, and when prompts were shown. Same rules as 0001_base.sql.

-- Tokens of this user made up to before_us count no more. user_hash: keyed with the key that signs tokens, so that the
-- row says nothing of who it is about. It goes when the last of those tokens would be over by itself.
CREATE TABLE ended_sessions (
    user_hash BLOB PRIMARY KEY CHECK (length(user_hash) = 32),
    before_us INTEGER NOT NULL CHECK (before_us >= 0),
    gone_us INTEGER NOT NULL CHECK (gone_us > before_us)
) STRICT;
CREATE INDEX ended_sessions_by_end ON ended_sessions (gone_us);

-- When the prompt's token was issued last: it is shown from then on. 0: never.
ALTER TABLE prompts ADD COLUMN issued_us INTEGER NOT NULL DEFAULT 0;
