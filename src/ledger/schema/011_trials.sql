-- A label may let a part of its calls go to another version, to see how it does.
ALTER TABLE prompt_labels ADD COLUMN trial INTEGER;
ALTER TABLE prompt_labels ADD COLUMN percent INTEGER;
