//! Changes as records of a topic, each step in one transaction with the position that it leads to.

use std::time::Instant;

use futures::FutureExt;
use futures::future::BoxFuture;
use weir_base::OffsetVector;
use weir_connectors::topic::{ChangeEncoder, TransactionalWriter};

use super::RowCheck;
use crate::delta::Delta;
use crate::error::{Error, Result};
use crate::runtime::{Sink, Written};

/// Writes changes to a topic.
#[derive(Debug)]
pub struct TopicSink {
    encoder: ChangeEncoder,
    writer: TransactionalWriter,
    check: Option<RowCheck>,
    written: Option<OffsetVector>,
}

impl TopicSink {
    /// A sink that has found out nothing yet.
    pub fn new(
        encoder: ChangeEncoder,
        writer: TransactionalWriter,
        check: Option<RowCheck>,
    ) -> Self {
        Self {
            encoder,
            writer,
            check,
            written: None,
        }
    }

    async fn write(&mut self, delta: &Delta, position: &OffsetVector) -> Result<()> {
        if self.writer.topic().has_grown() {
            return Err(Error::Grown(self.writer.topic().name().to_string()));
        }
        if let Some(check) = &self.check {
            check.all(&delta.plus)?;
        }
        let batches = self.encoder.encode(&delta.minus, &delta.plus)?;
        self.writer.commit(batches, position).await?;
        self.written = Some(position.clone());
        Ok(())
    }
}

impl Sink for TopicSink {
    fn settle(&mut self) -> BoxFuture<'_, Result<Written>> {
        async move {
            self.written = self.writer.begin().await?;
            Ok(Written {
                up_to: self.written.clone(),
                begun: None,
            })
        }
        .boxed()
    }

    fn take<'a>(
        &'a mut self,
        delta: &'a Delta,
        position: &'a OffsetVector,
    ) -> BoxFuture<'a, Result<()>> {
        self.write(delta, position).boxed()
    }

    fn flush(&mut self) -> BoxFuture<'_, Result<()>> {
        std::future::ready(Ok(())).boxed()
    }

    fn kept_from(&self) -> Option<&OffsetVector> {
        self.written.as_ref()
    }

    fn is_whole(&self) -> bool {
        true
    }

    fn due(&self) -> Option<Instant> {
        None
    }
}
