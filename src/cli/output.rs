//! The only place that writes to standard output and standard error. Answers go to the one,
//! everything said along the way to the other, so that a pipe gets nothing but the answer.

use std::io::{self, ErrorKind, IsTerminal, Write};

use super::{
    args::{Color, Format, Global, Refused},
    problems::CheckReport,
    progress::Progress,
    table::Table,
};

/// Where answers and remarks go.
pub struct Output {
    answers: Stream,
    remarks: Stream,
    json: bool,
    progress: bool,
}

struct Stream {
    to: Box<dyn Write + Send>,
    color: bool,
    closed: bool,
}

impl Output {
    /// The process's own streams. `no_color` is whether the environment asks for none.
    pub fn standard(global: &Global, no_color: bool) -> Output {
        let (out, err) = (io::stdout(), io::stderr());
        let color = |terminal: bool| match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && !no_color,
        };
        let (out_terminal, err_terminal) = (out.is_terminal(), err.is_terminal());
        Output {
            answers: Stream::new(Box::new(out), color(out_terminal)),
            remarks: Stream::new(Box::new(err), color(err_terminal)),
            json: global.json,
            progress: err_terminal && !global.json,
        }
    }

    /// Whether the answer should be JSON.
    pub fn json(&self) -> bool {
        self.json
    }

    /// Part of the answer, as it stands.
    pub fn answer(&mut self, text: &str) -> io::Result<()> {
        self.answers.write(text)
    }

    /// A line of the answer.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        self.answer(&format!("{text}\n"))
    }

    /// A table as the answer.
    pub fn table(&mut self, table: &Table, format: Format) -> io::Result<()> {
        self.answer(&table.render(format))
    }

    /// The result of a check as the answer.
    pub fn check(&mut self, report: &CheckReport<'_>) -> io::Result<()> {
        let text = if self.json { report.json() } else { report.human(self.answers.color) };
        self.answer(&text)
    }

    /// The same, as the reason why something else cannot be done.
    pub fn refused_by_check(&mut self, report: &CheckReport<'_>) -> io::Result<()> {
        self.remarks.write(&report.human(self.remarks.color))
    }

    /// A line for people, beside the answer.
    pub fn remark(&mut self, text: &str) -> io::Result<()> {
        self.remarks.write(&format!("{text}\n"))
    }

    /// Why the command failed.
    pub fn error(&mut self, why: &str) -> io::Result<()> {
        let label = if self.remarks.color { "\u{1b}[1;31merror\u{1b}[0m" } else { "error" };
        self.remark(&format!("{label}: {why}"))
    }

    /// How far a longer task has come, where somebody watches.
    pub fn progress(&self, steps: u64, label: &str) -> Progress {
        Progress::new(steps, label, self.progress)
    }

    /// Whether the reader of the answers left, so that no more of them are needed.
    pub fn is_closed(&self) -> bool {
        self.answers.closed
    }
}

impl Refused {
    /// Shows the text where it belongs: help was asked for, a mistake was not.
    pub fn show(&self, no_color: bool) -> io::Result<()> {
        let (out, err) = (io::stdout(), io::stderr());
        let (to, terminal): (Box<dyn Write + Send>, bool) = match self.exit {
            super::Exit::Good => (Box::new(out), io::stdout().is_terminal()),
            super::Exit::Found | super::Exit::Misuse => (Box::new(err), io::stderr().is_terminal()),
        };
        let color = terminal && !no_color;
        Stream::new(to, color).write(if color { &self.styled } else { &self.plain })
    }
}

impl Stream {
    fn new(to: Box<dyn Write + Send>, color: bool) -> Stream {
        Stream { to, color, closed: false }
    }

    /// Writes all of a text. A reader that left, as `head` does, has what it wanted: what would
    /// follow is dropped without an error.
    fn write(&mut self, text: &str) -> io::Result<()> {
        if self.closed {
            return Ok(());
        }
        match self.to.write_all(text.as_bytes()).and_then(|()| self.to.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            result => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(ErrorKind, usize);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            self.1 += 1;
            assert_eq!(self.1, 1, "written to after it failed");
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_left_is_no_error_and_gets_nothing_more() {
        let mut stream = Stream::new(Box::new(Failing(ErrorKind::BrokenPipe, 0)), false);
        assert!(stream.write("one").is_ok() && stream.closed);
        assert!(stream.write("two").is_ok());
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let mut stream = Stream::new(Box::new(Failing(ErrorKind::StorageFull, 0)), false);
        assert_eq!(stream.write("one").map_err(|e| e.kind()), Err(ErrorKind::StorageFull));
    }
}
