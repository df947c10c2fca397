//! Programs in other languages, for which `tests/setup.sh` has put together what they need.

use std::process::Command;

use crate::{binary, python};

/// Runs a script of `tests/node/` and gives what it printed.
///
/// # Panics
/// When it fails; the message holds what it said.
pub fn node(script: &str, arguments: &[&str]) -> String {
    let mut command = Command::new("node");
    command
        .arg(binary::workspace().join("tests/node").join(script))
        .args(arguments)
        .env("NODE_PATH", node_path())
        .env("WEIR_TEST_VENV", python::environment());
    python::output(command, script)
}

/// Where scripts find the packages of the clients and of the browser's driver.
fn node_path() -> String {
    let folder = |name: &str| python::environment().join(name).join("node_modules");
    format!(
        "{}:{}",
        folder("node").display(),
        folder("browser").display()
    )
}

/// Runs a program of one file of `tests/java/` and gives what it printed.
///
/// # Panics
/// When it fails; the message holds what it said.
pub fn java(source: &str, arguments: &[&str]) -> String {
    let mut command = Command::new("java");
    command
        // Arrow's memory is outside of what the virtual machine opens by itself.
        .arg("--add-opens=java.base/java.nio=ALL-UNNAMED")
        .arg("-cp")
        .arg(python::environment().join("jars/*"))
        .arg(binary::workspace().join("tests/java").join(source))
        .args(arguments);
    python::output(command, source)
}

/// Runs kcat with `input` and gives what it printed.
///
/// # Panics
/// When it fails; the message holds what it said.
pub fn kcat(arguments: &[&str], input: &str) -> String {
    use std::io::Write;
    let mut file = tempfile::tempfile().expect("a temporary file can be made");
    file.write_all(input.as_bytes()).expect("it can be written");
    std::io::Seek::rewind(&mut file).expect("it can be read from its start");
    let mut command = Command::new("kcat");
    command.args(arguments).stdin(file);
    python::output(command, "kcat")
}
