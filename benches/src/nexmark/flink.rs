//! Apache Flink as a process of Java: its jars are those that PyPI has for `pyflink`.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use weir_tests::queries::Query;
use weir_tests::{binary, process, python};

use super::Times;
use super::data::{Data, PARTITIONS};

/// What Flink reflects upon within Java (its own `flink-conf.yaml`, `env.java.opts.all`).
const OPEN: [&str; 6] = [
    "java.base/java.lang=ALL-UNNAMED",
    "java.base/java.lang.reflect=ALL-UNNAMED",
    "java.base/java.net=ALL-UNNAMED",
    "java.base/java.text=ALL-UNNAMED",
    "java.base/java.time=ALL-UNNAMED",
    "java.base/java.util=ALL-UNNAMED",
];

/// What each query took, or why it did not run.
pub(super) type Outcomes = HashMap<String, Result<Times, String>>;

/// Runs the queries one after the other, by as many threads as there are partitions.
pub(super) fn run(folder: &Path, data: &Data, queries: &[Query]) -> Result<Outcomes, String> {
    let jars = jars(folder)?;
    let sources = binary::workspace().join("benches/flink");
    let mut command = Command::new("java");
    for opened in OPEN {
        command.args(["--add-opens", opened]);
    }
    command
        .args(["-Xms4g", "-Xmx4g", "-XX:+UseG1GC", "-cp"])
        .arg(jars.join("*"))
        .arg(sources.join("Nexmark.java"))
        .arg(&data.folder)
        .arg(data.none())
        .arg(sources.join("schema.sql"))
        .arg(PARTITIONS.to_string())
        .args(
            queries
                .iter()
                .map(|query| sources.join(format!("{}.sql", query.name))),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child =
        process::spawn(&mut command).map_err(|error| format!("Java cannot be run: {error}"))?;
    let errors = child.stderr.take().map(|mut errors| {
        std::thread::spawn(move || {
            let mut text = String::new();
            let _ = errors.read_to_string(&mut text);
            text
        })
    });
    let mut outcomes = Outcomes::new();
    for line in child
        .stdout
        .take()
        .map(BufReader::new)
        .into_iter()
        .flat_map(BufRead::lines)
    {
        let line = line.map_err(|error| format!("Flink cannot be heard: {error}"))?;
        eprintln!("  Flink, {line}");
        if let Some((name, outcome)) = outcome(&line) {
            outcomes.insert(name, outcome);
        }
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    let said = errors
        .and_then(|errors| errors.join().ok())
        .unwrap_or_default();
    match status.success() {
        true => Ok(outcomes),
        false => Err(format!(
            "{status}: {}",
            said.lines().next().unwrap_or_default()
        )),
    }
}

/// A line that `Nexmark.java` writes.
fn outcome(line: &str) -> Option<(String, Result<Times, String>)> {
    let (name, rest) = line.split_once(' ')?;
    let outcome = match rest.strip_prefix("- ") {
        Some(why) => Err(why.to_owned()),
        None => {
            let (wall, processor) = rest.split_once(' ')?;
            Ok(Times {
                wall: wall.parse().ok()?,
                processor: processor.parse().ok()?,
            })
        }
    };
    Some((name.to_owned(), outcome))
}

/// Flink's jars, fetched once.
fn jars(folder: &Path) -> Result<PathBuf, String> {
    let folder = folder.join("flink");
    let jars = folder.join("pyflink/lib");
    if folder.join("complete").is_file() {
        return Ok(jars);
    }
    let pip = python::environment().join("bin/pip");
    let output = Command::new(pip)
        .args(["install", "--quiet", "--no-deps", "--upgrade", "--target"])
        .arg(&folder)
        .arg("--requirement")
        .arg(binary::workspace().join("benches/flink/requirements.txt"))
        .output()
        .map_err(|error| format!("pip cannot be run ({error}): run tests/setup.sh"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!(
            "PyPI gave no Flink: {}",
            said.lines().last().unwrap_or_default()
        ));
    }
    std::fs::write(folder.join("complete"), "").map_err(|error| error.to_string())?;
    Ok(jars)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_took_its_time_or_did_not_run() {
        let (name, times) = outcome("q0 1.500 2.250").unwrap();
        let times = times.unwrap();
        assert_eq!(
            (name.as_str(), times.wall, times.processor),
            ("q0", 1.5, 2.25)
        );
        let (name, why) = outcome("q6 - OVER does not take changes").unwrap();
        assert_eq!(
            (name.as_str(), why.unwrap_err().as_str()),
            ("q6", "OVER does not take changes")
        );
        assert!(outcome("a word").is_none());
    }
}
