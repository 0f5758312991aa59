-- What an administrator decides while the gateway runs, beside keys and added limits.

-- Accounts that were put on another plan than the configuration says.
CREATE TABLE account_plans (
    account TEXT PRIMARY KEY,
    plan    TEXT NOT NULL,
    since   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Limits of an account that are higher for a time; without an end, until they are taken back.
CREATE TABLE raises (
    id         TEXT PRIMARY KEY,
    account    TEXT NOT NULL,
    text       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    ended_at   INTEGER
) STRICT, WITHOUT ROWID;

-- Requests of accounts for more. `state` is open, accepted or refused.
CREATE TABLE budget_requests (
    id         TEXT PRIMARY KEY,
    account    TEXT NOT NULL,
    key        TEXT NOT NULL,
    text       TEXT NOT NULL,
    reason     TEXT NOT NULL,
    wanted_to  INTEGER,
    filed_at   INTEGER NOT NULL,
    state      TEXT NOT NULL,
    decided_at INTEGER,
    note       TEXT,
    became     TEXT
) STRICT, WITHOUT ROWID;

-- Runs: children of an account, minted with a budget and an end.
CREATE TABLE runs (
    id         TEXT PRIMARY KEY,
    digest     BLOB NOT NULL,
    hint       TEXT NOT NULL,
    account    TEXT NOT NULL,
    parent     TEXT NOT NULL,
    key        TEXT NOT NULL,
    name       TEXT NOT NULL,
    limits     TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    stopped_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX runs_by_end ON runs (expires_at);
CREATE INDEX runs_by_account ON runs (account, created_at);
