//! The table: what was measured, beside what is promised.

use std::fmt;

use serde::Serialize;

/// One line of the table.
#[derive(Debug, Serialize)]
struct Line {
    what: String,
    measured: String,
    promised: String,
    /// Whether the promise is kept; `None` where nothing is promised.
    kept: Option<bool>,
}

/// All lines.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    quick: bool,
    lines: Vec<Line>,
}

/// What a figure is held against.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Promise {
    Below(f64),
    AtLeast(f64),
    /// Reported for its own sake.
    None,
}

impl Report {
    pub(crate) fn new(quick: bool) -> Self {
        Self {
            quick,
            lines: Vec::new(),
        }
    }

    /// Adds a figure in `unit`.
    pub(crate) fn add(
        &mut self,
        what: impl Into<String>,
        figure: f64,
        unit: &str,
        promise: Promise,
    ) {
        let line = Line {
            what: what.into(),
            measured: with_unit(figure, unit),
            promised: match promise {
                Promise::Below(bound) => format!("< {}", with_unit(bound, unit)),
                Promise::AtLeast(bound) => format!("≥ {}", with_unit(bound, unit)),
                Promise::None => String::new(),
            },
            kept: match promise {
                Promise::Below(bound) => Some(figure < bound),
                Promise::AtLeast(bound) => Some(figure >= bound),
                Promise::None => None,
            },
        };
        eprintln!("  {}: {} {}", line.what, line.measured, line.promised);
        self.lines.push(line);
    }

    /// Says why something was not measured.
    pub(crate) fn not_measured(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.lines.push(Line {
            what: what.into(),
            measured: format!("not measured: {}", why.into()),
            promised: String::new(),
            kept: None,
        });
    }

    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report is plain data")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |cell: fn(&Line) -> &str| {
            let longest = self
                .lines
                .iter()
                .map(|line| cell(line).chars().count())
                .max();
            longest.unwrap_or(0).max(8)
        };
        let (what, measured, promised) = (
            width(|line| &line.what),
            width(|line| &line.measured),
            width(|line| &line.promised),
        );
        if self.quick {
            writeln!(
                f,
                "(a quick run: the figures show that it works, not how fast)"
            )?;
        }
        writeln!(
            f,
            "| {:what$} | {:measured$} | {:promised$} |    |",
            "what", "measured", "promised"
        )?;
        writeln!(
            f,
            "|{:-<1$}|{2:-<3$}|{4:-<5$}|----|",
            "",
            what + 2,
            "",
            measured + 2,
            "",
            promised + 2
        )?;
        for line in &self.lines {
            let kept = match line.kept {
                Some(true) => "ok",
                Some(false) => "NO",
                None => "",
            };
            writeln!(
                f,
                "| {:what$} | {:>measured$} | {:>promised$} | {kept:2} |",
                line.what, line.measured, line.promised
            )?;
        }
        Ok(())
    }
}

fn with_unit(figure: f64, unit: &str) -> String {
    let number = if figure >= 1000.0 {
        let whole = format!("{figure:.0}");
        let mut grouped = String::new();
        for (at, digit) in whole.chars().enumerate() {
            if at > 0 && (whole.len() - at).is_multiple_of(3) {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        grouped
    } else if figure >= 100.0 {
        format!("{figure:.0}")
    } else if figure >= 10.0 {
        format!("{figure:.1}")
    } else {
        format!("{figure:.2}")
    };
    format!("{number} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_promises_are_judged() {
        let mut report = Report::new(false);
        report.add("rate", 1_234_567.0, "rows/s", Promise::AtLeast(600_000.0));
        report.add("latency", 1.234, "ms", Promise::Below(1.0));
        let table = report.to_string();
        assert!(table.contains("1,234,567 rows/s"), "{table}");
        assert!(table.contains("≥ 600,000 rows/s | ok"), "{table}");
        assert!(table.contains("< 1.00 ms | NO"), "{table}");
    }
}
