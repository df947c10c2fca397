//! Threads that let others go first.

/// Has the operating system schedule the calling thread after others (`nice(2)`: each step is about a tenth). It cannot be taken back.
/// Where there is no such thing, nothing happens.
#[cfg(target_os = "linux")]
pub fn lower_priority(nice: i32) {
    // SAFETY: plain system calls on the calling thread's own id; on Linux PRIO_PROCESS with a thread id sets that thread's
    // nice value. Failing changes nothing, and raising one's own nice value needs no privilege.
    unsafe {
        let thread = libc::gettid();
        libc::setpriority(libc::PRIO_PROCESS, thread.unsigned_abs(), nice);
    }
}

/// Has the operating system schedule the calling thread after others. It cannot be taken back.
/// Where there is no such thing, nothing happens.
#[cfg(not(target_os = "linux"))]
pub fn lower_priority(_nice: i32) {}
