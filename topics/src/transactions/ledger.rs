//! All transactional ids in memory: what the records say, applied in their order.

use std::collections::BTreeMap;

use weir_base::TopicId;

use super::record::Change;
use super::settings::{TRANSACTIONS_BYTES_MAX, TRANSACTIONS_MAX};
use super::transaction::Transaction;
use crate::journal::Kept;

/// What is known of each transactional id.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    transactions: BTreeMap<String, Transaction>,
    bytes: u64,
}

impl Ledger {
    pub(super) fn get(&self, transactional_id: &str) -> Option<&Transaction> {
        self.transactions.get(transactional_id)
    }

    /// All, in order of id.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Transaction)> {
        self.transactions.iter()
    }
}

impl Kept for Ledger {
    type Change = Change;
    const TOPIC: &'static str = "__weir_transactions";

    fn encode(change: &Change) -> Vec<u8> {
        change.encode()
    }

    fn decode(value: &[u8]) -> Result<Change, String> {
        Change::decode(value).map_err(|reason| reason.to_string())
    }

    fn whole() -> Change {
        Change::Whole
    }

    fn is_whole(change: &Change) -> bool {
        *change == Change::Whole
    }

    fn apply(&mut self, transactional_id: &str, change: Change) {
        let id_bytes = transactional_id.len() as u64;
        let old = match change {
            Change::State(transaction) => {
                self.bytes += id_bytes + transaction.bytes();
                self.transactions
                    .insert(transactional_id.to_owned(), transaction)
            }
            Change::Forget => self.transactions.remove(transactional_id),
            Change::Whole => None,
        };
        if let Some(old) = old {
            self.bytes -= id_bytes + old.bytes();
        }
    }

    fn snapshot(&self) -> Vec<(String, Change)> {
        let all = self.transactions.iter();
        all.map(|(id, transaction)| (id.clone(), Change::State(transaction.clone())))
            .collect()
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn bytes_of(change: &Change) -> u64 {
        match change {
            Change::State(transaction) => transaction.bytes(),
            Change::Forget | Change::Whole => 0,
        }
    }

    fn has_room(&self, transactional_id: &str, change: &Change) -> bool {
        let Change::State(new) = change else {
            return true;
        };
        let old = self.get(transactional_id);
        let old_bytes = old.map_or(0, Transaction::bytes);
        // What ends a transaction must always be possible.
        if old.is_some() && new.bytes() <= old_bytes {
            return true;
        }
        let count = self.transactions.len() + usize::from(old.is_none());
        let bytes = self.bytes - old_bytes + new.bytes();
        count <= TRANSACTIONS_MAX && bytes <= TRANSACTIONS_BYTES_MAX
    }

    fn forget_topics(&mut self, _: impl Fn(TopicId) -> bool) {
        // What an open transaction says of a deleted topic goes when it ends.
    }
}
