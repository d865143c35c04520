//! Whether a command may be obeyed: its shape, its fence, and what other apps on the host hold already.
//!
//! Nothing is changed here. A refusal names the thing, the cause and one next step.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use lath_control_api::{
    ApiError, AppName, ApplyRequest, Builtin, Candidate, ComponentBundle, ComponentId, ComponentName,
    ComponentSpec, ErrorCode, Fence, HttpRoute, InstancePolicy, Limits, Order, Probe, Weight, Workload,
};

use crate::planted::planted;
use crate::unit::{LinkTerms, SpecKey, UnitAsk};

/// Most components of one app on one host.
pub const MAX_COMPONENTS: usize = 1_000;
/// Most routes of one HTTP server.
pub const MAX_ROUTES: usize = 1_000;
/// Most concurrent instances that a spec may ask for.
const MAX_INSTANCES: u32 = 1_000_000;

/// What a bundle wants of one component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) component: ComponentName,
    pub(crate) stable: Option<SpecKey>,
    pub(crate) candidate: Option<(SpecKey, Weight)>,
}

impl Slot {
    pub(crate) fn specs(&self) -> impl Iterator<Item = &SpecKey> {
        self.stable.iter().chain(self.candidate.as_ref().map(|(spec, _)| spec))
    }

    pub(crate) fn holds(&self, spec: &SpecKey) -> bool {
        self.specs().any(|held| held == spec)
    }

    /// Whether the other one names the same specs, whatever their shares.
    pub(crate) fn has_specs_of(&self, other: &Self) -> bool {
        let candidate = |slot: &Self| slot.candidate.as_ref().map(|(spec, _)| spec.clone());
        self.stable == other.stable && candidate(self) == candidate(other)
    }
}

/// The slots of an app.
pub(crate) type Slots = BTreeMap<ComponentId, Slot>;
/// What stands in them.
pub(crate) type Specs = BTreeMap<(ComponentId, SpecKey), UnitAsk>;

/// Sorts bundles into slots and specs. A candidate that is the stable spec is none.
pub(crate) fn sort(bundles: &[ComponentBundle]) -> (Slots, Specs) {
    let (mut slots, mut specs) = (Slots::new(), Specs::new());
    for bundle in bundles {
        let mut note = |spec: &Arc<ComponentSpec>| {
            let key = SpecKey::of(spec);
            let (component, drain) = (bundle.component.clone(), bundle.drain);
            let terms = LinkTerms { unverified: bundle.unverified_links, hold: bundle.hold };
            let ask = UnitAsk { component, spec: Arc::clone(spec), drain, terms };
            specs.insert((bundle.id.clone(), key.clone()), ask);
            key
        };
        let candidate = bundle.candidate.as_ref().map(|Candidate { spec, weight }| (note(spec), *weight));
        let stable = bundle.stable.as_ref().map(&mut note);
        let candidate = candidate.filter(|(spec, _)| stable.as_ref() != Some(spec));
        slots.insert(bundle.id.clone(), Slot { component: bundle.component.clone(), stable, candidate });
    }
    (slots, specs)
}

/// Checks the fence of a command against the one that is held for its app.
pub(crate) fn order(request: &ApplyRequest, held: &ApplyRequest) -> Result<Order, ApiError> {
    let order = request.fence.order(&held.fence);
    match order {
        Order::Newer => Ok(order),
        Order::Same if same_bundles(&request.bundles, &held.bundles) => Ok(order),
        Order::Same => Err(ApiError::new(
            ErrorCode::FenceReused,
            format!("app {}: fence {} came before with other content", request.app, request.fence),
        )
        .with_help("a manager must raise the step for every new content; report this")),
        Order::Older if planted!("obey-older") => Ok(Order::Newer),
        Order::Older => Err(stale(
            request.fence,
            format!("app {}: {} is older than {}, which was obeyed", request.app, request.fence, held.fence),
        )),
    }
}

/// Refuses a term that is over.
pub(crate) fn check_epoch(request: &ApplyRequest, highest: lath_control_api::Epoch) -> Result<(), ApiError> {
    if request.fence.epoch >= highest || planted!("skip-epoch-check") {
        return Ok(());
    }
    let epoch = request.fence.epoch;
    Err(stale(request.fence, format!("app {}: epoch {epoch} is over, {highest} has been seen", request.app)))
}

fn stale(fence: Fence, message: String) -> ApiError {
    let help = format!("read the app's record again; nothing was changed by {fence}");
    ApiError::new(ErrorCode::Stale, message).with_help(help)
}

fn same_bundles(a: &[ComponentBundle], b: &[ComponentBundle]) -> bool {
    // Ids are unique in a request that was accepted, so finding each one is comparing the sets.
    a.len() == b.len() && a.iter().all(|bundle| b.contains(bundle))
}

/// Checks everything about a command that needs no knowledge of what the host holds.
pub(crate) fn check(request: &ApplyRequest) -> Result<(), ApiError> {
    let bad = |message: String| {
        Err(ApiError::new(ErrorCode::BadRequest, format!("app {}: {message}", request.app)))
    };
    if request.bundles.len() > MAX_COMPONENTS {
        return bad(format!("{} components; at most {MAX_COMPONENTS} fit on a host", request.bundles.len()));
    }
    let mut ids = BTreeSet::new();
    for bundle in &request.bundles {
        let id = &bundle.id;
        if !ids.insert(id) {
            return bad(format!("component id {id} stands in two bundles"));
        }
        if bundle.stable.is_none() && bundle.candidate.is_none() {
            return bad(format!("the bundle of {id} has neither a stable spec nor a candidate"));
        }
        for spec in specs(bundle) {
            if let Err(problem) = check_spec(spec) {
                return bad(format!("component {id}: {problem}"));
            }
        }
    }
    Ok(())
}

pub(crate) fn specs(bundle: &ComponentBundle) -> impl Iterator<Item = &Arc<ComponentSpec>> {
    bundle.stable.iter().chain(bundle.candidate.as_ref().map(|candidate| &candidate.spec))
}

fn check_spec(spec: &ComponentSpec) -> Result<(), String> {
    let range = |what: &str, value: u64, allowed: RangeInclusive<u64>| {
        if allowed.contains(&value) {
            return Ok(());
        }
        Err(format!("{what} is {value}; {} to {} are allowed", allowed.start(), allowed.end()))
    };
    range("the number of instances", u64::from(spec.max_instances), 1..=u64::from(MAX_INSTANCES))?;
    let Limits {
        memory_bytes,
        invocation_deadline_ms,
        max_waiting,
        log_bytes_per_second,
        log_line_bytes,
        request_body_bytes,
        response_body_bytes,
        host_call_bytes,
        handles,
    } = spec.limits;
    let count = |allowed: RangeInclusive<u32>| u64::from(*allowed.start())..=u64::from(*allowed.end());
    range("the memory limit in bytes", memory_bytes, Limits::MEMORY_BYTES)?;
    range("the deadline in milliseconds", invocation_deadline_ms, Limits::INVOCATION_DEADLINE_MS)?;
    range("the number of calls that may wait", max_waiting.into(), count(Limits::MAX_WAITING))?;
    range("the log's bytes per second", log_bytes_per_second, Limits::LOG_BYTES_PER_SECOND)?;
    range("the longest line of the log in bytes", log_line_bytes, Limits::LOG_LINE_BYTES)?;
    range("the limit of request bodies in bytes", request_body_bytes, Limits::BODY_BYTES)?;
    range("the limit of response bodies in bytes", response_body_bytes, Limits::BODY_BYTES)?;
    range("the limit of one host call in bytes", host_call_bytes, Limits::HOST_CALL_BYTES)?;
    range("the number of handles", handles.into(), count(Limits::HANDLES))?;
    if let Some(Probe { period_ms, failures, .. }) = &spec.probe {
        range("the probe's period in milliseconds", period_ms.unwrap_or(1_000), Probe::PERIOD_MS)?;
        range("the number of bad answers", failures.unwrap_or(1).into(), count(Probe::FAILURES))?;
    }
    match spec.instance_policy {
        InstancePolicy::Fresh => {}
        InstancePolicy::Reuse { calls } => {
            range("the number of calls of an instance", calls.into(), count(InstancePolicy::CALLS))?;
        }
        InstancePolicy::Pooled { keep, idle_ms } => {
            range("the number of instances that are kept", keep.into(), count(InstancePolicy::KEEP))?;
            range("the time that an instance is kept in milliseconds", idle_ms, InstancePolicy::IDLE_MS)?;
        }
    }
    match &spec.workload {
        Workload::Builtin { builtin: Builtin::HttpServer, .. } if spec.routes.len() > MAX_ROUTES => {
            Err(format!("{} routes; at most {MAX_ROUTES} are allowed", spec.routes.len()))
        }
        Workload::Component { .. } | Workload::Provider { .. } if !spec.routes.is_empty() => {
            Err(format!("routes belong to {} alone", Builtin::HttpServer))
        }
        Workload::Component { .. } | Workload::Builtin { .. } if !spec.incoming.is_empty() => {
            Err("only providers are told which links lead to them".to_owned())
        }
        Workload::Builtin { .. } | Workload::Component { .. } | Workload::Provider { .. } => Ok(()),
    }
}

/// The ids and routes that a command asks for.
pub(crate) struct Claims<'a> {
    app: &'a AppName,
    ids: BTreeSet<&'a ComponentId>,
    routes: Vec<&'a HttpRoute>,
}

impl<'a> Claims<'a> {
    pub(crate) fn of(request: &'a ApplyRequest) -> Self {
        let ids = request.bundles.iter().map(|bundle| &bundle.id).collect();
        Self { app: &request.app, ids, routes: routes(request).collect() }
    }

    /// Refuses ids and routes that another app holds on this host.
    pub(crate) fn check(&self, other: &ApplyRequest, default: Option<SocketAddr>) -> Result<(), ApiError> {
        let (app, owner) = (self.app, &other.app);
        if let Some(held) = other.bundles.iter().find(|held| self.ids.contains(&held.id)) {
            let message = format!("app {app}: component id {} belongs to app {owner} here", held.id);
            return Err(ApiError::new(ErrorCode::IdTaken, message).with_help("give the component another id"));
        }
        let taken = self.routes.iter().find(|route| routes(other).any(|held| held.collides(route, default)));
        taken.map_or(Ok(()), |route| {
            let message = format!("app {app}: route {} belongs to app {owner} here", route.describe());
            Err(ApiError::new(ErrorCode::RouteTaken, message)
                .with_help("choose another host, path or address"))
        })
    }
}

fn routes(request: &ApplyRequest) -> impl Iterator<Item = &HttpRoute> {
    request.bundles.iter().flat_map(specs).flat_map(|spec| &spec.routes)
}
