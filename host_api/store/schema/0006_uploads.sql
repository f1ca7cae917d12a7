-- Uploads that did not become a release, and the file that each release came in. Same rules as 0001_base.sql.

-- One a bundle that was looked at, or is being looked at, and did not become a release: it counts as one of its
-- developer's day. Rows go when they are a day old.
CREATE TABLE refused_uploads (
    n INTEGER PRIMARY KEY,
    developer TEXT NOT NULL REFERENCES developers (id),
    begun_us INTEGER NOT NULL
) STRICT;
CREATE INDEX refused_uploads_by_developer ON refused_uploads (developer, begun_us);
CREATE INDEX refused_uploads_by_age ON refused_uploads (begun_us);

-- Of a developer's upload, so that the same file is known again without a look into it; NULL where it is not known.
ALTER TABLE releases ADD COLUMN file_sha256 BLOB CHECK (file_sha256 IS NULL OR length(file_sha256) = 32);
CREATE INDEX releases_by_file ON releases (file_sha256) WHERE file_sha256 IS NOT NULL;
