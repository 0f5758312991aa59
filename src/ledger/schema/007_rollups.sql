-- Roll-ups: the sums of rows that have all of these in common and came in within one quarter of an
-- hour. They are written in the transaction of the rows they sum, and `audit` compares them.
CREATE TABLE facets (
    id          INTEGER PRIMARY KEY,
    account     TEXT NOT NULL,
    key         TEXT NOT NULL,
    endpoint    TEXT NOT NULL,
    asked_model TEXT NOT NULL,
    provider    TEXT NOT NULL,
    model       TEXT NOT NULL,
    prompt      TEXT NOT NULL,
    tags        TEXT NOT NULL,
    outcome     TEXT NOT NULL,
    UNIQUE (account, key, endpoint, asked_model, provider, model, prompt, tags, outcome)
) STRICT;

-- `quarter` counts quarters of an hour since the Unix epoch, by when the call came in: every zone's
-- hours and days begin with one. Times are histograms; see `rollup/times.rs`.
CREATE TABLE rollups (
    facet              INTEGER NOT NULL REFERENCES facets (id),
    quarter            INTEGER NOT NULL,
    requests           INTEGER NOT NULL,
    attempts           INTEGER NOT NULL,
    incomplete         INTEGER NOT NULL,
    errors             INTEGER NOT NULL,
    input_tokens       INTEGER NOT NULL,
    cache_read_tokens  INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    output_tokens      INTEGER NOT NULL,
    reasoning_tokens   INTEGER NOT NULL,
    reported           INTEGER NOT NULL,
    tokenized          INTEGER NOT NULL,
    estimated          INTEGER NOT NULL,
    charged            INTEGER NOT NULL,
    owed               INTEGER NOT NULL,
    markup             INTEGER NOT NULL,
    absorbed           INTEGER NOT NULL,
    saved              INTEGER NOT NULL,
    latency            BLOB NOT NULL,
    first_byte         BLOB NOT NULL,
    PRIMARY KEY (facet, quarter)
) STRICT, WITHOUT ROWID;

-- The last row of `entries` that the roll-ups have. What is beyond it is added at the next start.
CREATE TABLE rolled (
    only  INTEGER PRIMARY KEY CHECK (only = 1),
    up_to INTEGER NOT NULL
) STRICT;
INSERT INTO rolled (only, up_to) VALUES (1, 0);

CREATE INDEX entries_by_time ON entries (received_at);
