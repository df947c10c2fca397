//! The audit log: who signed in, who failed to, who changed what exists or who may use it, and what was denied.
//!
//! JSON lines in the data folder, `audit/audit.log`; a full file is renamed to `audit-<milliseconds>.log`, and the oldest of
//! these are removed. Lines are written by one thread, so that no door waits for the disk; what is noted while a thousand
//! lines wait is counted, and the next line says how many are missing.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use serde::Serialize;
use weir_base::{Clock, Kind};

use crate::error::{Error, Result};

/// Bytes after which a file is closed.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Closed files that are kept.
const FILES_KEPT: usize = 8;
/// Lines that wait for the disk.
const WAITING_MAX: usize = 1_000;

/// Something that somebody may want to know later.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum AuditEvent<'a> {
    /// Somebody was let in.
    SignedIn {
        user: &'a str,
        from: IpAddr,
        by_token: bool,
    },
    /// Somebody was not.
    SignInFailed { user: &'a str, from: IpAddr },
    /// A statement changed what exists, or who may use it; secrets redacted.
    Changed { user: &'a str, statement: &'a str },
    /// Somebody asked for what the rights forbid.
    Denied {
        user: &'a str,
        statement: &'a str,
        reason: &'a str,
    },
}

#[derive(Serialize)]
struct Line<'a> {
    at_ms: i64,
    #[serde(skip_serializing_if = "is_zero")]
    missing: u64,
    #[serde(flatten)]
    event: AuditEvent<'a>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Where events are noted. Nobody waits for it.
#[derive(Debug)]
pub(crate) struct Audit {
    lines: Option<SyncSender<String>>,
    missing: AtomicU64,
    clock: Arc<dyn Clock>,
}

impl Audit {
    /// The audit log in `folder`; none at all where nobody signs in.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub(crate) fn open(folder: &Path, is_kept: bool, clock: Arc<dyn Clock>) -> Result<Self> {
        let lines = match is_kept {
            false => None,
            true => {
                let (lines, waiting) = sync_channel(WAITING_MAX);
                let failed = |error: std::io::Error| {
                    let folder = folder.display();
                    let message = format!("the audit log in {folder} cannot be written: {error}");
                    Error::new(Kind::Unavailable, message)
                };
                let file = AuditFile::open(folder).map_err(failed)?;
                std::thread::Builder::new()
                    .name("weir-audit".to_owned())
                    .spawn(move || write_all(file, &waiting))
                    .map_err(failed)?;
                Some(lines)
            }
        };
        Ok(Self {
            lines,
            missing: AtomicU64::new(0),
            clock,
        })
    }

    /// Notes an event.
    pub(crate) fn note(&self, event: AuditEvent<'_>) {
        let Some(lines) = &self.lines else {
            return;
        };
        let line = Line {
            at_ms: self.clock.now_ms(),
            missing: self.missing.swap(0, Ordering::Relaxed),
            event,
        };
        let missing = line.missing;
        let Ok(text) = serde_json::to_string(&line) else {
            return;
        };
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = lines.try_send(text) {
            self.missing.fetch_add(missing + 1, Ordering::Relaxed);
        }
    }
}

fn write_all(mut file: AuditFile, lines: &Receiver<String>) {
    let mut is_failing = false;
    // Until the engine is gone.
    while let Ok(line) = lines.recv() {
        match file.write(&line) {
            Ok(()) => is_failing = false,
            // Once for a disk that stays full.
            Err(error) if !is_failing => {
                is_failing = true;
                tracing::error!(%error, "the audit log cannot be written");
            }
            Err(_) => {}
        }
    }
}

/// The file that is written to.
#[derive(Debug)]
struct AuditFile {
    folder: PathBuf,
    file: File,
    bytes: u64,
}

impl AuditFile {
    fn open(folder: &Path) -> std::io::Result<Self> {
        fs::create_dir_all(folder)?;
        let (file, bytes) = current(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            file,
            bytes,
        })
    }

    fn write(&mut self, line: &str) -> std::io::Result<()> {
        if self.bytes >= FILE_BYTES_MAX {
            self.rotate()?;
        }
        let line = format!("{line}\n");
        self.file.write_all(line.as_bytes())?;
        self.bytes += line.len() as u64;
        Ok(())
    }

    fn rotate(&mut self) -> std::io::Result<()> {
        self.file.sync_all()?;
        let at_ms = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_millis());
        fs::rename(
            self.folder.join(CURRENT),
            self.folder.join(format!("audit-{at_ms:015}.log")),
        )?;
        (self.file, self.bytes) = current(&self.folder)?;
        let mut closed: Vec<PathBuf> = fs::read_dir(&self.folder)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                path.file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with("audit-"))
            })
            .collect();
        closed.sort_unstable();
        let too_many = closed.len().saturating_sub(FILES_KEPT);
        for path in closed.iter().take(too_many) {
            fs::remove_file(path)?;
        }
        Ok(())
    }
}

const CURRENT: &str = "audit.log";

fn current(folder: &Path) -> std::io::Result<(File, u64)> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        // Names and statements are for the operator.
        options.mode(0o600);
    }
    let file = options.open(folder.join(CURRENT))?;
    let bytes = file.metadata()?.len();
    Ok((file, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_files_are_closed_and_the_oldest_removed() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = AuditFile::open(folder.path()).unwrap();
        for _ in 0..FILES_KEPT + 3 {
            file.bytes = FILE_BYTES_MAX;
            file.write("{}").unwrap();
            // Names of closed files are times.
            while folder
                .path()
                .join(format!("audit-{:015}.log", now_ms()))
                .exists()
            {
                std::thread::yield_now();
            }
        }
        let files = fs::read_dir(folder.path()).unwrap().count();
        assert!(files <= FILES_KEPT + 1, "{files}");
        assert_eq!(
            fs::read_to_string(folder.path().join(CURRENT)).unwrap(),
            "{}\n"
        );
    }

    fn now_ms() -> u128 {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_millis()
    }
}
