//! Plans that are kept, for statements that come again and again.
//!
//! To plan a small query takes longer than to run it. The second time that a text comes it is planned with its parameters left open,
//! and over tables that are bound to their versions when it runs ([`Planner::reusable`](crate::planning::Planner::reusable)); such
//! a [`KeptPlan`] is kept here, and from then on the text is neither parsed nor planned. It answers as a plan that was made anew would:
//! it is used as long as the catalog, the rights and the settings are those that it was made with, and only if everything that it
//! computes depends on the rows and the parameters alone.

mod parameter;
mod plan;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::DataType;
use parking_lot::Mutex;
use weir_catalog::accounts::{Accounts, TokenId};
use weir_catalog::{AccountId, Snapshot};

use crate::request::Request;
use crate::security::Principal;
use crate::variables::{Settled, Variables};
pub(crate) use parameter::{Parameter, Values};
pub(crate) use plan::{KeptPlan, Reads};

/// Texts that are known.
const TEXTS_MAX: usize = 512;
/// Longer texts are not kept.
const TEXT_BYTES_MAX: usize = 16 << 10;
/// Plans of one text, each for one run at a time.
const PLANS_MAX: usize = 8;

/// What a plan was made from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    sql: String,
    /// Of the parameters' values, and as the client said them.
    types: (Vec<DataType>, Vec<Option<DataType>>),
    settings: Settled,
    reader: (Option<AccountId>, Option<TokenId>),
}

impl Key {
    /// The key of a request; none where its text is not looked at alone.
    pub(crate) fn of(
        request: &Request,
        variables: &Variables,
        principal: &Principal,
    ) -> Option<Self> {
        let is_plain =
            request.copied.is_none() && request.resume.is_none() && request.envelope.is_none();
        if !is_plain || request.sql.len() > TEXT_BYTES_MAX {
            return None;
        }
        let types = request.parameters.iter();
        Some(Self {
            sql: request.sql.clone(),
            types: (
                types.map(|value| value.data_type()).collect(),
                request.hints.clone(),
            ),
            settings: variables.settled(),
            reader: (principal.account(), principal.token()),
        })
    }
}

/// The catalog and the accounts that a plan was made on.
#[derive(Debug, Clone)]
pub(crate) struct MadeOn {
    pub(crate) catalog: Arc<Snapshot>,
    pub(crate) accounts: Arc<Accounts>,
}

impl MadeOn {
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.catalog, &other.catalog) && Arc::ptr_eq(&self.accounts, &other.accounts)
    }
}

/// All plans that are kept.
#[derive(Debug, Default)]
pub(crate) struct KeptPlans(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    texts: HashMap<Key, Text>,
    /// Counts what is asked for: the age of a text is when it was asked for last.
    clock: u64,
}

/// What is known of a text.
#[derive(Debug)]
struct Text {
    asked: u64,
    /// What its plans were made on, or what it was found on that it has none that can be kept.
    made_on: Option<MadeOn>,
    is_unfit: bool,
    idle: Vec<KeptPlan>,
    /// Plans that run.
    running: usize,
}

/// What to do with a text that has come.
#[derive(Debug)]
pub(crate) enum Found {
    /// Run this.
    Plan(Box<Lent>),
    /// Make a plan that can be kept.
    Make,
    /// Plan as if nothing were kept.
    Nothing,
}

impl KeptPlans {
    /// What there is for a text.
    pub(crate) fn find(&self, key: &Key, now: &MadeOn) -> Found {
        let mut known = self.0.lock();
        known.clock += 1;
        let clock = known.clock;
        let Some(text) = known.texts.get_mut(key) else {
            known.make_room();
            known.texts.insert(key.clone(), Text::new(clock));
            return Found::Nothing;
        };
        text.asked = clock;
        if text
            .made_on
            .as_ref()
            .is_some_and(|made_on| !made_on.is(now))
        {
            // Plans that run are not given back to what they were not made on.
            *text = Text::new(clock);
        }
        if let Some(plan) = text.idle.pop() {
            text.running += 1;
            return Found::Plan(Box::new(self.lent(key.clone(), plan)));
        }
        match !text.is_unfit && text.running < PLANS_MAX {
            true => Found::Make,
            false => Found::Nothing,
        }
    }

    /// Keeps a plan, and lends it; none for a text of which there is none that can be kept.
    pub(crate) fn keep(&self, key: Key, made_on: MadeOn, plan: Option<KeptPlan>) -> Option<Lent> {
        let mut known = self.0.lock();
        let clock = known.clock;
        let text = known
            .texts
            .entry(key.clone())
            .or_insert_with(|| Text::new(clock));
        if text.made_on.as_ref().is_none_or(|old| !old.is(&made_on)) {
            *text = Text::new(clock);
            text.made_on = Some(made_on);
        }
        text.is_unfit = plan.is_none();
        let plan = plan?;
        text.running += 1;
        Some(self.lent(key, plan))
    }

    fn lent(&self, key: Key, plan: KeptPlan) -> Lent {
        Lent {
            plan: Some(plan),
            key,
            home: Arc::clone(&self.0),
        }
    }

    /// Lets go of all.
    pub(crate) fn clear(&self) {
        self.0.lock().texts.clear();
    }
}

impl Known {
    /// Makes room for another text: the one that nobody has asked for the longest goes.
    fn make_room(&mut self) {
        if self.texts.len() < TEXTS_MAX {
            return;
        }
        let oldest = self.texts.values().map(|text| text.asked).min();
        self.texts.retain(|_, text| Some(text.asked) != oldest);
    }
}

impl Text {
    fn new(asked: u64) -> Self {
        Self {
            asked,
            made_on: None,
            is_unfit: false,
            idle: Vec::new(),
            running: 0,
        }
    }
}

/// A plan for one run. It goes back when this is dropped.
#[derive(Debug)]
pub(crate) struct Lent {
    plan: Option<KeptPlan>,
    key: Key,
    home: Arc<Mutex<Known>>,
}

impl Lent {
    pub(crate) fn plan(&self) -> Option<&KeptPlan> {
        self.plan.as_ref()
    }

    /// The text, for lists and logs.
    pub(crate) fn shown(&self) -> Arc<str> {
        match &self.plan {
            Some(plan) => Arc::clone(plan.shown()),
            None => Arc::from(self.key.sql.as_str()),
        }
    }

    /// Does not give it back: it does not fit any more.
    pub(crate) fn discard(mut self) {
        self.plan = None;
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(plan) = &self.plan {
            plan.release();
        }
        let mut known = self.home.lock();
        let Some(text) = known.texts.get_mut(&self.key) else {
            return;
        };
        text.running = text.running.saturating_sub(1);
        let plan = self.plan.take();
        if let Some(plan) = plan
            && text
                .made_on
                .as_ref()
                .is_some_and(|on| on.is(plan.made_on()))
        {
            text.idle.push(plan);
        }
    }
}
