-- Versions of prompt templates: a text under a number, for ever; and the labels that stand for one.
CREATE TABLE prompts (
    name         TEXT NOT NULL,
    number       INTEGER NOT NULL,
    digest       BLOB NOT NULL,
    source       TEXT NOT NULL,
    published_at INTEGER NOT NULL,
    PRIMARY KEY (name, number)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX prompts_by_content ON prompts (name, digest);

CREATE TABLE prompt_labels (
    name     TEXT NOT NULL,
    label    TEXT NOT NULL,
    number   INTEGER NOT NULL,
    moved_at INTEGER NOT NULL,
    PRIMARY KEY (name, label),
    FOREIGN KEY (name, number) REFERENCES prompts (name, number)
) STRICT, WITHOUT ROWID;

-- A call in flight that is settled after a crash keeps its template.
ALTER TABLE holds ADD COLUMN prompt TEXT;
