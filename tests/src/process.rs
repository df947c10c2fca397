//! Child processes that do not outlive the test, and what Linux says of them.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// Starts `command` so that it is killed when the thread that started it ends, however that comes about.
///
/// # Errors
/// As [`Command::spawn`].
pub fn spawn(command: &mut Command) -> std::io::Result<Child> {
    // SAFETY: prctl is async-signal-safe and touches nothing of the parent's memory.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
    command.spawn()
}

/// Sends a signal to `child`.
pub fn signal(child: &Child, signal: i32) {
    let pid = i32::try_from(child.id()).expect("a process id fits");
    // SAFETY: the child was started by us and has not been waited for, so that its id is still its own.
    unsafe {
        libc::kill(pid, signal);
    }
}

/// Waits for the end of `child`, at most `bound`.
///
/// # Panics
/// When it has not ended by then; it is killed first.
pub fn wait(child: &mut Child, bound: Duration, what: &str) -> ExitStatus {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            return status;
        }
        if started.elapsed() > bound {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{what} did not end within {bound:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The resident memory of a process in bytes.
///
/// # Panics
/// When the process is gone.
pub fn resident_bytes(pid: u32) -> u64 {
    status_field(pid, "VmRSS:")
}

/// The most resident memory that a process ever had, in bytes.
///
/// # Panics
/// When the process is gone.
pub fn peak_resident_bytes(pid: u32) -> u64 {
    status_field(pid, "VmHWM:")
}

fn status_field(pid: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))
        .expect("the process is there to be measured");
    let kilobytes: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
        .expect("Linux reports the field in kB");
    kilobytes * 1024
}

/// How a process ended, for a message.
pub fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}
