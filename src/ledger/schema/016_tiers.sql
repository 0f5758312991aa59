-- Roll-ups by the service tier that the provider told as well; empty where it told none. They are made
-- anew from the rows, in the transaction of this step.
DELETE FROM rollups;
DROP TABLE facets;
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
    tier        TEXT NOT NULL,
    UNIQUE (account, key, endpoint, asked_model, provider, model, prompt, tags, outcome, tier)
) STRICT;
UPDATE rolled SET up_to = 0;
