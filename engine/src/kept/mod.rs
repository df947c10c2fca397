//! Plans that are kept, for statements that come again and again.
//!
//! To plan a small query takes longer than to run it. The second time that a text comes it is planned with its parameters left open,
//! and over tables that are bound to their versions when it runs ([`Planner::reusable`](crate::planning::Planner::reusable)); such
//! a [`KeptPlan`] is kept here, and from then on the text is neither parsed nor planned. It answers as a plan that was made anew would:
//! it is used as long as the catalog, the rights and the settings are those that it was made with, and only if everything that it
//! computes depends on the rows and the parameters alone. Where a text has no parameters, literals that conditions
//! compare with something are taken for them ([`weir_sql::literals`]): texts that differ in these alone share a plan.

mod asked;
mod parameter;
mod plan;
mod recent;

use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use parking_lot::Mutex;
use weir_catalog::Snapshot;
use weir_catalog::accounts::Accounts;

use crate::request::Request;
use crate::security::Principal;
use crate::variables::Variables;
pub(crate) use asked::Asked;
use asked::Key;
pub(crate) use parameter::{Parameter, Values};
pub(crate) use plan::{KeptPlan, Reads};
use recent::Recent;

/// Texts that are known, and forms of texts.
const TEXTS_MAX: usize = 512;
/// Plans of one text, each for one run at a time.
const PLANS_MAX: usize = 8;

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

#[derive(Debug)]
struct Known {
    texts: Recent<Key, Text>,
    /// Which literals of texts in a form can be parameters.
    forms: Recent<String, Arc<[bool]>>,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            texts: Recent::new(TEXTS_MAX),
            forms: Recent::new(TEXTS_MAX),
        }
    }
}

/// What is known of a text.
#[derive(Debug, Default)]
struct Text {
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
    /// What a request asks for; none where its plan cannot be kept.
    pub(crate) fn asked(
        &self,
        request: &Request,
        variables: &Variables,
        principal: &Principal,
    ) -> Option<Asked> {
        Asked::of(request, variables, principal, |form| {
            self.0.lock().forms.get_mut(form).cloned()
        })
    }

    /// Notes what is only known now that a text is parsed.
    pub(crate) fn learn(&self, asked: &Asked, query: &ast::Query) {
        if let Some((form, is_open)) = asked.learnt(query) {
            self.0.lock().forms.insert(form, is_open.into());
        }
    }

    /// What there is for what is asked.
    pub(crate) fn find(&self, asked: &Asked, now: &MadeOn) -> Found {
        if asked.is_unknown() {
            return Found::Nothing;
        }
        let key = &asked.key;
        let mut known = self.0.lock();
        let Some(text) = known.texts.get_mut(key) else {
            known.texts.insert(key.clone(), Text::default());
            return Found::Nothing;
        };
        if text
            .made_on
            .as_ref()
            .is_some_and(|made_on| !made_on.is(now))
        {
            // Plans that run are not given back to what they were not made on.
            *text = Text::default();
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
    pub(crate) fn keep(
        &self,
        asked: &Asked,
        made_on: MadeOn,
        plan: Option<KeptPlan>,
    ) -> Option<Lent> {
        let key = &asked.key;
        let mut known = self.0.lock();
        let text = match known.texts.get_mut(key) {
            Some(text) => text,
            None => {
                known.texts.insert(key.clone(), Text::default());
                known.texts.get_mut(key)?
            }
        };
        if text.made_on.as_ref().is_none_or(|old| !old.is(&made_on)) {
            *text = Text {
                made_on: Some(made_on),
                ..Text::default()
            };
        }
        text.is_unfit = plan.is_none();
        let plan = plan?;
        text.running += 1;
        Some(self.lent(key.clone(), plan))
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
        let mut known = self.0.lock();
        known.texts.clear();
        known.forms.clear();
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
