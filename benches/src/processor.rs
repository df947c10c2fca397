//! What a process costs: the time on processors that Linux counts for it.

/// In these Linux counts for programs (`USER_HZ`).
const TICKS_A_SECOND: f64 = 100.0;

/// The time that a process has spent on processors, in seconds (proc(5), `stat`).
pub(crate) fn processor_seconds(pid: u32) -> f64 {
    seconds(pid, 2)
}

/// As [`processor_seconds`], with what the processes that it had started took until they ended.
pub(crate) fn processor_seconds_with_ended_children(pid: u32) -> f64 {
    seconds(pid, 4)
}

/// The sum of the first `fields` of `utime`, `stime`, `cutime` and `cstime`.
fn seconds(pid: u32, fields: usize) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .expect("the process is there to be measured");
    // The second field is the program's name in brackets, which may hold spaces.
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(fields);
    let ticks = ticks.map(|field| field.parse::<f64>().expect("Linux counts the time"));
    ticks.sum::<f64>() / TICKS_A_SECOND
}
