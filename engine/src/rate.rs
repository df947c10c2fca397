//! `WITH (rate = 10000)`: the rows that a view or sink reads from its sources in a second, at the most.

use std::num::NonZeroU64;

use weir_base::{Options, SqlState};
use weir_catalog::{Body, ObjectId, ObjectKind, Snapshot};

use crate::error::{Error, Result};
use crate::reads::relations_read;

/// The option's name.
pub(crate) const RATE: &str = "rate";

/// Takes the option.
///
/// # Errors
/// When it is no number, or 0.
pub(crate) fn take(options: &mut Options) -> Result<Option<NonZeroU64>> {
    let Some(rate) = options.take::<u64>(RATE)? else {
        return Ok(None);
    };
    let rate = NonZeroU64::new(rate);
    rate.map(Some).ok_or_else(|| {
        Error::invalid(
            SqlState::INVALID_PARAMETER_VALUE,
            "option \"rate\" cannot be 0",
        )
        .with_hint("rows a second; PAUSE stops it")
    })
}

/// Refuses a rate for a view that reads others: these move with their sources, and at another pace it would see them and the sources at
/// different moments.
pub(crate) fn check(
    snapshot: &Snapshot,
    rate: Option<NonZeroU64>,
    reads: impl IntoIterator<Item = ObjectId>,
) -> Result<()> {
    if rate.is_none() {
        return Ok(());
    }
    let read = relations_read(snapshot, reads);
    let mut views = read
        .into_iter()
        .filter(|entry| entry.kind() == ObjectKind::MaterializedView);
    match views.next() {
        None => Ok(()),
        Some(view) => Err(Error::unsupported(format!(
            "a view with a rate cannot read {}",
            view.describe()
        ))
        .with_hint("read the view's own sources, or give that one the rate")),
    }
}

/// The rate of a view or sink, as its options have it.
pub(crate) fn of(body: &Body) -> Option<u64> {
    let options = match body {
        Body::MaterializedView(kept) => &kept.options,
        Body::Sink(sink) => &sink.options,
        _ => return None,
    };
    options.get(RATE)?.parse().ok()
}
