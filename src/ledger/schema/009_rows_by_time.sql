-- Nothing asks for the rows of one account any more: reports read roll-ups, or rows by their time. Each
-- row of a group took a page of its own in this index where accounts are many.
DROP INDEX entries_by_account;
