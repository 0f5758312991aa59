-- Roll-ups lie packed: one row has the four quarters of an hour, each with all of its sums, since a report
-- over millions of roll-ups spends its time on columns. The bytes are told in `rollup/hour.rs`. They are
-- made anew from the rows, in the transaction of this step.
DROP TABLE rollups;
CREATE TABLE rollups (
    facet      INTEGER NOT NULL REFERENCES facets (id),
    hour       INTEGER NOT NULL,
    sums       BLOB NOT NULL,
    latency    BLOB NOT NULL,
    first_byte BLOB NOT NULL,
    PRIMARY KEY (facet, hour)
) STRICT, WITHOUT ROWID;
UPDATE rolled SET up_to = 0;
