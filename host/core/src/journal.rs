//! What of an app must outlive the host's process: the newest command, and what served when it is not that.
//!
//! One entry for each app, so that a command costs what its app costs. Every entry carries its schema; a reader
//! refuses a newer one without harming it.

use std::sync::Arc;

use lath_control_api::{ApplyRequest, Candidate, ComponentBundle, ComponentId, Epoch, Timestamp};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::spec::Slot;
use crate::unit::{LinkTerms, SpecKey};

/// Schema that this version writes, and the newest that it reads.
const SCHEMA: u32 = 1;

/// What is kept on disk of one app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JournalEntry {
    schema: u32,
    /// The newest command that was obeyed.
    pub request: ApplyRequest,
    /// Highest epoch that the host had obeyed.
    pub epoch: Epoch,
    /// What calls went to, where that was not what the command wants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving: Option<Vec<ComponentBundle>>,
    /// Since when nothing of the app is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_since: Option<Timestamp>,
}

/// Why a journal entry cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It was cut off, changed by hand, or is no journal entry.
    #[error("not a journal entry")]
    Unreadable(#[from] serde_json::Error),
    /// A newer version of Lath wrote it.
    #[error("written with schema {found}; this version reads up to {SCHEMA}")]
    Newer {
        /// The schema of the entry.
        found: u32,
    },
}

impl JournalEntry {
    pub(crate) fn of(app: &App, epoch: Epoch) -> Self {
        let flipped = app.serving == app.wanted;
        Self {
            schema: SCHEMA,
            request: (*app.request).clone(),
            epoch,
            serving: (!flipped).then(|| serving(app)),
            empty_since: app.empty_since,
        }
    }

    /// The entry as bytes for its file.
    ///
    /// # Errors
    /// Only by a defect: every part of an entry has a JSON form.
    pub fn encode(&self) -> Result<Vec<u8>, JournalError> {
        Ok(serde_json::to_vec(self)?)
    }

    /// Reads an entry.
    ///
    /// # Errors
    /// When the bytes are no entry, or one of a newer schema.
    pub fn decode(bytes: &[u8]) -> Result<Self, JournalError> {
        #[derive(Deserialize)]
        struct Head {
            schema: u32,
        }
        let Head { schema: found } = serde_json::from_slice(bytes)?;
        if found > SCHEMA {
            return Err(JournalError::Newer { found });
        }
        Ok(serde_json::from_slice(bytes)?)
    }
}

/// What an app's calls go to, as bundles.
fn serving(app: &App) -> Vec<ComponentBundle> {
    let bundle = |(id, slot): (&ComponentId, &Slot)| {
        let unit = |spec: &SpecKey| app.units.get(&(id.clone(), spec.clone()));
        let spec = |key: &SpecKey| Some(Arc::clone(&unit(key)?.spec));
        let stable = slot.stable.as_ref().and_then(spec);
        let candidate = slot
            .candidate
            .as_ref()
            .and_then(|(key, weight)| Some(Candidate { spec: spec(key)?, weight: *weight }));
        let any = slot.specs().find_map(unit);
        let drain = any.map(|unit| unit.drain).unwrap_or_default();
        let LinkTerms { unverified, hold } = any.map(|unit| unit.terms).unwrap_or_default();
        let (component, id) = (slot.component.clone(), id.clone());
        ComponentBundle { component, id, stable, candidate, drain, hold, unverified_links: unverified }
    };
    app.serving.iter().map(bundle).collect()
}
