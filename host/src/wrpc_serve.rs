//! Components of this host, served to the lattice over NATS.
//!
//! Subscriptions belong to a component id: while any unit of it serves they stay, whichever unit that is. Who
//! answers a call is looked up when it is taken, so a flip reaches calls that were waiting. Beside them, each
//! revision that has a unit here has subscriptions of its own, for calls that began in it: they are there before
//! it has traffic, and until its last unit closes.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use lath_control_api::{AppName, ComponentId, LatticeId, Revision};
use lath_host_core::Reach;
use lath_telemetry::{Open, Spans};
use lath_wrpc::serve::Call;
use lath_wrpc::{
    AppRevision, Client, Export, Failure, FailureCode, HeaderMap, ServeAsk, ServeOptions, Service, Serving,
    http,
};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::engine::{
    BodyError, CallContext, CallError, FunctionNames, InFlight, Prepared, Unanswered, UnitIdentity,
};
use crate::routes::Router;
use crate::trace;
use crate::wrpc_call::{HOPS, REVISION, chain};

/// Servings that begin at the same time.
const AT_ONCE: usize = 256;

/// What a component is served with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Offer {
    /// It answers HTTP requests.
    pub(crate) http: bool,
    /// Its functions: instance and name. Units of the same code share them.
    pub(crate) functions: Arc<FunctionNames>,
    /// Calls at the same time.
    pub(crate) permits: usize,
    /// Who answers, where that is certain from the start; otherwise it is looked up for each call.
    unit: Option<Arc<Prepared>>,
}

impl PartialEq for Offer {
    fn eq(&self, other: &Self) -> bool {
        let same_unit = match (&self.unit, &other.unit) {
            (Some(one), Some(another)) => Arc::ptr_eq(one, another),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        let shape = (self.http, self.permits, &self.functions);
        same_unit && shape == (other.http, other.permits, &other.functions)
    }
}

impl Offer {
    /// What `unit` answers itself, also after the routes have forgotten it.
    pub(crate) fn of(unit: &Arc<Prepared>, max_instances: u32) -> Self {
        let mut offer = Self { unit: Some(Arc::clone(unit)), ..Self::default() };
        offer.add(unit, max_instances);
        offer
    }

    /// Adds what a unit has to offer.
    pub(crate) fn add(&mut self, unit: &Prepared, max_instances: u32) {
        let exports = unit.exports();
        self.http |= exports.handles_http;
        if self.functions.is_empty() {
            self.functions = Arc::clone(&exports.names);
        } else if !exports.names.is_subset(&self.functions) {
            Arc::make_mut(&mut self.functions).extend(exports.names.iter().cloned());
        }
        self.permits = self.permits.max(max_instances as usize).min(Semaphore::MAX_PERMITS);
    }

    fn exports(&self) -> Vec<Arc<Export>> {
        static HTTP: LazyLock<Arc<Export>> = LazyLock::new(|| Arc::new(http::incoming_export()));
        self.functions.iter().chain(self.http.then_some(&*HTTP)).cloned().collect()
    }
}

/// Whose calls are taken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Served {
    /// The app that serves them.
    app: AppName,
    /// The component.
    id: ComponentId,
    /// Calls that prefer this revision of the app; none: those of anyone.
    revision: Option<Revision>,
}

impl Served {
    /// New calls, of anyone.
    pub(crate) fn by_anyone(app: &AppName, id: &ComponentId) -> Self {
        Self { app: app.clone(), id: id.clone(), revision: None }
    }

    /// Calls that prefer a revision of the app.
    pub(crate) fn of_revision(app: &AppName, id: &ComponentId, revision: Revision) -> Self {
        Self { app: app.clone(), id: id.clone(), revision: Some(revision) }
    }
}

/// What is served of one app.
pub(crate) type AppOffers = BTreeMap<Served, Offer>;
/// What is served of all. An app that has not changed shares its part with the state before.
pub(crate) type Offers = BTreeMap<AppName, Arc<AppOffers>>;

fn is_offered(offers: &Offers, served: &Served) -> bool {
    offers.get(&served.app).is_some_and(|app| app.contains_key(served))
}

fn is_same(one: &Arc<AppOffers>, another: &Arc<AppOffers>) -> bool {
    Arc::ptr_eq(one, another) || one == another
}

/// What is to be served, and how often that has changed.
#[derive(Debug, Clone, Default)]
struct Asked {
    times: u64,
    offers: Arc<Offers>,
}

/// How often each is served, servings that are ending included.
type Up = BTreeMap<Served, usize>;

/// Says what is to be served, and tells what is.
#[derive(Debug, Clone)]
pub(crate) struct ServingHandle {
    client: Client,
    asked: Arc<watch::Sender<Asked>>,
    followed: watch::Receiver<u64>,
    up: watch::Receiver<Up>,
}

impl ServingHandle {
    /// Replaces what is to be served.
    pub(crate) fn offer(&self, offers: Offers) {
        self.asked.send_if_modified(|held| {
            let same = |(app, part): (&AppName, &Arc<AppOffers>)| {
                held.offers.get(app).is_some_and(|held| is_same(held, part))
            };
            let changed = held.offers.len() != offers.len() || !offers.iter().all(same);
            if changed {
                *held = Asked { times: held.times + 1, offers: Arc::new(offers) };
            }
            changed
        });
    }

    /// Resolves when what was offered last is served: the lattice's calls find it. At once while NATS is away.
    pub(crate) async fn settled(&self) {
        if !self.client.is_connected() {
            return;
        }
        let asked = self.asked.borrow().times;
        // An error means that the serving task has ended: nothing more will be served.
        let mut followed = self.followed.clone();
        let _ended = followed.wait_for(|followed| *followed >= asked).await;
    }

    /// Resolves when none of these calls can come from the lattice any more, or another unit takes them.
    pub(crate) async fn taken_down(&self, served: &Served) {
        let mut up = self.up.clone();
        let over = |up: &Up| !up.contains_key(served) || is_offered(&self.asked.borrow().offers, served);
        // An error means that the serving task has ended, and with it every subscription.
        let _ended = up.wait_for(over).await;
    }
}

/// Serves what is offered. Owns every subscription of components.
#[derive(Debug)]
pub(crate) struct Server {
    router: Arc<Router>,
    client: Client,
    lattice: LatticeId,
    spans: Spans,
    drain: Duration,
    asked: watch::Receiver<Asked>,
    followed: watch::Sender<u64>,
    up: Arc<watch::Sender<Up>>,
    /// What was asked for when it was last followed.
    followed_offers: Arc<Offers>,
    running: BTreeMap<Served, (Offer, Serving)>,
    ending: TaskTracker,
}

impl Server {
    /// A server that drains within `drain` whatever it is to serve no longer.
    pub(crate) fn new(
        router: Arc<Router>,
        client: Client,
        (lattice, spans): (LatticeId, Spans),
        drain: Duration,
    ) -> (Self, ServingHandle) {
        let (ask, asked) = watch::channel(Asked::default());
        let (followed, has_followed) = watch::channel(0);
        let (up, is_up) = watch::channel(Up::new());
        let server = Self {
            router,
            client: client.clone(),
            lattice,
            spans,
            drain,
            asked,
            followed,
            up: Arc::new(up),
            followed_offers: Arc::default(),
            running: BTreeMap::new(),
            ending: TaskTracker::new(),
        };
        (server, ServingHandle { client, asked: Arc::new(ask), followed: has_followed, up: is_up })
    }

    /// Serves until `shutdown`, then takes everything down without losing a call that was taken.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        loop {
            let Asked { times, offers } = self.asked.borrow_and_update().clone();
            self.follow(&offers).await;
            self.followed.send_replace(times);
            tokio::select! {
                changed = self.asked.changed() => if changed.is_err() { break },
                () = shutdown.cancelled() => break,
            }
        }
        self.follow(&Arc::default()).await;
        self.ending.close();
        self.ending.wait().await;
    }

    /// Serves what is asked for now. Apps that are as they were are not looked at.
    async fn follow(&mut self, offers: &Arc<Offers>) {
        let before = std::mem::replace(&mut self.followed_offers, Arc::clone(offers));
        let gone =
            before.iter().filter(|(app, part)| !offers.get(*app).is_some_and(|now| is_same(now, part)));
        for served in gone.flat_map(|(_, part)| part.keys()).filter(|served| !is_offered(offers, served)) {
            self.end(served.clone());
        }
        let mut new = Vec::new();
        let changed =
            offers.iter().filter(|(app, part)| !before.get(*app).is_some_and(|held| is_same(held, part)));
        for (served, offer) in changed.flat_map(|(_, part)| &**part) {
            let changed = match self.running.get_mut(served) {
                None => {
                    new.push((served, offer));
                    continue;
                }
                Some((held, _)) if held == offer => continue,
                Some(_) => self.extend(served, offer).await,
            };
            if let Err(error) = changed {
                tell_unserved(served, &error);
            }
        }
        self.begin(&new).await;
    }

    /// Serves what was not served before, many at a time: they wait for the server once, together.
    async fn begin(&mut self, new: &[(&Served, &Offer)]) {
        for some in new.chunks(AT_ONCE) {
            let asks = some.iter().map(|(served, offer)| self.ask(served, offer)).collect();
            let begun = lath_wrpc::serve_all(&self.client, &self.lattice, asks).await;
            for ((served, offer), serving) in some.iter().zip(begun) {
                match serving {
                    Ok(serving) => {
                        self.up.send_modify(|up| *up.entry((*served).clone()).or_default() += 1);
                        self.running.insert((*served).clone(), ((*offer).clone(), serving));
                    }
                    Err(error) => tell_unserved(served, &error),
                }
            }
        }
    }

    fn ask(&self, served: &Served, offer: &Offer) -> ServeAsk {
        let revision = served.revision.map(|revision| AppRevision { app: served.app.clone(), revision });
        ServeAsk {
            id: served.id.clone(),
            exports: offer.exports(),
            service: self.service(&served.id, offer),
            options: ServeOptions { revision, ..ServeOptions::default() },
        }
    }

    /// Changes how something is served that is.
    async fn extend(&mut self, served: &Served, offer: &Offer) -> Result<(), lath_wrpc::ServeError> {
        let service = self.service(&served.id, offer);
        let Some((held, serving)) = self.running.get_mut(served) else { return Ok(()) };
        serving.extend(offer.exports()).await?;
        let extended = Offer { http: offer.http, functions: Arc::clone(&offer.functions), ..held.clone() };
        if extended != *offer {
            serving.replace(service);
        }
        *held = offer.clone();
        Ok(())
    }

    fn service(&self, id: &ComponentId, offer: &Offer) -> Service {
        let answer = Answer {
            router: Arc::clone(&self.router),
            id: id.clone(),
            unit: offer.unit.clone(),
            spans: self.spans.clone(),
        };
        let handler = move |call: Call| answer.clone().answer(call);
        Service { handler: Arc::new(handler), permits: Arc::new(Semaphore::new(offer.permits.max(1))) }
    }

    fn end(&mut self, served: Served) {
        let Some((_, serving)) = self.running.remove(&served) else { return };
        let (up, deadline) = (Arc::clone(&self.up), Instant::now() + self.drain);
        self.ending.spawn(async move {
            let drained = serving.drain(deadline).await;
            if drained.aborted + drained.refused > 0 {
                let (aborted, refused) = (drained.aborted, drained.refused);
                tracing::warn!(component = %served.id, aborted, refused, "calls from the lattice were ended by the drain deadline");
            }
            up.send_modify(|up| {
                if let Some(count) = up.get_mut(&served) {
                    *count -= 1;
                    if *count == 0 {
                        up.remove(&served);
                    }
                }
            });
        });
    }
}

fn tell_unserved(served: &Served, error: &lath_wrpc::ServeError) {
    let error = chain(error);
    tracing::error!(component = %served.id, error, "the component cannot be served to the lattice");
}

/// Answers calls of one component.
#[derive(Debug, Clone)]
struct Answer {
    router: Arc<Router>,
    id: ComponentId,
    unit: Option<Arc<Prepared>>,
    spans: Spans,
}

impl Answer {
    async fn answer(self, call: Call) {
        // An error here means that the caller is gone, and nobody is left to be told.
        let _caller_gone = if call.export().instance.as_deref() == Some(http::INCOMING) {
            self.answer_request(call).await
        } else {
            self.answer_function(call).await
        };
    }

    async fn answer_function(&self, mut call: Call) -> Result<(), lath_wrpc::StreamError> {
        let results = match call.params().await {
            Ok(params) => self.call_function(&call, &params).await,
            Err(failure) => Err(failure),
        };
        call.finish(results).await
    }

    async fn call_function(&self, call: &Call, params: &[u8]) -> Result<Bytes, Failure> {
        let in_flight = self.begin(call.headers())?;
        let unit = Arc::clone(in_flight.prepared());
        let export = call.export();
        let unknown = || {
            Failure::new(FailureCode::BadParams, format!("`{}` has no function `{}`", self.id, export.func))
        };
        let function = unit.exports().find(export.instance.as_deref(), &export.func).ok_or_else(unknown)?;
        let (ctx, mut open) = self.enter(call, unit.identity());
        let answered = in_flight.call_encoded(function, params, ctx).await;
        if let (Some(open), Err(error)) = (&mut open, &answered) {
            match error {
                Unanswered::Call(error) => trace::note_failure(open, error),
                Unanswered::Params(_) => open.fail("bad_params", error),
                Unanswered::Results(_) => open.fail("failed", error),
            }
        }
        answered.map_err(|error| match error {
            Unanswered::Params(error) => Failure::new(FailureCode::BadParams, chain(&error)),
            Unanswered::Call(error) => failure(&error),
            Unanswered::Results(error) => Failure::new(FailureCode::Internal, chain(&error)),
        })
    }

    async fn answer_request(&self, call: Call) -> Result<(), lath_wrpc::StreamError> {
        let Ok((request, responder)) = http::receive(call).await else { return Ok(()) };
        let call = responder.call();
        let in_flight = match self.begin(call.headers()) {
            Ok(in_flight) => in_flight,
            Err(failure) => return responder.fail(failure).await,
        };
        let (ctx, mut open) = self.enter(call, in_flight.prepared().identity());
        let mut request =
            request.map(|body| body.map_err(|error| BodyError::Connection(error.to_string())).boxed_unsync());
        if let (Some(_), Some(context)) = (&open, &ctx.trace) {
            trace::put_into(request.headers_mut(), context);
        }
        let answered = in_flight.http(request, ctx).await;
        match answered {
            Ok(response) => {
                if let Some(open) = &mut open {
                    trace::note_answer(open, response.status());
                }
                responder.respond(response).await
            }
            Err(error) => {
                if let Some(open) = &mut open {
                    trace::note_failure(open, &error);
                }
                responder.fail(failure(&error)).await
            }
        }
    }

    /// The context of a call, and the span in which it is answered, if it is recorded.
    fn enter(&self, call: &Call, unit: &UnitIdentity) -> (CallContext, Option<Open>) {
        let (trace, mut open) = trace::enter_call(&self.spans, call.headers());
        if let Some(open) = &mut open {
            let export = call.export();
            let instance = export.instance.as_deref().unwrap_or_default();
            open.rename(|| trace::name_of(instance, &export.func));
            trace::note_function(open, instance, &export.func);
            trace::note_unit(open, unit);
        }
        (CallContext { trace, ..context(call) }, open)
    }

    fn begin(&self, headers: &HeaderMap) -> Result<InFlight, Failure> {
        if let Some(Ok(in_flight)) = self.unit.as_ref().map(Prepared::begin) {
            return Ok(in_flight);
        }
        let caller = caller(headers);
        let caller = caller.as_ref().map(|(app, revision)| (app, *revision));
        let gone =
            || Failure::new(FailureCode::Stopping, format!("`{}` does not serve here any more", self.id));
        self.router.begin(&self.id, caller, Reach::Host).ok_or_else(gone)
    }
}

/// The app revision in whose name a call is made, if its caller says one.
fn caller(headers: &HeaderMap) -> Option<(AppName, Revision)> {
    let (app, revision) = headers.get(REVISION)?.as_str().split_once('@')?;
    Some((app.parse().ok()?, revision.parse().ok()?))
}

/// The context of a call but for its trace.
fn context(call: &Call) -> CallContext {
    let headers = call.headers();
    let until = call.deadline().map(Instant::into_std);
    // An HTTP answer may last longer than its caller waits for the head; the component's own limit ends it.
    let (deadline, answer_by) = if call.export().streams.is_empty() { (until, None) } else { (None, until) };
    CallContext {
        deadline,
        answer_by,
        trace: None,
        hops: headers.get(HOPS).and_then(|hops| hops.as_str().parse().ok()).unwrap_or(0),
    }
}

/// What a failed call is to a caller on another host.
fn failure(error: &CallError) -> Failure {
    let code = match error {
        CallError::Trap(_) => FailureCode::Trapped,
        CallError::DeadlineExceeded => FailureCode::Timeout,
        CallError::Overloaded(_) => FailureCode::Overloaded,
        CallError::TooLarge(_) => FailureCode::TooLarge,
        CallError::Stopped | CallError::Abandoned => FailureCode::Aborted,
        CallError::NoSuchFunction(_) => FailureCode::BadParams,
        CallError::Target(_) | CallError::Failed(_) => FailureCode::Internal,
    };
    Failure::new(code, error.to_string())
}
