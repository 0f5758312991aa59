BEGIN TRANSACTION;
CREATE TABLE balances (
    account   TEXT NOT NULL,
    limit_key TEXT NOT NULL,
    period    INTEGER NOT NULL,
    fields    BLOB NOT NULL,
    PRIMARY KEY (account, limit_key, period)
) STRICT, WITHOUT ROWID;
INSERT INTO "balances" VALUES('','',0,X'03000000000000001B0000000000000006000000000000005898000000000000');
INSERT INTO "balances" VALUES('acme','',0,X'03000000000000001B0000000000000006000000000000005898000000000000');
INSERT INTO "balances" VALUES('acme','cost/calendar/month',1793491200000000,X'00801F358761060058980000000000000010A5D4E8000000091A419304610600');
CREATE TABLE cards (
    version    TEXT PRIMARY KEY,
    card       TEXT NOT NULL,
    first_used INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "cards" VALUES('configuration#916190cd5573592c','{"source":"configuration","effective_from":-9223372036854775808,"tiers":[{"above_input_tokens":0,"rates":[["input",1000000],["cache_read",100000],["output",2000000]]}],"per_request":null}',1795522141738337);
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
INSERT INTO "entries" VALUES(1,X'01A20D759E167600BA83C92B205C6DA1',1,'call',1795522141749084,1795522141718672,'acme','NSZZsomZRXa7','chat.completions','gpt-4o-mini','up','gpt-4o-mini',NULL,NULL,0,'completed',200,NULL,1,9,NULL,NULL,NULL,NULL,NULL,2,NULL,NULL,NULL,NULL,'reported','reported',9,2,9,2,'configuration#916190cd5573592c',13000,13000,0,0,0,8201000,30171,30412,X'39E6D4EDA74F2E538F95370F9B2E776E812455210AF0060470D941AE954DC394');
INSERT INTO "entries" VALUES(2,X'01A20D759E4675E9A960ABEF4E4BACA2',1,'call',1795522141788623,1795522141766760,'acme','NSZZsomZRXa7','chat.completions','gpt-4o-mini','up','gpt-4o-mini',NULL,NULL,0,'completed',200,NULL,1,9,NULL,NULL,NULL,NULL,NULL,2,NULL,NULL,NULL,NULL,'reported','reported',9,2,9,2,'configuration#916190cd5573592c',13000,13000,0,0,0,8201000,21673,21863,X'1B52F65D23036588CE6EA19D68032E1B3D9BC4A6E3B853FE069C1E0C4131907D');
INSERT INTO "entries" VALUES(3,X'01A20D759E8B74A09F0D46FC9C784A92',1,'call',1795522141843816,1795522141836051,'acme','NSZZsomZRXa7','chat.completions','gpt-4o-mini','up','gpt-4o-mini',NULL,NULL,0,'completed',200,NULL,1,9,NULL,NULL,NULL,NULL,NULL,2,NULL,NULL,NULL,NULL,'reported','reported',9,2,9,2,'configuration#916190cd5573592c',13000,13000,0,0,0,8201000,7550,7765,X'0E96D66AD3E90553F310F766D2C85F7592F57549E4DC6DF950FFBB0341AA3F25');
CREATE TABLE extra_limits (
    account  TEXT NOT NULL,
    text     TEXT NOT NULL,
    added_at INTEGER NOT NULL,
    PRIMARY KEY (account, text)
) STRICT, WITHOUT ROWID;
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
INSERT INTO "holds" VALUES(4,X'01A20D759EB9752BB357E596BC41857E',1795522141881416,1795525741881405,'acme','acme','NSZZsomZRXa7','chat.completions','gpt-4o-mini',NULL,1,'up','gpt-4o-mini','configuration#916190cd5573592c',9,'tokenized',1,9,18,45000,1,3);
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
CREATE TABLE learned (
    kind  TEXT NOT NULL,
    name  TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;
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
CREATE INDEX entries_by_id ON entries (id);
CREATE INDEX entries_by_account ON entries (account, received_at);
CREATE INDEX replies_by_age ON replies (at);
COMMIT;
