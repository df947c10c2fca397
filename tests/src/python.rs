//! Python's side of the tests: clients, an S3 server, and an API fuzzer, in a virtual environment that
//! `tests/setup.sh` makes.

use std::path::PathBuf;
use std::process::Command;

use crate::binary;

/// The folder of the virtual environment: `WEIR_TEST_VENV`, or `target/test-venv` of the source tree.
pub fn environment() -> PathBuf {
    match std::env::var_os("WEIR_TEST_VENV") {
        Some(folder) => PathBuf::from(folder),
        None => binary::workspace().join("target/test-venv"),
    }
}

/// A program of the virtual environment.
///
/// # Panics
/// When it is not there, with how to set it up: no test is skipped for it.
pub fn program(name: &str) -> PathBuf {
    let path = environment().join("bin").join(name);
    assert!(
        path.is_file(),
        "{} is not there: run tests/setup.sh (`make test` does), or name the environment by WEIR_TEST_VENV",
        path.display()
    );
    path
}

/// Runs a script of `tests/python/` and gives what it printed.
///
/// # Panics
/// When it fails; the message holds what it said.
pub fn run(script: &str, arguments: &[&str]) -> String {
    let path = binary::workspace().join("tests/python").join(script);
    let mut command = Command::new(program("python"));
    command.arg(path).args(arguments);
    output(command, script)
}

/// A program of an environment within the environment, `tools` or `superset`, whose packages go with no others.
///
/// # Panics
/// As [`program`].
pub fn program_in(inner: &str, name: &str) -> PathBuf {
    let path = environment().join(inner).join("bin").join(name);
    assert!(
        path.is_file(),
        "{} is not there: run tests/setup.sh (`make test` does)",
        path.display()
    );
    path
}

/// Runs a script of `tests/python/` with the packages of an environment within the environment.
///
/// # Panics
/// As [`run`].
pub fn run_in(inner: &str, script: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program_in(inner, "python"));
    command.arg(self::script(script)).args(arguments);
    output(command, script)
}

/// Runs `command` to its end and gives its standard output.
///
/// # Panics
/// When it fails; the message holds what it said.
pub fn output(mut command: Command, what: &str) -> String {
    for proxy in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"] {
        command.env_remove(proxy);
    }
    let output = command
        .env("NO_PROXY", "*")
        .output()
        .unwrap_or_else(|error| panic!("{what} cannot be run: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{what} failed ({}):\n{said}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

/// A file of the test sources, for a message or an argument.
pub fn script(name: &str) -> PathBuf {
    crate::binary::workspace().join("tests/python").join(name)
}
