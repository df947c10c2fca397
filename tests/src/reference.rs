//! A real PostgreSQL, to ask what the right answer is. Debian's package `postgresql` has its programs, which `setup.sh` installs.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A server of its own in a temporary folder, reached by a socket there; stopped when dropped.
#[derive(Debug)]
pub struct Reference {
    folder: TempDir,
    programs: PathBuf,
}

impl Reference {
    /// Makes an empty database `weir`, whose texts are ordered by their bytes and whose zone is UTC, and starts a server on it.
    ///
    /// # Panics
    /// When there is no PostgreSQL, or it does not start.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// As [`Self::start`], with options of `postgres` besides.
    ///
    /// # Panics
    /// When there is no PostgreSQL, or it does not start.
    pub fn start_with(options: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("weir-reference-")
            .tempdir_in("/tmp")
            .expect("a temporary folder can be made");
        let reference = Self {
            folder,
            programs: programs(),
        };
        let data = reference.data();
        if is_root() {
            // PostgreSQL does not run as root.
            let owned = Command::new("chown")
                .arg("postgres")
                .arg(reference.folder.path())
                .status();
            assert!(owned.is_ok_and(|status| status.success()));
        }
        reference.run(
            "initdb",
            &[
                "-A",
                "trust",
                "-U",
                "weir",
                "-E",
                "UTF8",
                "--locale=C",
                "-N",
                "-D",
                &data,
            ],
        );
        let socket = reference.socket();
        let options = format!(
            "-k {socket} -c listen_addresses= -c timezone=UTC -c fsync=off -c log_min_messages=fatal {options}"
        );
        let log = reference.folder.path().join("log").display().to_string();
        reference.run(
            "pg_ctl",
            &["-w", "-D", &data, "-l", &log, "-o", &options, "start"],
        );
        reference.run("createdb", &["-h", &socket, "-U", "weir", "weir"]);
        reference
    }

    /// The folder of its socket, which clients take for its host.
    pub fn socket(&self) -> String {
        self.folder.path().display().to_string()
    }

    /// The number of its first process.
    ///
    /// # Panics
    /// When it does not run.
    pub fn pid(&self) -> u32 {
        let lock = std::fs::read_to_string(self.folder.path().join("data/postmaster.pid"));
        let lock = lock.expect("it runs, and its process is written down");
        let first = lock.lines().next().and_then(|line| line.parse().ok());
        first.expect("the first line is a number")
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    /// Runs one of PostgreSQL's programs as the user that it runs as.
    fn run(&self, program: &str, args: &[&str]) {
        let output = as_owner(&self.programs.join(program), args)
            .stdout(Stdio::null())
            .output()
            .expect("PostgreSQL's programs can be run: tests/setup.sh installs them");
        assert!(
            output.status.success(),
            "{program}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Runs statements. Their rows are lines, columns apart by `|`; of an error it gives the SQLSTATE.
    ///
    /// # Errors
    /// The SQLSTATE of the first error.
    pub fn ask(&self, sql: &str) -> Result<String, String> {
        let Output {
            status,
            stdout,
            stderr,
        } = Command::new(self.programs.join("psql"))
            .args([
                "-X",
                "-A",
                "-t",
                "-q",
                "-P",
                "null=NULL",
                "-U",
                "weir",
                "-d",
                "weir",
            ])
            .args(["-v", "VERBOSITY=sqlstate", "-v", "ON_ERROR_STOP=1"])
            .arg("-h")
            .arg(self.folder.path())
            .args(["-c", sql])
            .output()
            .expect("psql can be run");
        if status.success() {
            return Ok(String::from_utf8_lossy(&stdout)
                .trim_end_matches('\n')
                .to_owned());
        }
        let message = String::from_utf8_lossy(&stderr);
        Err(message
            .split_whitespace()
            .last()
            .unwrap_or_default()
            .to_owned())
    }
}

impl Reference {
    /// Runs a script of psql's, its own commands among the statements, and gives all that it says, errors included. Columns of
    /// rows are apart by the unit separator, rows by the record separator, and their first row is that of the names.
    ///
    /// # Panics
    /// When psql cannot be run.
    pub fn script(&self, script: &str) -> String {
        let path = self.folder.path().join("script.sql");
        std::fs::write(&path, script).expect("a script can be written");
        let said = self.folder.path().join("said");
        let file = std::fs::File::create(&said).expect("a file can be made");
        let errors = file.try_clone().expect("a file can be shared");
        let status = Command::new(self.programs.join("psql"))
            .args(["-X", "-A", "-q", "-P", "null=NULL", "-P", "footer=off"])
            .args(["-F", "\u{1f}", "-R", "\u{1e}"])
            .args(["-U", "weir", "-d", "weir", "-v", "VERBOSITY=terse"])
            .arg("-h")
            .arg(self.folder.path())
            .arg("-f")
            .arg(&path)
            .stdout(file)
            .stderr(errors)
            .status();
        assert!(status.is_ok(), "psql cannot be run");
        std::fs::read_to_string(said).expect("what psql says is text")
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        let data = self.data();
        let _ = as_owner(
            &self.programs.join("pg_ctl"),
            &["-D", &data, "-m", "immediate", "stop"],
        )
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    }
}

/// Where the newest version's programs are.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql");
    let mut folders: Vec<PathBuf> = versions
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").exists())
        .collect();
    folders.sort();
    folders
        .pop()
        .expect("there is no PostgreSQL: run tests/setup.sh")
}

fn is_root() -> bool {
    // SAFETY: it takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

fn as_owner(program: &Path, args: &[&str]) -> Command {
    if is_root() {
        let mut command = Command::new("runuser");
        command
            .args(["-u", "postgres", "--"])
            .arg(program)
            .args(args);
        command.current_dir("/");
        return command;
    }
    let mut command = Command::new(program);
    command.args(args);
    command
}
