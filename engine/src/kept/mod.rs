//! Plans that are kept, for statements that come again and again.
//!
//! To plan a small query takes longer than to run it. The third time that a text comes it is planned with its parameters left open,
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
/// Plans of one text, each for one run at a time, that are there at once.
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
    /// What all that is known of texts was found on.
    made_on: Option<MadeOn>,
    texts: Recent<Key, Text>,
    /// Which literals of texts in a form can be parameters. That follows from the form alone.
    forms: Recent<String, Arc<[bool]>>,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            made_on: None,
            texts: Recent::new(TEXTS_MAX),
            forms: Recent::new(TEXTS_MAX),
        }
    }
}

/// What is known of a text.
#[derive(Debug, Default)]
struct Text {
    /// Whether it has no plan that can be kept.
    is_unfit: bool,
    idle: Vec<KeptPlan>,
    /// Plans that run or are being made.
    taken: usize,
}

/// What to do with a text that has come.
#[derive(Debug)]
pub(crate) enum Found {
    /// Run this.
    Plan(Box<Lent>),
    /// Make a plan that can be kept, for this place.
    Make(Place),
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

    /// Notes that of the literals that were parameters some cannot be: those of the parameters with these numbers, counted from 0.
    pub(crate) fn close(&self, asked: &Asked, parameters: &[usize]) {
        if let Some((form, is_open)) = asked.without(parameters) {
            self.0.lock().forms.insert(form, is_open.into());
        }
    }

    /// What there is for what is asked.
    pub(crate) fn find(&self, asked: &Asked, now: MadeOn) -> Found {
        if asked.is_unknown() {
            return Found::Nothing;
        }
        let key = &asked.key;
        // Plans hold their tables' rows, of which there may be many: they are let go of after the lock.
        let _outdated;
        let mut known = self.0.lock();
        if known.made_on.as_ref().is_none_or(|on| !on.is(&now)) {
            _outdated = known.texts.take();
            known.made_on = Some(now.clone());
        }
        let Some(text) = known.texts.get_mut(key) else {
            known.texts.insert(key.clone(), Text::default());
            return Found::Nothing;
        };
        let plan = text.idle.pop();
        if plan.is_none() && (text.is_unfit || text.taken >= PLANS_MAX) {
            return Found::Nothing;
        }
        text.taken += 1;
        let place = Place {
            key: key.clone(),
            made_on: now,
            home: Arc::clone(&self.0),
        };
        match plan {
            Some(plan) => Found::Plan(Box::new(place.lend(plan))),
            None => Found::Make(place),
        }
    }

    /// Lets go of all plans.
    pub(crate) fn clear(&self) {
        let outdated = self.0.lock().texts.take();
        drop(outdated);
    }
}

/// A place among the plans of a text that run at once. It is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    key: Key,
    made_on: MadeOn,
    home: Arc<Mutex<Known>>,
}

impl Place {
    /// What the plan for it has to be made on.
    pub(crate) fn made_on(&self) -> &MadeOn {
        &self.made_on
    }

    /// A plan for one run in this place, kept after it.
    pub(crate) fn lend(self, plan: KeptPlan) -> Lent {
        Lent {
            plan: Some(plan),
            place: self,
        }
    }

    /// Notes that the text has no plan that can be kept.
    pub(crate) fn is_unfit(&self) {
        self.with_text(|text| text.is_unfit = true);
    }

    /// The text, if all that is known is still what this place was given on.
    fn with_text(&self, act: impl FnOnce(&mut Text)) {
        let mut known = self.home.lock();
        if !known
            .made_on
            .as_ref()
            .is_some_and(|on| on.is(&self.made_on))
        {
            return;
        }
        if let Some(text) = known.texts.get_mut(&self.key) {
            act(text);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.with_text(|text| text.taken = text.taken.saturating_sub(1));
    }
}

/// A plan for one run. It goes back when this is dropped.
#[derive(Debug)]
pub(crate) struct Lent {
    plan: Option<KeptPlan>,
    place: Place,
}

impl Lent {
    pub(crate) fn plan(&self) -> Option<&KeptPlan> {
        self.plan.as_ref()
    }

    /// Does not give it back, and has no other made: the text reads too much.
    pub(crate) fn outgrown(mut self) {
        self.plan = None;
        self.place.is_unfit();
    }

    /// Does not give it back.
    pub(crate) fn discard(mut self) {
        self.plan = None;
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(plan) = self.plan.take() else {
            return;
        };
        plan.release();
        self.place.with_text(|text| {
            if text.idle.len() < PLANS_MAX {
                text.idle.push(plan);
            }
        });
    }
}
