//! How far a query or a load has come, on the terminal of standard error, and only there.

use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, HumanDuration, ProgressBar, ProgressStyle};

use crate::terminal;

/// A line that shows rows, bytes and time; gone when dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    started: Instant,
    total_bytes: Option<u64>,
}

/// Work that is done sooner shows nothing.
const QUIET: Duration = Duration::from_millis(400);

impl Progress {
    /// A line when `wanted` and standard error is a terminal; else nothing is ever shown.
    pub(crate) fn new(wanted: bool, total_bytes: Option<u64>) -> Self {
        let bar = if wanted && terminal::is_messages() {
            let bar = ProgressBar::no_length();
            if let Some(total) = total_bytes {
                bar.set_length(total);
            }
            let template = if total_bytes.is_some() {
                "{bar:30} {percent:>3} %  {msg}"
            } else {
                "{spinner} {msg}"
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar
        } else {
            ProgressBar::hidden()
        };
        Self {
            bar,
            started: Instant::now(),
            total_bytes,
        }
    }

    /// Shows the state of now.
    pub(crate) fn update(&self, rows: u64, bytes: u64) {
        let elapsed = self.started.elapsed();
        if self.bar.is_hidden() || elapsed < QUIET {
            return;
        }
        if self.total_bytes.is_some() {
            self.bar.set_position(bytes);
        }
        self.bar.set_message(message(rows, bytes, elapsed));
        self.bar.tick();
    }

    /// Takes the line away, so that something else can be printed.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// `1,234,567 rows  12.30 MiB  3.2 s`.
fn message(rows: u64, bytes: u64, elapsed: Duration) -> String {
    let time = if elapsed < Duration::from_secs(100) {
        format!("{:.1} s", elapsed.as_secs_f64())
    } else {
        HumanDuration(elapsed).to_string()
    };
    format!("{} rows  {}  {time}", HumanCount(rows), HumanBytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_has_rows_bytes_and_time() {
        assert_eq!(
            message(1_234_567, 3 << 20, Duration::from_millis(3250)),
            "1,234,567 rows  3.00 MiB  3.2 s"
        );
        assert!(message(0, 0, Duration::from_secs(120)).ends_with("2 minutes"));
    }
}
