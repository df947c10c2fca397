//! The log (interface; the body follows).
#![allow(unused_variables, dead_code, clippy::unimplemented)]

use std::sync::Arc;

use weir_base::{Clock, TopicId, TopicName};

use crate::{LogSettings, Result, Topic, TopicSpec};

/// All topics in one folder. Clones are the same log.
#[derive(Debug, Clone)]
pub struct TopicLog;

impl TopicLog {
    /// Opens the folder.
    pub async fn open(settings: LogSettings, clock: Arc<dyn Clock>) -> Result<Self> {
        unimplemented!()
    }
    /// Makes a topic; it is durable on return.
    pub async fn create_topic(&self, name: &TopicName, spec: TopicSpec) -> Result<Topic> {
        unimplemented!()
    }
    /// The topic of that name.
    pub fn topic(&self, name: &TopicName) -> Option<Topic> {
        unimplemented!()
    }
    /// The topic of that identity.
    pub fn topic_by_id(&self, id: TopicId) -> Option<Topic> {
        unimplemented!()
    }
    /// All topics, in order of name.
    pub fn topics(&self) -> Vec<Topic> {
        unimplemented!()
    }
    /// Deletes a topic.
    pub async fn delete_topic(&self, id: TopicId) -> Result<()> {
        unimplemented!()
    }
    /// Finishes what was appended, and closes the folder.
    pub async fn close(&self) -> Result<()> {
        unimplemented!()
    }
    /// Why the log stopped taking writes.
    pub fn failure(&self) -> Option<String> {
        unimplemented!()
    }
}
