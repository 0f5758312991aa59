//! Providers' counts beside ours, over calls of which both are known.

use rusqlite::params;
use tollgate_accounting::Timestamp;

use super::StoreError;
use super::report::Reader;

/// What a provider counted for a model, and what we did, over the same calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// The provider.
    pub provider: String,
    /// The model.
    pub model: String,
    /// Calls with both counts.
    pub calls: i64,
    /// Input tokens: theirs and ours.
    pub input: [i64; 2],
    /// Output tokens of those of the calls that were delivered whole and without hidden thinking.
    pub output: [i64; 2],
    /// Calls of which the provider told the cost.
    pub costed: i64,
    /// What it said they cost and what we believe is owed for them, in nano-dollars.
    pub cost: [i64; 2],
}

impl Reader {
    /// The newest calls since an instant, at most so many, by provider and model. Those of which we know a
    /// bound and no count are left out.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn drift(&self, since: Timestamp, most: u32) -> Result<Vec<Drift>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT provider, model, count(*), sum(posted_input), sum(counted_input),
                     sum(iif(plain, posted_output, 0)), sum(iif(plain, delivered_output, 0)),
                     count(reported_cost), coalesce(sum(reported_cost), 0),
                     coalesce(sum(iif(reported_cost IS NULL, 0, owed)), 0)
                 FROM (SELECT provider, model, posted_input, counted_input, posted_output,
                           delivered_output, reported_cost, owed,
                           output_provenance = 'reported' AND coalesce(reasoning, 0) = 0 AS plain
                       FROM entries
                       WHERE received_at >= ?1 AND kind = 'call' AND outcome = 'completed'
                           AND input_provenance = 'reported' AND counted_input > 0
                           AND endpoint NOT LIKE 'images.%' AND endpoint NOT LIKE 'audio.%'
                       ORDER BY received_at DESC LIMIT ?2)
                 GROUP BY provider, model ORDER BY provider, model",
            )?;
            let rows = statement.query_map(params![since.micros(), most], |row| {
                Ok(Drift {
                    provider: row.get(0)?,
                    model: row.get(1)?,
                    calls: row.get(2)?,
                    input: [row.get(3)?, row.get(4)?],
                    output: [row.get(5)?, row.get(6)?],
                    costed: row.get(7)?,
                    cost: [row.get(8)?, row.get(9)?],
                })
            })?;
            rows.collect()
        })
    }
}
