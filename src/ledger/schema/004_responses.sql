-- Responses that clients asked to be kept: what went into them and the response as it was told. They
-- belong to the account that made them and are nobody else's to read.
CREATE TABLE responses (
    account TEXT NOT NULL,
    id      TEXT NOT NULL,
    at      INTEGER NOT NULL,
    bytes   INTEGER NOT NULL,
    items   TEXT NOT NULL,
    body    TEXT NOT NULL,
    PRIMARY KEY (account, id)
) STRICT;
CREATE INDEX responses_by_age ON responses (account, at, bytes);
