-- The attempts of an open call that are over, as JSON: those that may have been billed are owed though
-- the process dies. Null where there are none.
ALTER TABLE holds ADD COLUMN earlier TEXT;
