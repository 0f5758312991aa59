-- Batches: what is to be done with the lines of a file, and how far that is. `output` and `rejects` are
-- the files that they make; up to `output_bytes` and `reject_bytes` those are on the disk and count.
CREATE TABLE batches (
    id            TEXT PRIMARY KEY,
    account       TEXT NOT NULL,
    key           TEXT NOT NULL,
    endpoint      TEXT NOT NULL,
    input         TEXT NOT NULL,
    output        TEXT NOT NULL,
    rejects       TEXT NOT NULL,
    status        TEXT NOT NULL,
    metadata      TEXT NOT NULL,
    tags          TEXT NOT NULL,
    keep_seconds  INTEGER,
    model         TEXT,
    problems      TEXT,
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    begun_at      INTEGER,
    finalizing_at INTEGER,
    cancelling_at INTEGER,
    ended_at      INTEGER,
    total         INTEGER NOT NULL,
    completed     INTEGER NOT NULL,
    failed        INTEGER NOT NULL,
    output_bytes  INTEGER NOT NULL,
    reject_bytes  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX batches_by_account ON batches (account, created_at, id);
CREATE INDEX batches_unfinished ON batches (created_at) WHERE ended_at IS NULL;
