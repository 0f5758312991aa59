-- What is to be told to the outside, kept in the transaction of what it tells of. `about` is what it is
-- about, so that nothing is told twice; `body` is sent byte for byte, however often it takes.
CREATE TABLE outbox (
    id           TEXT PRIMARY KEY,
    about        TEXT NOT NULL UNIQUE,
    kind         TEXT NOT NULL,
    at           INTEGER NOT NULL,
    body         TEXT NOT NULL,
    attempts     INTEGER NOT NULL DEFAULT 0,
    next_at      INTEGER,
    delivered_at INTEGER,
    error        TEXT
) STRICT, WITHOUT ROWID;

-- Those that are still to be sent: `next_at` is empty once a message is delivered, or given up.
CREATE INDEX outbox_due ON outbox (next_at) WHERE next_at IS NOT NULL;
