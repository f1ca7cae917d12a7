-- The registry: developers and their keys, modules and assets by hash, releases, programs, who tries a release.
--
-- Same rules as 0001_base.sql. Every look-up is by a key, every list goes on after one. A hash is 32 bytes; a text of JSON
-- holds what is read whole and never searched.

-- Who owns programs. trust: platform (the operator's own), reviewed, unreviewed. limits: what differs from the host's.
CREATE TABLE developers (
    id TEXT PRIMARY KEY CHECK (id <> ''),
    name TEXT NOT NULL UNIQUE CHECK (name <> ''),
    trust TEXT NOT NULL CHECK (trust IN ('platform', 'reviewed', 'unreviewed')),
    limits TEXT NOT NULL,
    created_us INTEGER NOT NULL
) STRICT;

-- Never deleted: whose key signed what is known for ever. valid_until_us and revoked_us: 0 for never. rotated_from: the key
-- whose owner vouched for this one, '' where the operator did.
CREATE TABLE developer_keys (
    key_id TEXT PRIMARY KEY CHECK (length(key_id) = 32),
    developer TEXT NOT NULL REFERENCES developers (id),
    public_key TEXT NOT NULL,
    valid_from_us INTEGER NOT NULL CHECK (valid_from_us >= 0),
    valid_until_us INTEGER NOT NULL,
    revoked_us INTEGER NOT NULL DEFAULT 0 CHECK (revoked_us >= 0),
    revoke_reason TEXT NOT NULL DEFAULT '',
    rotated_from TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    CHECK (valid_until_us = 0 OR valid_until_us > valid_from_us),
    CHECK ((revoked_us = 0) = (revoke_reason = ''))
) STRICT;
CREATE INDEX developer_keys_by_developer ON developer_keys (developer, key_id);

CREATE INDEX program_owners_by_developer ON program_owners (developer, app_id);

-- Each once, however many releases have it: a template of a million merchants is one row.
CREATE TABLE modules (
    sha256 BLOB PRIMARY KEY CHECK (length(sha256) = 32),
    bytes INTEGER NOT NULL CHECK (bytes = length(wasm)),
    wasm BLOB NOT NULL
) STRICT;

-- A bundle's other members, the manifest left out: a list of them by the hash over its paths and hashes, contents by theirs.
CREATE TABLE assets (
    sha256 BLOB PRIMARY KEY CHECK (length(sha256) = 32),
    bytes INTEGER NOT NULL CHECK (bytes = length(content)),
    content BLOB NOT NULL
) STRICT;
CREATE TABLE asset_lists (
    list_sha256 BLOB NOT NULL CHECK (length(list_sha256) = 32),
    path TEXT NOT NULL,
    sha256 BLOB NOT NULL REFERENCES assets (sha256),
    PRIMARY KEY (list_sha256, path)
) STRICT;
CREATE INDEX asset_lists_by_asset ON asset_lists (sha256);

-- One a version code of a program. developer: '' where nobody vouches for it. signed_by: the key, '' for an unsigned one.
-- facts: what a call needs of the manifest and the module. grants, limits, config, payee: what the operator gave with the
-- approval, and changed since. reviewed: somebody looked at it, and who signed it is known. reason: the reviewer's, for the
-- developer. ended_us: when it was full the last time and was followed by another; 0 if never.
CREATE TABLE releases (
    app_id TEXT NOT NULL CHECK (app_id <> ''),
    code INTEGER NOT NULL CHECK (code >= 1),
    name TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN
        ('submitted', 'rejected', 'approved', 'trial', 'gray', 'full', 'superseded', 'rolled_back', 'offline')),
    identity BLOB NOT NULL CHECK (length(identity) = 32),
    developer TEXT NOT NULL,
    signed_by TEXT NOT NULL,
    module_sha256 BLOB NOT NULL REFERENCES modules (sha256),
    assets_sha256 BLOB NOT NULL CHECK (length(assets_sha256) = 32),
    reviewed INTEGER NOT NULL CHECK (reviewed IN (0, 1)),
    payee TEXT NOT NULL,
    uploaded_us INTEGER NOT NULL,
    decided_us INTEGER NOT NULL DEFAULT 0 CHECK (decided_us >= 0),
    ended_us INTEGER NOT NULL DEFAULT 0 CHECK (ended_us >= 0),
    reason TEXT NOT NULL DEFAULT '',
    facts TEXT NOT NULL,
    grants TEXT NOT NULL,
    limits TEXT NOT NULL,
    config BLOB NOT NULL CHECK (length(config) <= 16384),
    report TEXT NOT NULL,
    PRIMARY KEY (app_id, code),
    CHECK ((status = 'submitted') = (decided_us = 0)),
    CHECK (status <> 'rejected' OR reason <> ''),
    CHECK (status NOT IN ('superseded', 'rolled_back') OR ended_us > 0)
) STRICT;
CREATE INDEX releases_by_developer ON releases (developer, uploaded_us);
CREATE INDEX releases_submitted ON releases (uploaded_us, app_id, code) WHERE status = 'submitted';
CREATE INDEX releases_pending_by_developer ON releases (developer) WHERE status = 'submitted';
CREATE INDEX releases_by_key ON releases (signed_by, app_id, code) WHERE signed_by <> '';
CREATE INDEX releases_by_module ON releases (module_sha256);
CREATE INDEX releases_by_assets ON releases (assets_sha256);
CREATE UNIQUE INDEX releases_running ON releases (app_id) WHERE status IN ('full', 'offline');
CREATE UNIQUE INDEX releases_tried ON releases (app_id) WHERE status IN ('trial', 'gray');

-- What an app_id names. current_code: the release that everybody gets, 0 before the first; candidate_code: the one that
-- some get, 0 for none: its trial users, and in stage gray also share of 10,000 of all users. killed, quarantined: why, ''
-- if it is not. leaving: it is being uninstalled. Whose it is stands in program_owners, which outlives this row.
CREATE TABLE programs (
    app_id TEXT PRIMARY KEY CHECK (app_id <> ''),
    current_code INTEGER NOT NULL,
    candidate_code INTEGER NOT NULL DEFAULT 0,
    stage TEXT NOT NULL DEFAULT '' CHECK (stage IN ('', 'trial', 'gray')),
    share INTEGER NOT NULL DEFAULT 0 CHECK (share BETWEEN 0 AND 10000),
    min_code INTEGER NOT NULL DEFAULT 0 CHECK (min_code BETWEEN 0 AND current_code),
    offline INTEGER NOT NULL DEFAULT 0 CHECK (offline IN (0, 1)),
    leaving INTEGER NOT NULL DEFAULT 0 CHECK (leaving IN (0, 1)),
    killed TEXT NOT NULL DEFAULT '',
    quarantined TEXT NOT NULL DEFAULT '',
    sector TEXT NOT NULL,
    isolation TEXT NOT NULL DEFAULT 'shared' CHECK (isolation IN ('shared', 'dedicated')),
    installed_us INTEGER NOT NULL,
    changed_us INTEGER NOT NULL,
    CHECK ((candidate_code = 0) = (stage = '')),
    CHECK (candidate_code = 0 OR candidate_code > current_code),
    CHECK (stage = 'gray' OR share = 0)
) STRICT;

-- Users who get a program's candidate, whatever the share.
CREATE TABLE trial_users (
    app_id TEXT NOT NULL REFERENCES programs (app_id),
    user_id TEXT NOT NULL CHECK (user_id <> ''),
    PRIMARY KEY (app_id, user_id)
) STRICT;
CREATE INDEX trial_users_by_user ON trial_users (user_id, app_id);
