-- Prompts that belong to an account. Others see one only while they subscribe to it; a prompt that is not
-- here is everybody's. `offered` is whether others may ask for it.
CREATE TABLE prompt_owners (
    prompt  TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    offered INTEGER NOT NULL,
    since   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Subscriptions to them. `state` is open, accepted, refused or ended; `limits` has one limit a line.
CREATE TABLE prompt_subscriptions (
    id         TEXT PRIMARY KEY,
    prompt     TEXT NOT NULL,
    owner      TEXT NOT NULL,
    account    TEXT NOT NULL,
    key        TEXT NOT NULL,
    limits     TEXT NOT NULL,
    reason     TEXT NOT NULL,
    filed_at   INTEGER NOT NULL,
    state      TEXT NOT NULL,
    decided_at INTEGER,
    note       TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX prompt_subscriptions_live ON prompt_subscriptions (prompt, account)
    WHERE state IN ('open', 'accepted');
