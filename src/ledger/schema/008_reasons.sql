-- Why the planner chose this target for the attempt, in words for people; null where there was no choice.
ALTER TABLE entries ADD COLUMN why TEXT;
