//! A host without a machine: it carries transitions out in words and answers with the news that a test chooses.
//!
//! After every step it checks what must hold in every state, so each test checks it too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lath_control_api::{
    AppInventory, AppName, ApplyReply, ApplyRequest, Builtin, CallCounts, Candidate, ComponentBundle,
    ComponentId, ComponentSpec, Digest, DrainPolicy, Epoch, ErrorCode, Fence, Generation, Grants, HoldPolicy,
    HttpRoute, Image, InstancePolicy, Limits, Reason, Revision, Step, Timestamp, UnitInventory,
    UnverifiedLinks, Weight, Workload,
};
use lath_host_core::{Core, JournalEntry, News, Reach, Ticket, Transition, UnitKey};

pub(crate) const DRAIN_MS: u64 = 30_000;

/// A component whose content is told apart by `variant`.
pub(crate) fn spec(variant: u32, revision: u64) -> ComponentSpec {
    let digest = Digest::of(&variant.to_be_bytes());
    let image = Image { reference: format!("file:///v{variant}.wasm"), digest };
    ComponentSpec {
        revision: Revision(revision),
        workload: Workload::Component { image },
        max_instances: 1,
        instance_policy: InstancePolicy::default(),
        limits: Limits::default(),
        config: BTreeMap::new(),
        links: Vec::new(),
        secrets: Vec::new(),
        incoming: Vec::new(),
        grants: Grants::default(),
        routes: Vec::new(),
        probe: None,
        annotations: BTreeMap::new(),
    }
}

pub(crate) fn http_server(routes: Vec<HttpRoute>, revision: u64) -> ComponentSpec {
    let builtin = Builtin::HttpServer;
    let workload = Workload::Builtin { builtin, reference: builtin.to_string() };
    ComponentSpec { workload, routes, ..spec(0, revision) }
}

pub(crate) fn bundle(
    name: &str,
    stable: Option<ComponentSpec>,
    candidate: Option<(ComponentSpec, u8)>,
) -> ComponentBundle {
    let candidate = candidate
        .map(|(spec, weight)| Candidate { spec: Arc::new(spec), weight: Weight::try_from(weight).unwrap() });
    let drain = DrainPolicy { deadline_ms: DRAIN_MS };
    let (component, id) = (name.parse().unwrap(), id(name));
    ComponentBundle {
        component,
        id,
        stable: stable.map(Arc::new),
        candidate,
        drain,
        hold: HoldPolicy::default(),
        unverified_links: UnverifiedLinks::default(),
    }
}

pub(crate) fn id(name: &str) -> ComponentId {
    format!("shop-{name}").parse().unwrap()
}

pub(crate) fn app() -> AppName {
    "shop".parse().unwrap()
}

pub(crate) fn request(generation: u64, step: u64, bundles: Vec<ComponentBundle>) -> ApplyRequest {
    let fence = Fence { epoch: Epoch(1), generation: Generation(generation), step: Step(step) };
    ApplyRequest { fence, app: app(), bundles }
}

/// What a test has happen to a unit that is being prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Ready,
    Trap,
    Unfetched,
}

#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) core: Core,
    pub(crate) now: Timestamp,
    pub(crate) preparing: BTreeMap<UnitKey, Ticket>,
    /// With the ticket of its last preparation.
    pub(crate) prepared: BTreeMap<UnitKey, Ticket>,
    pub(crate) draining: BTreeMap<UnitKey, Ticket>,
    pub(crate) closing: BTreeMap<UnitKey, Ticket>,
    pub(crate) alive: BTreeSet<UnitKey>,
    pub(crate) disk: BTreeMap<AppName, Vec<u8>>,
    pub(crate) steps: Vec<Transition>,
}

impl Model {
    pub(crate) fn new() -> Self {
        Self {
            core: Core::new(Some("127.0.0.1:8000".parse().unwrap())),
            now: Timestamp(1_000),
            preparing: BTreeMap::new(),
            prepared: BTreeMap::new(),
            draining: BTreeMap::new(),
            closing: BTreeMap::new(),
            alive: BTreeSet::new(),
            disk: BTreeMap::new(),
            steps: Vec::new(),
        }
    }

    pub(crate) fn apply(&mut self, request: &ApplyRequest) -> Result<ApplyReply, ErrorCode> {
        let before = self.core.clone();
        match self.core.apply(request, self.now) {
            Ok((reply, steps)) => {
                self.carry_out(steps);
                Ok(reply)
            }
            Err(error) => {
                assert_eq!(self.core.inventory(no_calls), before.inventory(no_calls));
                assert_eq!(self.core.sequence(), before.sequence());
                assert!(error.help.is_some() || error.code == ErrorCode::BadRequest, "{error}");
                Err(error.code)
            }
        }
    }

    pub(crate) fn accept(&mut self, request: &ApplyRequest) -> Vec<Transition> {
        let reply = self.apply(request).unwrap();
        assert!(!reply.unchanged);
        self.steps.clone()
    }

    pub(crate) fn tell(&mut self, unit: &UnitKey, ticket: Ticket, news: News) {
        let steps = self.core.observe(unit, ticket, news, self.now);
        self.carry_out(steps);
    }

    /// Ends the preparation of every unit that `fate` has an answer for.
    pub(crate) fn prepare(&mut self, fate: impl Fn(&UnitKey) -> Option<Fate>) {
        for (unit, ticket) in self.preparing.clone() {
            if let Some(fate) = fate(&unit) {
                self.end_preparation(&unit, ticket, fate);
            }
        }
    }

    pub(crate) fn prepare_all(&mut self) {
        while !self.preparing.is_empty() {
            self.prepare(|_| Some(Fate::Ready));
        }
    }

    pub(crate) fn end_preparation(&mut self, unit: &UnitKey, ticket: Ticket, fate: Fate) {
        self.preparing.remove(unit);
        self.prepared.insert(unit.clone(), ticket);
        for news in [News::Fetching, News::Compiling, News::Linking, News::Starting] {
            self.tell(unit, ticket, news);
        }
        let failed = |reason| News::Failed { reason, message: "told so".into() };
        let end = match fate {
            Fate::Ready => News::Ready,
            Fate::Trap => failed(Reason::StartFailed),
            Fate::Unfetched => failed(Reason::FetchFailed),
        };
        self.tell(unit, ticket, end);
    }

    /// News of a unit that has been prepared.
    pub(crate) fn hear(&mut self, unit: &UnitKey, news: News) {
        let ticket = self.prepared.get(unit).copied().unwrap();
        self.tell(unit, ticket, news);
    }

    /// Every unit that leaves has finished its calls.
    pub(crate) fn idle_all(&mut self) {
        while let Some((unit, ticket)) = self.draining.pop_first().or_else(|| self.closing.pop_first()) {
            self.tell(&unit, ticket, News::Idle);
        }
    }

    pub(crate) fn wait(&mut self, ms: i64) {
        self.now = Timestamp(self.now.0 + ms);
        let steps = self.core.tick(self.now);
        self.carry_out(steps);
    }

    /// The process dies and comes back with its disk.
    pub(crate) fn restart(&mut self) {
        let entries = self.disk.values().map(|bytes| JournalEntry::decode(bytes).unwrap()).collect();
        let (core, steps) = Core::restore(Some("127.0.0.1:8000".parse().unwrap()), entries, self.now);
        let disk = std::mem::take(&mut self.disk);
        *self = Self { core, disk, now: self.now, ..Self::new() };
        self.carry_out(steps);
    }

    fn carry_out(&mut self, steps: Vec<Transition>) {
        for step in &steps {
            match step {
                Transition::Persist(app) => match self.core.journal(app) {
                    Some(entry) => drop(self.disk.insert(app.clone(), entry.encode().unwrap())),
                    None => drop(self.disk.remove(app)),
                },
                Transition::Prepare { unit, ticket, .. } => {
                    self.alive.insert(unit.clone());
                    assert!(self.preparing.insert(unit.clone(), *ticket).is_none(), "{unit} prepared twice");
                }
                Transition::Cancel { unit } => {
                    self.preparing.remove(unit);
                    assert!(self.alive.remove(unit), "{unit} cancelled, and was not there");
                }
                Transition::Reopen { unit } => {
                    self.draining.remove(unit);
                    self.closing.remove(unit);
                }
                Transition::Drain { unit, ticket, .. } => drop(self.draining.insert(unit.clone(), *ticket)),
                Transition::Close { unit, ticket } => {
                    self.draining.remove(unit);
                    self.closing.insert(unit.clone(), *ticket);
                    assert!(!self.is_routed(unit), "{unit} closed while a route leads to it");
                }
                Transition::Release { unit } => {
                    assert!(self.alive.contains(unit), "{unit} let go of, and was not there");
                    assert!(!self.is_routed(unit), "{unit} let go of while a route leads to it");
                }
                Transition::Stop { unit, .. } => {
                    self.draining.remove(unit);
                    self.closing.remove(unit);
                    assert!(self.alive.remove(unit), "{unit} stopped, and was not there");
                    assert!(!self.is_routed(unit), "{unit} stopped while a route leads to it");
                }
                Transition::Publish | Transition::Report => {}
            }
        }
        self.check();
        self.steps = steps;
    }

    /// What holds in every state.
    fn check(&self) {
        for (id, target) in self.core.routes().targets() {
            for labelled in target.units() {
                assert!(
                    self.alive.contains(&labelled.unit),
                    "{id} leads to {}, which is gone",
                    labelled.unit
                );
                assert!(!self.preparing.contains_key(&labelled.unit), "{id} leads to what is not ready");
            }
        }
        for entry in self.inventory() {
            for component in &entry.components {
                let shares: u32 = component.units.iter().map(|unit| u32::from(unit.weight.percent())).sum();
                assert!(shares == 0 || shares == 100, "{}: shares add up to {shares}", component.id);
            }
        }
    }

    fn is_routed(&self, unit: &UnitKey) -> bool {
        self.core.routes().targets().any(|(_, target)| target.units().any(|labelled| labelled.unit == *unit))
    }

    pub(crate) fn inventory(&self) -> Vec<AppInventory> {
        self.core.inventory(no_calls)
    }

    pub(crate) fn units(&self, name: &str) -> Vec<UnitInventory> {
        let components = self.inventory().into_iter().flat_map(|app| app.components);
        components
            .filter(|component| component.id == id(name))
            .flat_map(|component| component.units)
            .collect()
    }

    /// The content that a new call of a component reaches.
    pub(crate) fn serving(&self, name: &str) -> Option<Digest> {
        let routes = self.core.routes();
        let target = routes.targets().find(|(held, _)| **held == id(name))?.1;
        target
            .is_serving()
            .then(|| routes.pick(&id(name), None, Reach::Host, 50).map(|unit| unit.spec.content.clone()))?
    }

    pub(crate) fn is_serving(&self, name: &str, spec: &ComponentSpec) -> bool {
        self.serving(name) == Some(spec.content())
    }
}

pub(crate) fn no_calls(_: &UnitKey) -> CallCounts {
    CallCounts::default()
}
