-- What the lines of a batch came to, summed from their rows as they are recorded. Null where a batch
-- began before this was counted.
ALTER TABLE batches ADD COLUMN used_input INTEGER;
ALTER TABLE batches ADD COLUMN used_cached INTEGER;
ALTER TABLE batches ADD COLUMN used_output INTEGER;
ALTER TABLE batches ADD COLUMN used_reasoning INTEGER;
