//! A server's log lines, and which of them fail a test.

use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;

/// The lines that a process wrote so far, collected by a thread.
#[derive(Debug, Clone, Default)]
pub struct Lines {
    lines: Arc<Mutex<Vec<String>>>,
    reader: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Lines {
    /// Collects all lines of `source` until its end.
    pub fn collect(source: impl Read + Send + 'static) -> Self {
        let collected = Self::default();
        let lines = collected.lines.clone();
        let reader = std::thread::spawn(move || {
            let mut source = BufReader::new(source);
            let mut line = Vec::new();
            while matches!(source.read_until(b'\n', &mut line), Ok(read) if read > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                lines.lock().push(without_colours(&text));
                line.clear();
            }
        });
        *collected.reader.lock() = Some(reader);
        collected
    }

    /// What is there now.
    pub fn now(&self) -> Vec<String> {
        self.lines.lock().clone()
    }

    /// The first line for which `wanted` gives a value.
    pub fn find<T>(&self, wanted: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.lines.lock().iter().find_map(|line| wanted(line))
    }

    /// Waits for the end of the source (the process must have ended) and gives all lines.
    pub fn finish(&self) -> Vec<String> {
        if let Some(reader) = self.reader.lock().take() {
            reader.join().expect("the log reader does not panic");
        }
        self.now()
    }
}

/// The lines at level WARN or ERROR (and panics) that match none of `expected`, which are plain pieces of text.
pub fn unexpected(lines: &[String], expected: &[String]) -> Vec<String> {
    lines
        .iter()
        .filter(|line| is_alarming(line))
        .filter(|line| !expected.iter().any(|piece| line.contains(piece.as_str())))
        .cloned()
        .collect()
}

fn is_alarming(line: &str) -> bool {
    // The level is among the first words of a text line, and a field of a JSON line.
    let in_text = line
        .split_whitespace()
        .take(3)
        .any(|word| matches!(word, "WARN" | "ERROR"));
    in_text
        || line.contains("\"level\":\"WARN\"")
        || line.contains("\"level\":\"ERROR\"")
        || line.contains("panicked at")
}

fn without_colours(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(start) = rest.find("\u{1b}[") {
        plain.push_str(&rest[..start]);
        rest = match rest[start..].find('m') {
            Some(end) => &rest[start + end + 1..],
            None => "",
        };
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_and_errors_are_found_in_text_and_json_but_not_in_messages() {
        let lines: Vec<String> = [
            "2024-01-01T00:00:00Z  INFO weir: listening",
            "2024-01-01T00:00:00Z  WARN weir: fell behind",
            "2024-01-01T00:00:00Z  INFO weir: a client sent the word ERROR",
            r#"{"timestamp":"…","level":"ERROR","message":"disk"}"#,
            "thread 'main' panicked at src/main.rs:1:1",
        ]
        .map(str::to_owned)
        .to_vec();
        assert_eq!(unexpected(&lines, &[]).len(), 3);
        assert_eq!(
            unexpected(&lines, &["fell behind".to_owned(), "panicked".to_owned()]),
            [lines[3].clone()]
        );
    }

    #[test]
    fn colours_are_taken_out() {
        assert_eq!(without_colours("\u{1b}[33m WARN\u{1b}[0m x"), " WARN x");
    }
}
