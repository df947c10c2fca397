//! A partition's history as it is now, and the hold that readers have on its files.

use std::collections::HashMap;
use std::sync::Arc;

use object_store::path::Path;

use super::manifest::{DataFile, Manifest};

/// Keeps a file that is being read: a file that a later manifest leaves out is removed when nobody has one any more.
#[derive(Debug, Clone, Default)]
pub(super) struct Guard(Arc<()>);

impl Guard {
    fn is_last(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

/// One state of a partition's history. It never changes; the next one takes its place.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) manifest: Manifest,
    guards: HashMap<String, Guard>,
}

impl Kept {
    /// A manifest, and holds on its files: those of `before` where it had the file already.
    pub(super) fn new(manifest: Manifest, before: Option<&Self>) -> Self {
        let guards = manifest.files.iter().map(|file| {
            let known = before.and_then(|before| before.guards.get(&file.name));
            (file.name.clone(), known.cloned().unwrap_or_default())
        });
        Self {
            guards: guards.collect(),
            manifest,
        }
    }

    /// A hold on a file of this state.
    pub(super) fn guard(&self, file: &DataFile) -> Guard {
        self.guards.get(&file.name).cloned().unwrap_or_default()
    }
}

/// Files that no manifest names any more, and that are still read perhaps.
#[derive(Debug, Default)]
pub(super) struct Doomed(Vec<(Path, Guard)>);

impl Doomed {
    pub(super) fn add(&mut self, path: Path, guard: Guard) {
        self.0.push((path, guard));
    }

    /// Takes out those that nobody reads.
    pub(super) fn unread(&mut self) -> Vec<Path> {
        let mut unread = Vec::new();
        self.0.retain(|(path, guard)| {
            if guard.is_last() {
                unread.push(path.clone());
            }
            !guard.is_last()
        });
        unread
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_stays() {
        let mut doomed = Doomed::default();
        let (read, unread) = (Guard::default(), Guard::default());
        let reader = read.clone();
        doomed.add(Path::from("a"), read);
        doomed.add(Path::from("b"), unread);
        assert_eq!(doomed.unread(), [Path::from("b")]);
        assert_eq!(doomed.unread(), []);
        drop(reader);
        assert_eq!(doomed.unread(), [Path::from("a")]);
    }
}
