//! Carrying transitions out, one after another. The order was decided in the core; nothing is decided here.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use lath_control_api::{AppName, ComponentName, ComponentSpec, Timestamp};
use lath_host_core::{AppState, JournalEntry, LinkTerms, News, Ticket, Transition, UnitKey};
use tokio_util::sync::CancellationToken;

use super::Supervisor;
use super::derived::Routes;
use crate::engine::{Prepared, UnitIdentity};
use crate::journal::Journal;
use crate::prepare::{Job, Needs, Neighbours, Product};
use crate::status::now;
use crate::wrpc_serve::Served;

/// How long a component stays that is wanted no more, for calls of requests that entered its revision on other hosts:
/// they are told of a change at about the same time. One that another revision has replaced stays until none has come
/// for as long, since a host that is told late makes calls all the while.
const LAST_CALLS: Duration = Duration::from_millis(500);

/// Whether a step may only follow when no published route leads to what it touches any more.
const fn touches_what_served(step: &Transition) -> bool {
    match step {
        Transition::Drain { .. }
        | Transition::Close { .. }
        | Transition::Release { .. }
        | Transition::Stop { .. } => true,
        Transition::Persist(_)
        | Transition::Cancel { .. }
        | Transition::Prepare { .. }
        | Transition::Reopen { .. }
        | Transition::Publish
        | Transition::Report => false,
    }
}

impl Supervisor {
    pub(super) async fn carry_out(&mut self, steps: Vec<Transition>) {
        for step in steps {
            if touches_what_served(&step) && self.unpublished {
                // What takes its place is on disk first: a restart must not bring back what is stopped.
                self.write_down().await;
                self.publish();
            }
            match step {
                Transition::Persist(app) => {
                    self.unwritten.insert(app);
                }
                Transition::Cancel { unit } => drop(self.slots.remove(&unit)),
                Transition::Prepare { unit, ticket, component, spec, terms } => {
                    self.prepare(&unit, ticket, component, spec, terms);
                }
                Transition::Reopen { unit } => {
                    self.slots.end(&unit);
                    match self.product(&unit) {
                        Some(Product::Component(prepared)) => prepared.reopen(),
                        Some(Product::Provider(provider)) => provider.reopen(),
                        Some(Product::HttpServer(_)) | None => {}
                    }
                    self.keep_asking(&unit);
                }
                Transition::Publish => self.unpublished = true,
                Transition::Drain { unit, ticket, deadline } => self.drain(&unit, ticket, deadline),
                Transition::Close { unit, ticket } => self.close(&unit, ticket),
                Transition::Release { unit } => self.release(&unit),
                Transition::Stop { unit, overdue } => self.stop(&unit, overdue),
                Transition::Report => self.stale = true,
            }
        }
    }

    fn prepare(
        &mut self,
        unit: &UnitKey,
        ticket: Ticket,
        component: ComponentName,
        spec: Arc<ComponentSpec>,
        terms: LinkTerms,
    ) {
        self.slots.add(unit.clone(), spec.max_instances);
        let token = self.slots.begin(unit, ticket);
        let identity = UnitIdentity {
            lattice: self.tools.lattice.clone(),
            app: unit.app.clone(),
            component,
            id: unit.id.clone(),
            revision: spec.revision,
        };
        let (needs, neighbours) = (self.needs(unit, &spec), self.neighbours(unit, &spec));
        let job = Job { unit: unit.clone(), identity, needs, neighbours, spec, terms };
        let (preparer, teller) = (self.tools.preparer.clone(), self.teller(unit, ticket));
        self.spawn(token, async move {
            let prepared = preparer.prepare(&job, &teller).await;
            teller.end(prepared).await;
        });
    }

    /// What specs of the same revision need of a component.
    fn needs(&self, unit: &UnitKey, spec: &ComponentSpec) -> Needs {
        let mut needs = Needs::default();
        for bundle in self.core.request(&unit.app).into_iter().flat_map(|request| &request.bundles) {
            let candidate = bundle.candidate.as_ref().map(|candidate| &candidate.spec);
            for other in bundle.stable.iter().chain(candidate) {
                if other.revision == spec.revision {
                    needs.add(other, &unit.id);
                }
            }
        }
        needs
    }

    /// Components that are wanted here beside this one; none when this one is not: it is left from before.
    fn neighbours(&self, unit: &UnitKey, spec: &ComponentSpec) -> Option<Neighbours> {
        let mut neighbours = Neighbours::default();
        for bundle in self.core.request(&unit.app).into_iter().flat_map(|request| &request.bundles) {
            let candidate = bundle.candidate.as_ref().map(|candidate| &candidate.spec);
            let mut wanted = bundle.stable.iter().chain(candidate);
            let is_with = wanted.any(|other| other.revision == spec.revision);
            let side = if is_with { &mut neighbours.with } else { &mut neighbours.without };
            side.insert(bundle.id.clone());
        }
        // What no bundle names any more is still here, and goes.
        let app = self.core.app(&unit.app);
        for (left, _) in app.iter().flat_map(AppState::specs) {
            if !neighbours.with.contains(&left.id) {
                neighbours.without.insert(left.id);
            }
        }
        neighbours.with.contains(&unit.id).then_some(neighbours)
    }

    /// Writes down what serves of each app of which that has changed, and waits for it: once for a burst of news, as with
    /// the routes.
    pub(super) async fn write_down(&mut self) {
        if let Some(writing) = self.writing.take() {
            // A panic in it was told by its hook; the entries that it held are written again with the next change.
            let _ended = writing.await;
        }
        write_all(self.tools.journal.clone(), self.take_unwritten()).await;
    }

    /// The same beside whatever else is to be done. What changes while something is being written waits for its turn.
    pub(super) fn write_later(&mut self) {
        if self.writing.is_none() && !self.unwritten.is_empty() {
            let (journal, entries) = (self.tools.journal.clone(), self.take_unwritten());
            self.writing = Some(tokio::spawn(write_all(journal, entries)));
        }
    }

    fn take_unwritten(&mut self) -> Vec<(AppName, Option<JournalEntry>)> {
        let apps = std::mem::take(&mut self.unwritten).into_iter();
        apps.map(|app| (app.clone(), self.core.journal(&app))).collect()
    }

    /// Makes the newest routes those that calls take, if they are not. Routes first, then who listens and serves by
    /// them: nothing arrives for which there is no route.
    ///
    /// Once for a burst of news, not for each: the table is that of the whole host, and a thousand components that
    /// become ready at the same time would make it a thousand times.
    pub(super) fn publish(&mut self) {
        if !std::mem::take(&mut self.unpublished) {
            return;
        }
        let Routes { table, shares, offers } = self.derived.routes(&self.core, &self.slots);
        let open: BTreeSet<_> =
            table.listeners().filter(|(_, listener)| listener.open).map(|(address, _)| address).collect();
        self.tools.providers.share(&shares);
        self.tools.router.publish(table);
        self.tools.ingress.listen(&open);
        self.tools.serving.offer(offers);
        self.offered = true;
        self.stale = true;
        // What is waited for is the newest of them; all in all not longer than for the first.
        if let Some((until, _)) = self.settling.take() {
            self.settling = Some((until, self.settle(until)));
        }
    }

    /// Waits until nothing new can arrive and nothing is in flight. A request that entered this revision elsewhere may
    /// be on its way to a call of this unit: for those it stays a little longer.
    fn drain(&mut self, unit: &UnitKey, ticket: Ticket, deadline: Timestamp) {
        let token = self.slots.begin(unit, ticket);
        let (serving, ingress) = (self.tools.serving.clone(), self.tools.ingress.clone());
        let (product, addresses) = (self.product(unit), self.addresses(unit));
        let replaced = self.is_replaced(unit);
        let (teller, served) = (self.teller(unit, ticket), Served::by_anyone(&unit.app, &unit.id));
        self.spawn(token, async move {
            match product {
                Some(Product::Component(prepared)) => {
                    serving.taken_down(&served).await;
                    let within = deadline.since(now()) / 2;
                    let _or_late = tokio::time::timeout(within, last_call(&prepared, replaced)).await;
                    prepared.idle().await;
                }
                Some(Product::Provider(provider)) => {
                    provider.drain(LAST_CALLS, deadline.since(now()) / 2).await;
                }
                Some(Product::HttpServer(_)) | None => ingress.left(&addresses).await,
            }
            teller.tell(News::Idle).await;
        });
    }

    /// Whether the app has another revision on this host now, and the unit's no more. What only moves to another host is
    /// in the same revision there, and its calls with it.
    fn is_replaced(&self, unit: &UnitKey) -> bool {
        let bundles = self.core.request(&unit.app).into_iter().flat_map(|request| &request.bundles);
        let revisions = bundles.flat_map(|bundle| {
            let candidate = bundle.candidate.iter().map(|candidate| candidate.spec.revision);
            bundle.stable.iter().map(|stable| stable.revision).chain(candidate)
        });
        let revisions: BTreeSet<_> = revisions.collect();
        !revisions.is_empty() && !revisions.contains(&unit.spec.revision)
    }

    /// Nothing leads to the unit any more. What was sent to its revision before the last subscription ended still gets
    /// in; then it takes nothing more, and what is in flight ends.
    fn close(&mut self, unit: &UnitKey, ticket: Ticket) {
        let token = self.slots.begin(unit, ticket);
        let (teller, product) = (self.teller(unit, ticket), self.product(unit));
        let serving = self.tools.serving.clone();
        let served = Served::of_revision(&unit.app, &unit.id, unit.spec.revision);
        self.spawn(token, async move {
            match product {
                Some(Product::Component(prepared)) => {
                    serving.taken_down(&served).await;
                    prepared.close();
                    prepared.idle().await;
                }
                Some(Product::Provider(provider)) => provider.close().await,
                Some(Product::HttpServer(_)) | None => {}
            }
            teller.tell(News::Idle).await;
        });
    }

    fn stop(&mut self, unit: &UnitKey, overdue: bool) {
        let Some(product) = self.slots.remove(unit) else { return };
        if product.provider().is_some() {
            // Its process goes with the last unit that has it.
            tracing::info!(%unit, app = %unit.app, "stopped");
        }
        let Some(prepared) = product.component() else { return };
        prepared.close();
        if overdue {
            tracing::warn!(%unit, app = %unit.app, calls = prepared.in_flight(), "the drain deadline has passed");
            prepared.abort();
        }
        self.let_go(prepared);
        tracing::info!(%unit, app = %unit.app, "stopped");
    }

    /// Calls that are in it end as they may; new ones find no route to it.
    fn release(&mut self, unit: &UnitKey) {
        let Some(product) = self.slots.empty(unit) else { return };
        if let Some(prepared) = product.component() {
            prepared.close();
            self.let_go(prepared);
        }
        tracing::warn!(%unit, app = %unit.app, "crash-looping: it takes no calls until it can be started");
    }

    fn let_go(&self, prepared: &Arc<Prepared>) {
        let prepared = Arc::clone(prepared);
        self.tasks.spawn(async move { prepared.unbind().await });
    }

    fn product(&self, unit: &UnitKey) -> Option<Product> {
        self.slots.get(unit)?.product.clone()
    }

    /// Addresses that a unit's routes have used.
    fn addresses(&self, unit: &UnitKey) -> Vec<std::net::SocketAddr> {
        match self.slots.get(unit).and_then(|slot| slot.product.as_ref()) {
            Some(Product::HttpServer(claims)) => claims.iter().map(crate::ingress::Claim::address).collect(),
            Some(Product::Component(_) | Product::Provider(_)) | None => Vec::new(),
        }
    }

    /// Runs a task of a unit; it ends when its episode does.
    pub(super) fn spawn(&self, token: CancellationToken, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(async move {
            tokio::select! {
                () = token.cancelled() => {}
                () = work => {}
            }
        });
    }
}

async fn write_all(journal: Journal, entries: Vec<(AppName, Option<JournalEntry>)>) {
    for (app, entry) in entries {
        if let Err(error) = journal.write(&app, entry).await {
            // What serves has changed already. After a restart the older entry leads to the same state.
            tracing::error!(%app, %error, "the journal cannot be written");
        }
    }
}

/// Resolves after [`LAST_CALLS`]; where another revision has `replaced` it, when no call has begun for so long.
async fn last_call(unit: &Prepared, replaced: bool) {
    let mut before = unit.begun();
    loop {
        tokio::time::sleep(LAST_CALLS).await;
        match unit.begun() {
            begun if begun == before || !replaced => return,
            begun => before = begun,
        }
    }
}
