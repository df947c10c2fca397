//! The last offset of each key, of as many keys as there is memory for.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use weir_base::Offset;

use super::is_compacted;
use crate::BatchView;

/// About what a key costs in memory, with the room that a hash table needs to grow.
const KEY_BYTES: usize = 64;

/// Last offsets by 128 bits of two keyed hashes (SipHash) of the key. The hashes' keys are new each time, so that nobody can
/// look for two keys that collide; by chance, of a billion keys two do with a probability of 10⁻²¹.
#[derive(Debug)]
pub(crate) struct Latest {
    offsets: HashMap<[u64; 2], Offset>,
    hashers: [RandomState; 2],
    most: usize,
}

impl Latest {
    /// None yet, of as many as fit into about `bytes_max`, and at least those of one batch.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            offsets: HashMap::new(),
            hashers: [RandomState::new(), RandomState::new()],
            most: bytes_max / KEY_BYTES,
        }
    }

    /// The last offset of a key, if it was noted.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Offset> {
        self.offsets.get(&self.hash(key)).copied()
    }

    /// Whether there is no room for more.
    pub(crate) fn is_full(&self) -> bool {
        self.offsets.len() >= self.most
    }

    /// Notes the keys of a batch that comes after all others. What does not decode has none.
    pub(crate) fn note(&mut self, batch: &BatchView) {
        if !is_compacted(batch) {
            return;
        }
        let Ok(batch) = batch.clone().decompressed() else {
            return;
        };
        for record in batch.records().map_while(Result::ok) {
            if let Some(key) = record.key {
                let hash = self.hash(key);
                self.offsets.insert(hash, record.offset);
            }
        }
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        let [first, second] = &self.hashers;
        [first.hash_one(key), second.hash_one(key)]
    }
}
