//! A bar that says how far a longer task has come. It is drawn on standard error, and only where
//! somebody watches.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The bar of one task. It is erased when dropped.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// A bar of so many steps. One that is not visible costs nothing and draws nothing.
    pub(super) fn new(steps: u64, label: &str, visible: bool) -> Progress {
        if !visible {
            return Progress(ProgressBar::hidden());
        }
        let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr());
        let style =
            ProgressStyle::with_template("{spinner} {msg} [{bar:30}] {pos}/{len} {elapsed}");
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(label.to_owned());
        bar.enable_steady_tick(Duration::from_millis(100));
        Progress(bar)
    }

    /// One more step is done.
    pub fn step(&self) {
        self.0.inc(1);
    }

    /// So many steps of so many are done.
    pub fn at(&self, done: u64, all: u64) {
        self.0.set_length(all);
        self.0.set_position(done);
    }

    /// What is being done now.
    pub fn say(&self, label: &str) {
        self.0.set_message(label.to_owned());
    }

    /// A line that stays, above the bar. It is dropped where nobody watches.
    pub fn note(&self, line: &str) {
        self.0.println(line);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_that_nobody_watches_draws_nothing() {
        let progress = Progress::new(3, "calls", false);
        progress.step();
        progress.say("more calls");
        progress.note("a line");
        assert!(progress.0.is_hidden());
    }
}
