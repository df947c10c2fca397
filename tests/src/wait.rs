//! Waiting for a condition, never for a duration.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// How long a condition may take before the test fails: far above what is normal, on a loaded machine with a debug build.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks until the answer is `Ok`, at most [`PATIENCE`]; the last `Err` says what was seen instead.
///
/// # Panics
/// When the condition does not come true in time.
pub async fn eventually<T, E, F>(what: &str, condition: F) -> T
where
    E: Display,
    F: AsyncFnMut() -> Result<T, E>,
{
    within(PATIENCE, what, condition).await
}

/// As [`eventually`], with another bound: for promises that name a time.
///
/// # Panics
/// When the condition does not come true within `bound`.
pub async fn within<T, E, F>(bound: Duration, what: &str, mut condition: F) -> T
where
    E: Display,
    F: AsyncFnMut() -> Result<T, E>,
{
    let started = Instant::now();
    let mut pause = Duration::from_millis(5);
    loop {
        let seen = match condition().await {
            Ok(value) => return value,
            Err(seen) => seen,
        };
        assert!(
            started.elapsed() < bound,
            "{what}: not within {bound:?}; last seen: {seen}"
        );
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// `Ok` if `holds`, else `Err(seen)`: the usual end of a condition.
///
/// # Errors
/// `seen`, when the condition does not hold yet.
pub fn check<S: Display>(holds: bool, seen: S) -> Result<(), S> {
    if holds { Ok(()) } else { Err(seen) }
}
