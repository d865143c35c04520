//! What the parts of a manager share: handles to what single tasks own, and nothing of its own.

use std::sync::Arc;

use lath_artifacts::Registries;
use lath_control_api::app::AppStatus;
use lath_control_api_client::{ComponentStore, ControlClient};
use lath_manager_planner::PlanLimits;
use tokio::sync::{broadcast, watch};

use crate::clock::Clock;
use crate::config::{Identity, Topics};
use crate::control_v1::Kept;
use crate::lease::Standing;
use crate::observe::Observed;
use crate::records::Records;
use crate::troubles::Troubles;
use crate::wake::Wake;

/// Shared by reference.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) identity: Arc<Identity>,
    pub(crate) client: ControlClient,
    pub(crate) topics: Topics,
    pub(crate) clock: Clock,
    pub(crate) limits: PlanLimits,
    pub(crate) records: Records,
    pub(crate) components: ComponentStore,
    /// Configs of the lattice, and what else is kept for tools of 1.x.
    pub(crate) kept: Kept,
    pub(crate) registries: Registries,
    pub(crate) observed: Observed,
    pub(crate) standing: watch::Receiver<Standing>,
    pub(crate) troubles: Troubles,
    pub(crate) wake: Wake,
    /// Whether image files of this machine are taken into the lattice's store.
    pub(crate) allow_file_load: bool,
    /// How apps stand, as the manager that acts has last told it; at most [`crate::TOLD`] wait for a slow reader.
    pub(crate) told: broadcast::Sender<AppStatus>,
}
