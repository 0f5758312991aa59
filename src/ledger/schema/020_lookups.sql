-- How a call that the gateway's own cache may answer stood to it (hit, joined or miss); null where that could
-- not answer it, and on older rows, of which nobody knows. Roll-ups count hits and misses as well; they are
-- made anew from the rows, in the transaction of this step.
ALTER TABLE entries ADD COLUMN cache TEXT;
DELETE FROM rollups;
UPDATE rolled SET up_to = 0;
