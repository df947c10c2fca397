//! What a process costs: the time on processors that Linux counts for it.

/// In these Linux counts for programs (`USER_HZ`).
const TICKS_A_SECOND: f64 = 100.0;

/// The time that a process has spent on processors, in seconds (proc(5), `stat`).
pub(crate) fn processor_seconds(pid: u32) -> f64 {
    fields(pid).take(2).sum::<f64>() / TICKS_A_SECOND
}

/// The time that a PostgreSQL's processes for connections took, up to their ends, for which is waited.
pub(crate) fn ended_children_seconds(pid: u32) -> f64 {
    while serves_somebody(pid) {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    fields(pid).skip(2).take(2).sum::<f64>() / TICKS_A_SECOND
}

/// Whether a PostgreSQL has a process for a connection: its title begins with the user's and the database's name.
fn serves_somebody(postmaster: u32) -> bool {
    let path = format!("/proc/{postmaster}/task/{postmaster}/children");
    let children = std::fs::read_to_string(path).expect("Linux lists a process's children");
    children.split_whitespace().any(|child| {
        let title = std::fs::read_to_string(format!("/proc/{child}/cmdline"));
        title.is_ok_and(|title| title.starts_with("postgres: weir weir"))
    })
}

/// `utime`, `stime`, `cutime` and `cstime` of a process, in ticks.
fn fields(pid: u32) -> impl Iterator<Item = f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .expect("the process is there to be measured");
    // The second field is the program's name in brackets, which may hold spaces.
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(4);
    let ticks = ticks.map(|field| field.parse().expect("Linux counts the time"));
    ticks.collect::<Vec<f64>>().into_iter()
}
