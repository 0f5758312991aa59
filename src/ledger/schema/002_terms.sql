-- The service tier a provider says it processed a call in; prices differ by it.
ALTER TABLE entries ADD COLUMN tier TEXT;

-- On what terms an open call is charged, so that it is settled on them though the process dies: the
-- markup's share in hundredths of a percent, its amount a call in nano-dollars, and who pays for failed
-- attempts.
ALTER TABLE holds ADD COLUMN markup_share INTEGER NOT NULL DEFAULT 0;
ALTER TABLE holds ADD COLUMN markup_fee INTEGER NOT NULL DEFAULT 0;
ALTER TABLE holds ADD COLUMN failed_attempts TEXT NOT NULL DEFAULT 'absorb';
