//! The places where a test makes a write fail or the process die, with the cargo feature `failpoints`.
//!
//! Each of `topics::append`, `topics::before_sync`, `topics::after_sync`, `topics::roll`, `topics::bounds`, `topics::remove`,
//! `topics::configure`, `topics::partitions`, `topics::compacting`, `topics::compacted`, `topics::transaction_prepared`,
//! `topics::transaction_marker` and `topics::transaction_told` takes the actions of the `fail` crate
//! (`sleep`, `pause`, `panic`, a callback …) and these: `return(abort)` ends the process on the spot, as a crash would;
//! `return(enospc)` and `return(eio)` are the operating system's errors.

use std::io;

/// Before the bytes of a group are written.
pub(crate) fn append() -> io::Result<()> {
    fail::fail_point!("topics::append", act);
    Ok(())
}

/// After the bytes of a group are written, before they are synced.
pub(crate) fn before_sync() -> io::Result<()> {
    fail::fail_point!("topics::before_sync", act);
    Ok(())
}

/// After the sync, before anybody is told.
pub(crate) fn after_sync() -> io::Result<()> {
    fail::fail_point!("topics::after_sync", act);
    Ok(())
}

/// When a segment is full, before the next one is begun.
pub(crate) fn roll() -> io::Result<()> {
    fail::fail_point!("topics::roll", act);
    Ok(())
}

/// After a transaction's outcome is durable, before anybody is told.
pub(crate) fn transaction_prepared() -> crate::Result<()> {
    fail::fail_point!("topics::transaction_prepared", act_on_transaction);
    Ok(())
}

/// Before each of a transaction's markers.
pub(crate) fn transaction_marker() -> crate::Result<()> {
    fail::fail_point!("topics::transaction_marker", act_on_transaction);
    Ok(())
}

/// After all of a transaction's markers are on disk, before that is noted.
pub(crate) fn transaction_told() -> crate::Result<()> {
    fail::fail_point!("topics::transaction_told", act_on_transaction);
    Ok(())
}

#[cfg_attr(not(feature = "failpoints"), allow(dead_code))]
fn act_on_transaction(action: Option<String>) -> crate::Result<()> {
    act(action).map_err(|error| crate::Error::io("end", "a transaction", error))
}

/// Before the bounds of a partition are noted: its start, or up to where it is compacted.
pub(crate) fn bounds() -> io::Result<()> {
    fail::fail_point!("topics::bounds", act);
    Ok(())
}

/// Before the files of a segment that is not needed are removed.
pub(crate) fn remove() -> io::Result<()> {
    fail::fail_point!("topics::remove", act);
    Ok(())
}

/// Before a topic's configuration is replaced.
pub(crate) fn configure() -> io::Result<()> {
    fail::fail_point!("topics::configure", act);
    Ok(())
}

/// After the folders of new partitions are made, before the topic has them.
pub(crate) fn partitions() -> io::Result<()> {
    fail::fail_point!("topics::partitions", act);
    Ok(())
}

/// At each step of writing a compacted segment that nothing counts on yet: its unfinished file, its index.
pub(crate) fn compacting() -> io::Result<()> {
    fail::fail_point!("topics::compacting", act);
    Ok(())
}

/// When a compacted segment has its name, before those that it replaces go.
pub(crate) fn compacted() -> io::Result<()> {
    fail::fail_point!("topics::compacted", act);
    Ok(())
}

#[cfg_attr(not(feature = "failpoints"), allow(dead_code))]
fn act(action: Option<String>) -> io::Result<()> {
    match action.as_deref() {
        Some("abort") => std::process::abort(),
        Some("enospc") => Err(io::ErrorKind::StorageFull.into()),
        _ => Err(io::Error::other("a fail point said so")),
    }
}
