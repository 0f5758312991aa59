//! OpenAI's files and batches, as a provider is asked for them and answers: a file of requests goes up,
//! a batch is made of it, and two files of answers come down.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::unified::Encoded;

/// The name under which a batch is marked in its metadata.
const MARK: &str = "tollgate";
/// Batches of a page of the list; OpenAI's most.
const PAGE: u32 = 100;
/// Stands between the parts of the form. No line of JSON can begin like that.
const BOUNDARY: &str = "tollgate-batch-lines-6b1f0c52";

/// Requests of one batch, and bytes of their file, that OpenAI takes at most.
pub const MOST_LINES: u64 = 50_000;
/// See [`MOST_LINES`].
pub const MOST_BYTES: u64 = 200_000_000;

/// A batch as its provider tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteBatch {
    /// Its id.
    pub id: String,
    /// How it is.
    pub status: RemoteStatus,
    /// The file of answers.
    pub output: Option<String>,
    /// The file of errors.
    pub errors: Option<String>,
    /// Requests with an answer.
    pub completed: u64,
    /// Requests with an error.
    pub failed: u64,
    /// What is wrong with it, for people.
    pub problem: Option<String>,
    /// What it was marked with.
    pub mark: Option<String>,
}

/// How a provider's batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoteStatus {
    /// Being worked on, or about to end.
    Open,
    /// Every request has an answer or an error.
    Completed,
    /// Its file was refused: nothing ran.
    Failed,
    /// Its time was over.
    Expired,
    /// It was called off.
    Cancelled,
}

/// What became of one request.
#[derive(Debug)]
pub struct RemoteLine<'l> {
    /// The name it was sent under.
    pub name: String,
    /// The answer.
    pub answer: RemoteAnswer<'l>,
}

/// An answer to a request of a batch.
#[derive(Debug)]
pub enum RemoteAnswer<'l> {
    /// A status and a body.
    Made(u16, &'l str),
    /// It was not made; a code and words.
    NotMade(String, String),
}

fn get(path: String) -> Encoded {
    Encoded { method: "GET", path, headers: Vec::new(), body: Vec::new(), dropped: Vec::new() }
}

fn post(path: String, body: Vec<u8>) -> Encoded {
    Encoded { method: "POST", body, ..get(path) }
}

/// A request of a batch, as a line of its file.
pub fn line(name: &str, url: &str, body: &[u8]) -> Vec<u8> {
    let head = json!({ "custom_id": name, "method": "POST", "url": url }).to_string();
    let mut line = head.trim_end_matches('}').as_bytes().to_vec();
    line.extend_from_slice(b",\"body\":");
    // In JSON, ends of lines stand only between tokens.
    line.extend(body.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
    line.extend_from_slice(b"}\n");
    line
}

/// Sends a file of lines.
pub fn upload(name: &str, lines: &[u8]) -> Encoded {
    let head = format!(
        "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n\
         --{BOUNDARY}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{name}.jsonl\"\r\n\
         content-type: application/jsonl\r\n\r\n"
    );
    let end = format!("\r\n--{BOUNDARY}--\r\n");
    let headers = vec![("content-type", format!("multipart/form-data; boundary={BOUNDARY}"))];
    let body = [head.as_bytes(), lines, end.as_bytes()].concat();
    Encoded { headers, ..post("/files".to_owned(), body) }
}

/// Makes a batch of a file, marked so that it can be found.
pub fn create(file: &str, url: &str, mark: &str) -> Encoded {
    let body = json!({
        "input_file_id": file,
        "endpoint": url,
        "completion_window": "24h",
        "metadata": { MARK: mark },
    });
    post("/batches".to_owned(), body.to_string().into_bytes())
}

/// Asks how a batch is.
pub fn look(id: &str) -> Encoded {
    get(format!("/batches/{}", crate::openai::escaped(id)))
}

/// Calls a batch off.
pub fn cancel(id: &str) -> Encoded {
    post(format!("/batches/{}/cancel", crate::openai::escaped(id)), b"{}".to_vec())
}

/// Asks for batches, the newest first.
pub fn list(after: Option<&str>) -> Encoded {
    let after = after.map_or(String::new(), |id| format!("&after={}", crate::openai::escaped(id)));
    get(format!("/batches?limit={PAGE}{after}"))
}

/// Asks for a file's content.
pub fn content(file: &str) -> Encoded {
    get(format!("/files/{}/content", crate::openai::escaped(file)))
}

/// The id of a file that was sent.
pub fn read_file(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct File {
        id: String,
    }
    serde_json::from_slice::<File>(body).ok().map(|file| file.id)
}

#[derive(Deserialize)]
struct Wire {
    id: String,
    status: String,
    output_file_id: Option<String>,
    error_file_id: Option<String>,
    request_counts: Option<Counts>,
    errors: Option<Problems>,
    metadata: Option<Value>,
}

#[derive(Default, Deserialize)]
struct Counts {
    #[serde(default)]
    completed: u64,
    #[serde(default)]
    failed: u64,
}

#[derive(Deserialize)]
struct Problems {
    data: Option<Vec<Problem>>,
}

#[derive(Deserialize)]
struct Problem {
    code: Option<String>,
    message: Option<String>,
}

impl From<Wire> for RemoteBatch {
    fn from(wire: Wire) -> RemoteBatch {
        let counts = wire.request_counts.unwrap_or_default();
        let problem = wire.errors.and_then(|errors| errors.data?.into_iter().next());
        let told = |problem: Problem| problem.message.or(problem.code);
        let mark = wire.metadata.as_ref().and_then(|pairs| pairs.get(MARK)?.as_str());
        RemoteBatch {
            status: match wire.status.as_str() {
                "completed" => RemoteStatus::Completed,
                "failed" => RemoteStatus::Failed,
                "expired" => RemoteStatus::Expired,
                "cancelled" => RemoteStatus::Cancelled,
                _ => RemoteStatus::Open,
            },
            output: wire.output_file_id.filter(|id| !id.is_empty()),
            errors: wire.error_file_id.filter(|id| !id.is_empty()),
            completed: counts.completed,
            failed: counts.failed,
            problem: problem.and_then(told),
            mark: mark.map(str::to_owned),
            id: wire.id,
        }
    }
}

/// A batch.
pub fn read(body: &[u8]) -> Option<RemoteBatch> {
    serde_json::from_slice::<Wire>(body).ok().map(RemoteBatch::from)
}

/// A page of batches, and whether there are more behind it.
pub fn read_list(body: &[u8]) -> Option<(Vec<RemoteBatch>, bool)> {
    #[derive(Deserialize)]
    struct List {
        data: Vec<Wire>,
        #[serde(default)]
        has_more: bool,
    }
    let list: List = serde_json::from_slice(body).ok()?;
    Some((list.data.into_iter().map(RemoteBatch::from).collect(), list.has_more))
}

/// A line of a file of answers or errors.
pub fn read_line(line: &[u8]) -> Option<RemoteLine<'_>> {
    #[derive(Deserialize)]
    struct Line<'l> {
        custom_id: String,
        #[serde(borrow)]
        response: Option<Made<'l>>,
        error: Option<Problem>,
    }
    #[derive(Deserialize)]
    struct Made<'l> {
        status_code: u16,
        #[serde(borrow)]
        body: Option<&'l RawValue>,
    }
    let Line { custom_id, response, error } = serde_json::from_slice(line).ok()?;
    let answer = match response {
        Some(Made { status_code, body }) if status_code >= 200 => {
            RemoteAnswer::Made(status_code, body.map_or("null", RawValue::get))
        }
        _ => {
            let problem = error.unwrap_or(Problem { code: None, message: None });
            let code = problem.code.unwrap_or_else(|| "batch_failed".to_owned());
            let words = problem.message.unwrap_or_else(|| "the provider says no more".to_owned());
            RemoteAnswer::NotMade(code, words)
        }
    };
    Some(RemoteLine { name: custom_id, answer })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_line_of_json_whatever_its_body_is_written_like() {
        let line = line("7", "/v1/chat/completions", b"{\n \"a\": \"x\\n\"\r\n}");
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        let value: Value = serde_json::from_slice(&line).unwrap();
        let expected = json!({
            "custom_id": "7", "method": "POST", "url": "/v1/chat/completions",
            "body": {"a": "x\n"},
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn a_batch_is_known_by_its_mark_and_a_word_that_is_new_leaves_it_open() {
        let text = r#"{"id":"batch_1","status":"validating","metadata":{"tollgate":"b.1"},
            "request_counts":{"total":3,"completed":2,"failed":1},"output_file_id":null,
            "errors":{"data":[{"code":"token_limit_exceeded","message":"too much is enqueued"}]}}"#;
        let batch = read(text.as_bytes()).unwrap();
        assert_eq!((batch.status, batch.completed, batch.failed), (RemoteStatus::Open, 2, 1));
        assert_eq!((batch.mark.as_deref(), batch.output), (Some("b.1"), None));
        assert_eq!(batch.problem.as_deref(), Some("too much is enqueued"));
        for (word, status) in [
            ("completed", RemoteStatus::Completed),
            ("failed", RemoteStatus::Failed),
            ("expired", RemoteStatus::Expired),
            ("cancelled", RemoteStatus::Cancelled),
            ("cancelling", RemoteStatus::Open),
            ("resting", RemoteStatus::Open),
        ] {
            let text = json!({"id": "b", "status": word, "metadata": null}).to_string();
            assert_eq!(read(text.as_bytes()).unwrap().status, status, "{word}");
        }
    }

    #[test]
    fn a_line_was_made_or_says_why_not() {
        let made = br#"{"id":"r","custom_id":"4","response":{"status_code":200,"request_id":"q",
            "body":{"a": 1}},"error":null}"#;
        let line = read_line(made).unwrap();
        assert!(matches!(line.answer, RemoteAnswer::Made(200, "{\"a\": 1}")), "{line:?}");
        let not =
            br#"{"custom_id":"5","response":null,"error":{"code":"batch_expired","message":"m"}}"#;
        let line = read_line(not).unwrap();
        assert!(matches!(&line.answer, RemoteAnswer::NotMade(code, _) if code == "batch_expired"));
        assert!(read_line(b"{}").is_none());
    }
}
