//! What `tests/slt/postgres/` promises is what a real PostgreSQL answers: each of its records is asked there, too.
//!
//! Answers are compared as values: `t` and `true`, `1.50` and `1.5`, `{1,2}` and `[1, 2]`, `2024-01-01 10:00` and
//! `2024-01-01T10:00` are the same. A record that PostgreSQL would answer otherwise stands under `skipif reference`, with the reason.

use std::path::{Path, PathBuf};

use sqllogictest::{QueryExpect, Record, StatementExpect, parse_file};
use weir_tests::binary;
use weir_tests::reference::Reference;

use crate::slt::Kind;

#[test]
fn postgresql_answers_what_the_files_say() {
    let folder = binary::workspace().join("tests/slt/postgres");
    let wanted = std::env::var("WEIR_SLT").unwrap_or_default();
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("the folder can be listed")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.to_string_lossy().contains(&wanted))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no .slt file matches {wanted:?}");
    let mut failures = Vec::new();
    for path in paths {
        let reference = Reference::start();
        check(&path, &reference, &mut failures);
    }
    assert!(
        failures.is_empty(),
        "{} records are not PostgreSQL's:\n\n{}",
        failures.len(),
        failures.join("\n\n")
    );
}

fn check(path: &Path, reference: &Reference, failures: &mut Vec<String>) {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    for record in parse_file::<Kind>(path).expect("the file can be parsed") {
        let (sql, conditions, location) = match &record {
            Record::Statement {
                sql,
                conditions,
                loc,
                ..
            }
            | Record::Query {
                sql,
                conditions,
                loc,
                ..
            } => (sql, conditions, loc),
            _ => continue,
        };
        let is_skipped = conditions.iter().any(|condition| {
            matches!(condition, sqllogictest::Condition::SkipIf { label } if label == "reference")
        });
        if is_skipped {
            continue;
        }
        let answer = reference.ask(sql);
        let place = format!("{name}:{}", location.line());
        match &record {
            Record::Statement { expected, .. } => {
                let wants_error = matches!(expected, StatementExpect::Error(_));
                if wants_error == answer.is_ok() {
                    failures.push(format!("{place}: {sql}\nPostgreSQL: {answer:?}"));
                }
            }
            Record::Query { expected, .. } => match (expected, &answer) {
                (QueryExpect::Results { results, .. }, Ok(rows)) => {
                    let mut ours: Vec<String> = results.iter().map(|row| plain(row)).collect();
                    let mut theirs: Vec<String> = match rows.is_empty() {
                        true => vec![],
                        false => rows
                            .lines()
                            .map(|row| plain(&row.replace('|', " ")))
                            .collect(),
                    };
                    ours.retain(|row| !row.is_empty());
                    theirs.retain(|row| !row.is_empty());
                    let is_ordered = sql.to_lowercase().contains("order by");
                    if !is_ordered {
                        ours.sort();
                        theirs.sort();
                    }
                    if ours != theirs {
                        failures.push(format!(
                            "{place}: {sql}\nPostgreSQL: {rows}\nhere:       {}",
                            results.join("\n            ")
                        ));
                    }
                }
                (QueryExpect::Error(_), Err(_)) => {}
                _ => failures.push(format!("{place}: {sql}\nPostgreSQL: {answer:?}")),
            },
            _ => {}
        }
    }
}

/// A row's text with all that may be written in several ways written in one.
fn plain(row: &str) -> String {
    let mut out = String::new();
    // An empty text is written so in the files.
    for word in row.replace("(empty)", "").split(|c: char| {
        c.is_whitespace() || matches!(c, ',' | '[' | ']' | '{' | '}' | '"' | '(' | ')' | ':')
    }) {
        if word.is_empty() {
            continue;
        }
        out.push(' ');
        out.push_str(&word_of(word));
    }
    out.trim_start().to_owned()
}

fn word_of(word: &str) -> String {
    match word {
        "true" => return "t".to_owned(),
        "false" => return "f".to_owned(),
        "null" => return "NULL".to_owned(),
        _ => {}
    }
    // A date and the hour behind it, and the zone of UTC.
    let bytes = word.as_bytes();
    if bytes.get(10) == Some(&b'T') && bytes.get(4) == Some(&b'-') {
        return word.replacen('T', " ", 1);
    }
    let word = word
        .strip_suffix("+00")
        .or(word.strip_suffix('Z'))
        .unwrap_or(word);
    match word.parse::<f64>() {
        Ok(number) if word.contains(['.', 'e']) => {
            // To as many digits as both sides give.
            let text = format!("{number:.9}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        _ => word.to_owned(),
    }
}
