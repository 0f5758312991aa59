-- The ledger's file. `user_version` is the schema's number; a newer file is refused at start.

-- Price cards as they stood when an entry first used them: an old statement is recomputed from here,
-- whatever the configuration says today.
CREATE TABLE cards (
    version    TEXT PRIMARY KEY,
    card       TEXT NOT NULL,
    first_used INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Holds that are open. A row goes in when a call is admitted and comes out with its entries, in one
-- transaction; what is found here at start was in flight when the last run died.
CREATE TABLE holds (
    seq              INTEGER PRIMARY KEY,
    id               BLOB NOT NULL,
    at               INTEGER NOT NULL,
    deadline         INTEGER NOT NULL,
    charged_account  TEXT NOT NULL,
    account          TEXT NOT NULL,
    key              TEXT NOT NULL,
    endpoint         TEXT NOT NULL,
    asked_model      TEXT NOT NULL,
    tags             TEXT,
    stream           INTEGER NOT NULL,
    provider         TEXT NOT NULL,
    model            TEXT NOT NULL,
    card             TEXT NOT NULL,
    input            INTEGER NOT NULL,
    input_provenance TEXT NOT NULL,
    held_requests    INTEGER NOT NULL,
    held_input       INTEGER NOT NULL,
    held_output      INTEGER NOT NULL,
    held_cost        INTEGER NOT NULL,
    attempt          INTEGER NOT NULL,
    output_seen      INTEGER NOT NULL
) STRICT;

-- The state of every limit, as of the last committed event. `period` is the start of the window the
-- row counts, 0 where the limit has none; `limit_key` is empty for an account's lifetime totals.
CREATE TABLE balances (
    account   TEXT NOT NULL,
    limit_key TEXT NOT NULL,
    period    INTEGER NOT NULL,
    fields    BLOB NOT NULL,
    PRIMARY KEY (account, limit_key, period)
) STRICT, WITHOUT ROWID;

-- The ledger: one immutable row an attempt. A correction is a new row.
-- Money is in nano-dollars, times in microseconds since the Unix epoch, UTC.
CREATE TABLE entries (
    seq               INTEGER PRIMARY KEY,
    id                BLOB NOT NULL,
    attempt           INTEGER NOT NULL,
    kind              TEXT NOT NULL,
    at                INTEGER NOT NULL,
    received_at       INTEGER NOT NULL,
    account           TEXT NOT NULL,
    key               TEXT NOT NULL,
    endpoint          TEXT NOT NULL,
    asked_model       TEXT NOT NULL,
    provider          TEXT NOT NULL,
    model             TEXT NOT NULL,
    prompt            TEXT,
    tags              TEXT,
    stream            INTEGER NOT NULL,
    outcome           TEXT NOT NULL,
    status            INTEGER,
    error             TEXT,
    requests          INTEGER NOT NULL,
    input             INTEGER,
    cache_read        INTEGER,
    cache_write       INTEGER,
    cache_write_long  INTEGER,
    audio_input       INTEGER,
    image_input       INTEGER,
    output            INTEGER,
    reasoning         INTEGER,
    audio_output      INTEGER,
    image_output      INTEGER,
    web_search        INTEGER,
    input_provenance  TEXT,
    output_provenance TEXT,
    counted_input     INTEGER NOT NULL,
    delivered_output  INTEGER NOT NULL,
    posted_input      INTEGER NOT NULL,
    posted_output     INTEGER NOT NULL,
    card              TEXT NOT NULL,
    charged           INTEGER NOT NULL,
    owed              INTEGER NOT NULL,
    markup            INTEGER NOT NULL,
    absorbed          INTEGER NOT NULL,
    saved             INTEGER NOT NULL,
    held              INTEGER NOT NULL,
    first_byte_us     INTEGER,
    total_us          INTEGER NOT NULL,
    hash              BLOB NOT NULL
) STRICT;
CREATE INDEX entries_by_id ON entries (id);
CREATE INDEX entries_by_account ON entries (account, received_at);

-- Credentials of tenants. Only a keyed digest of the secret is stored.
CREATE TABLE keys (
    id         TEXT PRIMARY KEY,
    digest     BLOB NOT NULL,
    account    TEXT NOT NULL,
    name       TEXT NOT NULL,
    hint       TEXT NOT NULL,
    limits     TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;

-- Limits an administrator added while running, beside those of the configuration.
CREATE TABLE extra_limits (
    account  TEXT NOT NULL,
    text     TEXT NOT NULL,
    added_at INTEGER NOT NULL,
    PRIMARY KEY (account, text)
) STRICT, WITHOUT ROWID;

-- Idempotency keys: bound to their call with its hold, answered when the reply is whole. A key without
-- a body at start was in flight when the last run died.
CREATE TABLE replies (
    account      TEXT NOT NULL,
    endpoint     TEXT NOT NULL,
    key          TEXT NOT NULL,
    digest       BLOB NOT NULL,
    id           BLOB NOT NULL,
    at           INTEGER NOT NULL,
    content_type TEXT,
    body         BLOB,
    PRIMARY KEY (account, endpoint, key)
) STRICT;
CREATE INDEX replies_by_age ON replies (at);

-- What was learned from replies, so that a restart does not forget it: corrections of counts and sizes
-- of outputs, as their owners write them.
CREATE TABLE learned (
    kind  TEXT NOT NULL,
    name  TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;
