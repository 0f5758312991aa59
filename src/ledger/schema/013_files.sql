-- Files that clients sent, or that batches made: what they are. Their contents lie beside the database,
-- named by their ids. A file belongs to its account and is nobody else's to read.
CREATE TABLE files (
    id         TEXT PRIMARY KEY,
    account    TEXT NOT NULL,
    name       TEXT NOT NULL,
    purpose    TEXT NOT NULL,
    bytes      INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX files_by_account ON files (account, created_at, id);
CREATE INDEX files_by_end ON files (expires_at);
