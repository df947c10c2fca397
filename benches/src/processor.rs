//! What a process costs: the time on processors that Linux counts for it.

/// In these Linux counts for programs (`USER_HZ`).
const TICKS_A_SECOND: f64 = 100.0;

/// The time that a process has spent on processors, in seconds (proc(5), `stat`).
pub(crate) fn processor_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .expect("the process is there to be measured");
    // The second field is the program's name in brackets, which may hold spaces.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let mut ticks = fields.split_whitespace().skip(11);
    let mut next = || -> f64 {
        let field = ticks.next().and_then(|field| field.parse().ok());
        field.expect("Linux counts the time")
    };
    (next() + next()) / TICKS_A_SECOND
}
