-- Programs that are scripts: what the host's JavaScript engine is given, by hash, each once however many releases have it.
--
-- Same rules as 0001_base.sql.

CREATE TABLE scripts (
    sha256 BLOB PRIMARY KEY CHECK (length(sha256) = 32),
    bytes INTEGER NOT NULL CHECK (bytes = length(image)),
    image BLOB NOT NULL
) STRICT;

-- NULL where the program is a module; else module_sha256 is the engine that the script was checked with.
ALTER TABLE releases ADD COLUMN script_sha256 BLOB REFERENCES scripts (sha256);
CREATE INDEX releases_by_script ON releases (script_sha256) WHERE script_sha256 IS NOT NULL;
