-- What the provider says it charges for the attempt, in nano-dollars, where it says so (OpenRouter).
-- Kept beside what we believe is owed, never in place of it.
ALTER TABLE entries ADD COLUMN reported_cost INTEGER;
