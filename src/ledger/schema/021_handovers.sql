-- Batches that go to their provider's own batch endpoint, and how far that is. `stage` is holding,
-- uploading, creating, waiting, releasing or over; `remote` is the provider's id of the batch.
CREATE TABLE handovers (
    batch          TEXT PRIMARY KEY,
    to_provider    TEXT NOT NULL,
    to_model       TEXT NOT NULL,
    round          INTEGER NOT NULL,
    stage          TEXT NOT NULL,
    their_file     TEXT,
    remote         TEXT,
    note           TEXT,
    base_completed INTEGER NOT NULL,
    base_failed    INTEGER NOT NULL,
    seen_completed INTEGER NOT NULL,
    seen_failed    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The batch whose line this is the hold of, where it is handed over: such a hold outlives the process.
ALTER TABLE holds ADD COLUMN batch TEXT;
