//! State comes back from its copies, whatever was copied how.

use std::collections::BTreeMap;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use weir_base::OffsetVector;
use weir_connectors::files::ObjectFolder;

use super::object::{Kind, Name};
use crate::checkpoint::{Checkpoints, JobStore, Manifest, Shelf};

/// A place for copies, and the states of one job beside it.
struct World {
    folder: ObjectFolder,
    manifest: Manifest,
    /// What the state is to be.
    values: BTreeMap<u8, u8>,
}

impl World {
    fn new() -> Self {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        Self {
            folder: ObjectFolder::of_store(store, Path::from("copies")),
            manifest: Manifest::new("plan", &[], OffsetVector::new(), 0),
            values: BTreeMap::new(),
        }
    }

    /// The state on a disk, and what is copied of it.
    fn on(&self, disk: &tempfile::TempDir) -> Checkpoints {
        let folder = self.folder.clone();
        let checkpoints = Checkpoints::open(disk.path()).unwrap();
        checkpoints
            .with_copies(move || Ok(folder.clone()), [(1, 0)])
            .unwrap()
    }

    /// One checkpoint more, in which keys get values or go.
    async fn write(&mut self, store: &JobStore, values: &[(u8, Option<u8>)]) {
        let shelf = Shelf::new(Some(store.clone()), 3, false);
        let mut saving = store.begin().unwrap();
        for (key, value) in values {
            match value {
                Some(value) => {
                    saving.put(&shelf, &[&[*key]], &[*value]);
                    self.values.insert(*key, *value);
                }
                None => {
                    saving.remove(&shelf, &[&[*key]]);
                    self.values.remove(key);
                }
            }
        }
        let made_ms = self.manifest.made_ms + 1;
        self.manifest = self.manifest.at(OffsetVector::new(), made_ms);
        let flight = saving.launch(&self.manifest).unwrap();
        flight.landed().await.unwrap();
    }

    /// Waits until the last checkpoint is copied.
    async fn copied(&self, store: &JobStore) {
        let made_ms = Some(self.manifest.made_ms);
        while store.copies().state().copied_ms != made_ms {
            tokio::task::yield_now().await;
        }
    }

    fn check(&self, store: &JobStore) {
        assert_eq!(store.manifest().unwrap().as_ref(), Some(&self.manifest));
        let shelf = Shelf::new(Some(store.clone()), 3, true);
        let mut found = BTreeMap::new();
        let see = |key: &[u8], value: &[u8]| {
            found.insert(key[0], value[0]);
            Ok(())
        };
        shelf.scan(&[], see).unwrap();
        assert_eq!(found, self.values);
    }

    async fn names(&self) -> Vec<Name> {
        let listed = self.folder.list("job-1-0").await.unwrap();
        let names = listed.iter().filter_map(|(name, _)| Name::parse(name));
        names.collect()
    }
}

#[tokio::test]
async fn state_that_is_lost_comes_back() {
    let mut world = World::new();
    let mut disk = tempfile::tempdir().unwrap();
    for round in 0..4 {
        let checkpoints = world.on(&disk);
        let store = checkpoints.of(1, 0).await.unwrap();
        if round > 0 {
            world.check(&store);
        }
        world
            .write(&store, &[(1, Some(round)), (2 + round, Some(1))])
            .await;
        world.copied(&store).await;
        world
            .write(&store, &[(2 + round, None), (9, Some(round))])
            .await;
        world.copied(&store).await;
        drop(store);
        checkpoints
            .settle_copies(std::time::Duration::from_secs(60))
            .await;
        drop(checkpoints);
        // Every other time it is there at the next start.
        if round % 2 == 0 {
            disk = tempfile::tempdir().unwrap();
        }
    }
    // One full copy, and all that went on from it.
    let names = world.names().await;
    let fulls = names.iter().filter(|name| name.kind == Kind::Whole);
    assert_eq!(fulls.count(), 1, "{names:?}");
    let deltas = names.iter().filter(|name| name.kind == Kind::Delta);
    assert_eq!(deltas.count(), 7, "{names:?}");
}

#[tokio::test]
async fn a_history_that_is_computed_anew_takes_the_place_of_the_one_before() {
    let mut world = World::new();
    let disk = tempfile::tempdir().unwrap();
    let checkpoints = world.on(&disk);
    let store = checkpoints.of(1, 0).await.unwrap();
    for round in 0..5 {
        world.write(&store, &[(round, Some(1))]).await;
        world.copied(&store).await;
    }
    let before = world.manifest.history;
    store.clear().await.unwrap();
    world.values.clear();
    world.manifest = Manifest::new("plan", &[], OffsetVector::new(), 100);
    world.write(&store, &[(7, Some(7))]).await;
    world.copied(&store).await;
    drop(store);
    checkpoints
        .settle_copies(std::time::Duration::from_secs(60))
        .await;
    let names = world.names().await;
    assert!(names.iter().all(|name| name.history != before), "{names:?}");
    let disk = tempfile::tempdir().unwrap();
    let checkpoints = world.on(&disk);
    world.check(&checkpoints.of(1, 0).await.unwrap());
    // What is gone is removed.
    checkpoints.retain_copies(|_, _| false).await.unwrap();
    assert_eq!(world.names().await, []);
}

#[tokio::test]
async fn copies_that_are_damaged_bring_nothing_back() {
    let mut world = World::new();
    let disk = tempfile::tempdir().unwrap();
    let checkpoints = world.on(&disk);
    let store = checkpoints.of(1, 0).await.unwrap();
    for round in 0..3 {
        world.write(&store, &[(round, Some(1))]).await;
        world.copied(&store).await;
    }
    let names = world.names().await;
    let last = names.iter().max().unwrap().to_string();
    let whole = world.folder.get("job-1-0", &last).await.unwrap();
    let cut = whole.slice(..whole.len() - 1);
    world.folder.put("job-1-0", &last, cut).await.unwrap();
    let disk = tempfile::tempdir().unwrap();
    let store = world.on(&disk).of(1, 0).await.unwrap();
    assert_eq!(store.manifest().unwrap(), None);
    // Without it, what was before is whole.
    world.folder.remove("job-1-0", &last).await.unwrap();
    let disk = tempfile::tempdir().unwrap();
    let store = world.on(&disk).of(1, 0).await.unwrap();
    let found = store.manifest().unwrap().unwrap();
    assert_eq!(found.number, world.manifest.number - 1);
}
