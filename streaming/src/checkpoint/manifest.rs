//! What a checkpoint says about itself.

use std::hash::{BuildHasher, RandomState};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use weir_base::{Offset, OffsetVector, TopicId};

use crate::sources::Read;

/// Changes when the form of operators' state does: what an older version wrote is computed again.
const FORMAT: u32 = 2;

/// Of what the state of a job is the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// The form of the state.
    format: u32,
    /// SHA-256 (FIPS 180-4) of the plan that the operators were made from, in hexadecimal.
    plan: String,
    /// The topics that are read; a name may be another topic's by now.
    topics: Vec<TopicId>,
    /// Up to where they were read.
    pub(crate) position: OffsetVector,
    /// When it was made, in milliseconds since the epoch.
    pub(crate) made_ms: i64,
    /// How many rows were left out because they cannot be computed.
    #[serde(default)]
    pub(crate) skipped: u64,
    /// Counts the checkpoints of a history, from 1 on.
    #[serde(default)]
    pub(crate) number: u64,
    /// Tells the state's history from another, which was computed anew.
    #[serde(default)]
    pub(crate) history: u64,
    /// Where the topic of the view ended that the state belongs to: without its rows, the state is ahead of it.
    #[serde(default)]
    pub(crate) shown: Option<Offset>,
}

impl Manifest {
    pub(crate) fn new(plan: &str, reads: &[Read], position: OffsetVector, made_ms: i64) -> Self {
        Self {
            format: FORMAT,
            plan: hash(plan),
            topics: reads.iter().map(|read| read.topic().id()).collect(),
            position,
            made_ms,
            skipped: 0,
            number: 0,
            // The keys of a hasher are as good as any that come by chance.
            history: RandomState::new().hash_one(0),
            shown: None,
        }
    }

    /// That of the same operators at another position.
    pub(crate) fn at(&self, position: OffsetVector, made_ms: i64) -> Self {
        Self {
            position,
            made_ms,
            number: self.number.saturating_add(1),
            ..self.clone()
        }
    }

    /// Whether the state is that of the operators of a plan.
    pub(crate) fn is_of(&self, plan: &str) -> bool {
        self.format == FORMAT && self.plan == hash(plan)
    }

    /// A number that stands for the query: two that differ in their plan, or in the topics that they read, have different ones.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut digest = Sha256::new();
        digest.update(&self.plan);
        for topic in &self.topics {
            digest.update(topic.to_string());
        }
        let digest = digest.finalize();
        digest.first_chunk().copied().map_or(0, u64::from_be_bytes)
    }

    /// Whether the same topics are read, and not others of their names.
    pub(crate) fn reads(&self, reads: &[Read]) -> bool {
        let ids = reads.iter().map(|read| read.topic().id());
        ids.eq(self.topics.iter().copied())
    }
}

fn hash(plan: &str) -> String {
    let digest = Sha256::digest(plan.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
