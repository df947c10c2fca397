//! `kill -9` at random moments and at named fail points: every acknowledged row and statement is there, none twice.
//!
//! Ten rounds, and a hundred with `WEIR_SOAK=1`. The seed is printed; `WEIR_SEED` sets it.

mod closing;
mod copies;
mod damage;
mod ddl;
mod dead_letters;
mod full_disk;
mod history;
mod ingest;
mod log_life;
mod sinks;
mod tables;
mod views;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use weir_tests::{Server, ServerBuilder};

/// What a start says of a write that its predecessor did not live to finish.
pub(crate) const TORN: &str = "cut off a write that was never acknowledged";

/// A server that will be killed, perhaps in the middle of a write.
pub(crate) fn server() -> ServerBuilder {
    Server::builder().expect_log(TORN)
}

/// How often each test kills.
pub(crate) fn rounds() -> u32 {
    if std::env::var_os("WEIR_SOAK").is_some() {
        100
    } else {
        10
    }
}

/// The source of chance, whose seed is printed.
pub(crate) fn random(test: &str) -> SmallRng {
    let seed = std::env::var("WEIR_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(rand::random::<u64>);
    eprintln!("{test}: WEIR_SEED={seed}");
    SmallRng::seed_from_u64(seed)
}

/// The same server, to end at a fail point when it comes there after `passes` times. (A test build's panic at a fail
/// point is an abort.)
pub(crate) fn ends_at(builder: ServerBuilder, point: &str, passes: u32) -> ServerBuilder {
    let action = match passes {
        0 => format!("{point}=return(abort)"),
        passes => format!("{point}={passes}*off->return(abort)"),
    };
    builder.env("FAILPOINTS", action)
}
