//! Where the `weir` binary under test is.

use std::path::PathBuf;

/// The binary named by `WEIR_BIN`, or else the one that was built into the same folder as the running test.
///
/// # Panics
/// When it is not there, with the command that builds it.
pub fn weir() -> PathBuf {
    let path = match std::env::var_os("WEIR_BIN") {
        Some(path) => PathBuf::from(path),
        None => beside_this_test(),
    };
    assert!(
        path.is_file(),
        "the weir binary is not at {}: build it with `make build-tests`, or name another one by WEIR_BIN",
        path.display()
    );
    path
}

/// Cargo puts test binaries into `target/PROFILE/deps/` and programs into `target/PROFILE/`.
fn beside_this_test() -> PathBuf {
    let mut path = std::env::current_exe().expect("the running test has a path");
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path.join("weir")
}

/// The root of the source tree: where cargo runs this, for one target folder may serve several trees.
pub fn workspace() -> PathBuf {
    let folder = std::env::var_os("CARGO_MANIFEST_DIR");
    let mut path = folder.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    path.pop();
    path
}
