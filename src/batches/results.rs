//! What became of a batch's lines, as its two files have it. The ledger says up to where they count:
//! what a crash left beyond is cut off and written again.

use std::fs::File;
use std::io::{BufRead, BufReader, Result, Seek};
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::calls::Made;
use super::folder::Folder;
use crate::ledger::{BatchProgress, BatchRow};

/// The files of a batch that is not over.
#[derive(Debug)]
pub(super) struct Results {
    output: File,
    rejects: File,
    /// What the ledger has.
    pub(super) progress: BatchProgress,
}

/// A line that is done.
#[derive(Clone, Debug)]
pub(super) struct Done {
    /// Its number.
    pub(super) number: u32,
    /// Whether it has an answer, rather than an error.
    answered: bool,
    /// What is written of it.
    text: String,
}

impl Results {
    /// The files as far as they count, and the numbers of the lines in them.
    pub(super) fn open(folder: &Folder, row: &BatchRow) -> Result<(Results, Vec<u32>)> {
        let mut numbers = Vec::new();
        let mut open = |id: &str, length: u64| -> Result<File> {
            let mut options = File::options();
            options.read(true).write(true).create(true).truncate(false);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let mut file = options.open(folder.path(id))?;
            file.set_len(length)?;
            file.rewind()?;
            let mut lines = BufReader::new(&file);
            let mut line = Vec::new();
            while lines.read_until(b'\n', &mut line)? > 0 {
                numbers.extend(number_of(&line));
                line.clear();
            }
            Ok(file)
        };
        let output = open(&row.output, row.progress.output_bytes)?;
        let rejects = open(&row.rejects, row.progress.reject_bytes)?;
        // The names are on the disk before a row counts on the contents.
        folder.sync()?;
        Ok((Results { output, rejects, progress: row.progress }, numbers))
    }

    /// Writes lines to the disk. They count once the ledger has the progress that is given back.
    pub(super) fn write(&self, done: &[Done]) -> Result<BatchProgress> {
        let mut progress = self.progress;
        let (mut output, mut rejects) = (Vec::new(), Vec::new());
        for line in done {
            let (to, count) = if line.answered {
                (&mut output, &mut progress.completed)
            } else {
                (&mut rejects, &mut progress.failed)
            };
            to.extend_from_slice(line.text.as_bytes());
            *count += 1;
        }
        for (file, bytes, length) in [
            (&self.output, output, &mut progress.output_bytes),
            (&self.rejects, rejects, &mut progress.reject_bytes),
        ] {
            if !bytes.is_empty() {
                file.write_all_at(&bytes, *length)?;
                file.sync_data()?;
                *length += bytes.len() as u64;
            }
        }
        Ok(progress)
    }
}

impl Done {
    /// A call's answer or error, as a client would have seen it.
    pub(super) fn made(batch: &str, number: u32, name: &str, made: &Made) -> Done {
        if made.lost {
            return Done::lost(batch, number, name);
        }
        let answered = made.status == 200;
        let (status, request) = (made.status, json!(made.request));
        let response = format!(
            "{{\"status_code\":{status},\"request_id\":{request},\"body\":{}}}",
            on_one_line(&made.body)
        );
        Done { number, answered, text: line(batch, number, name, &response, "null") }
    }

    /// A line of which nobody knows what became.
    pub(super) fn lost(batch: &str, number: u32, name: &str) -> Done {
        let message = "the gateway ended while this request was in flight: it was charged for \
            what was seen of it, its answer is lost, and it was not made again";
        Done::not_made(batch, number, name, "batch_interrupted", message)
    }

    /// A line without an answer to a request.
    pub(super) fn not_made(
        batch: &str,
        number: u32,
        name: &str,
        code: &str,
        message: &str,
    ) -> Done {
        let error = json!({ "code": code, "message": message }).to_string();
        Done { number, answered: false, text: line(batch, number, name, "null", &error) }
    }
}

/// A line of OpenAI's output and error files.
fn line(batch: &str, number: u32, name: &str, response: &str, error: &str) -> String {
    let batch = batch.trim_start_matches("batch_");
    let name = Value::from(name);
    format!(
        "{{\"id\":\"batch_req_{batch}_{number}\",\"custom_id\":{name},\"response\":{response},\
         \"error\":{error}}}\n"
    )
}

/// The number of the line that this was written of.
fn number_of(written: &[u8]) -> Option<u32> {
    let id = written.strip_prefix(b"{\"id\":\"")?;
    let id = id.split(|byte| *byte == b'"').next()?;
    std::str::from_utf8(id).ok()?.rsplit('_').next()?.parse().ok()
}

/// A body in JSON without ends of lines, which there can only stand between its tokens.
fn on_one_line(body: &Bytes) -> String {
    let text = String::from_utf8_lossy(body);
    if serde_json::from_str::<&RawValue>(&text).is_err() {
        return Value::from(&*text).to_string();
    }
    text.trim().replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_which_one_it_is_and_stays_one_line() {
        let body = Bytes::from_static(b"{\n \"a\": \"x\\ny\"\r\n}\n");
        let made = Made { status: 200, request: "req_1".into(), body, again: None, lost: false };
        let done = Done::made("batch_ab", 17, "n\"1\n", &made);
        assert_eq!(number_of(done.text.as_bytes()), Some(17));
        assert_eq!(done.text.matches('\n').count(), 1);
        let line: Value = serde_json::from_str(&done.text).unwrap();
        assert_eq!(line["custom_id"], "n\"1\n");
        assert_eq!(line["response"]["body"]["a"], "x\ny");
        assert_eq!((&line["response"]["status_code"], &line["error"]), (&json!(200), &Value::Null));
        assert_eq!(on_one_line(&Bytes::from_static(b"no\njson")), "\"no\\njson\"");
        assert_eq!(number_of(b"{\"id\":\"batch_req_x\"}"), None);
    }
}
