-- The markup a row was charged with, as `hundredths of a percent/nano-dollars a call`: with it and a card
-- the charge follows from the tokens again.
ALTER TABLE entries ADD COLUMN terms TEXT;
