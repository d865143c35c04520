//! A frozen sample of every message: today's types must read it, and write exactly it.
//!
//! A sample file is never edited to make this pass: a difference means that deployed hosts, managers and tools
//! would no longer understand one another. New messages get their file with `LATH_BLESS=1`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test reads its samples and stops at the first surprise"
)]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;

use lath_control_api::app::{
    AppList, AppRequest, AppState, AppStatus, Cause, ChangeKind, ChangeReply, ComponentStatus, DeployRequest,
    History, HistoryEntry, HostList, KnownHost, ListRequest, ManagerInfo, Outcome, Place, Problem,
    RollbackRequest, RolloutPhase, RolloutStatus,
};
use lath_control_api::preopen::{Access, Preopen};
use lath_control_api::{
    ApiError, AppInventory, ApplyReply, ApplyRequest, Builtin, BuiltinAliases, CallCounts, Candidate,
    CloudEvent, ComponentBundle, ComponentInventory, ComponentSpec, Digest, DrainPolicy, DrainRequest, Epoch,
    ErrorCode, EventData, Fence, Generation, Grants, HoldPolicy, HostAlive, HostCalls, HostChangeReply,
    HostGone, HostId, HostInventory, HostState, HostSummary, HttpRoute, Image, IncomingLink, InstancePolicy,
    InventoryPage, InventoryRequest, LabelRequest, Labels, Limits, LinkAnswer, LinkDeleteRequest, LinkHeld,
    LinkInventory, LinkKey, LinkName, LinkPutRequest, LinkReply, LinkSpec, LinkState, LinksReply,
    LinksRequest, ListenerInventory, Phase, PingReply, PingRequest, Probe, ProviderTarget, Reason, Reply,
    Revision, Role, SecretRef, Step, Timestamp, Transport, UnitInventory, UnverifiedLinks, Weight, Workload,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

fn frozen<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, value: &T) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/samples").join(format!("{name}.json"));
    let written = serde_json::to_string_pretty(value).unwrap() + "\n";
    if !path.exists() && std::env::var_os("LATH_BLESS").is_some() {
        std::fs::write(&path, &written).unwrap();
    }
    let sample = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(written, sample, "{name} is written in another way than before");
    assert_eq!(
        serde_json::from_str::<T>(&sample).unwrap(),
        *value,
        "{name} is read in another way than before"
    );
}

fn host() -> HostId {
    "NABCDEFGHIJKLMNOPQRSTUVWXYZ234567ABCDEFGHIJKLMNOPQRSTUVW".parse().unwrap()
}

fn fence() -> Fence {
    Fence { epoch: Epoch(3), generation: Generation(7), step: Step(2) }
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn link() -> LinkSpec {
    LinkSpec {
        name: LinkName::default(),
        namespace: "wasi".into(),
        package: "http".into(),
        interfaces: vec!["incoming-handler".into()],
        target: "shop-api".parse().unwrap(),
        target_name: "api".parse().unwrap(),
        source_config: map(&[("address", "127.0.0.1:8000")]),
        target_config: BTreeMap::new(),
        builtin: None,
        provider: None,
        source_secrets: Vec::new(),
        target_secrets: Vec::new(),
        transport: Transport::default(),
    }
}

fn spec(revision: u64, workload: Workload) -> ComponentSpec {
    ComponentSpec {
        revision: Revision(revision),
        workload,
        max_instances: 10,
        instance_policy: InstancePolicy::Fresh,
        limits: Limits::default(),
        config: map(&[("greeting", "hello")]),
        links: vec![link()],
        secrets: Vec::new(),
        incoming: Vec::new(),
        grants: Grants { env: map(&[("TZ", "UTC")]), ..Grants::default() },
        routes: Vec::new(),
        probe: Some(Probe {
            path: "/healthz".into(),
            timeout_ms: 2_000,
            attempts: 3,
            function: None,
            period_ms: None,
            failures: None,
        }),
        annotations: BTreeMap::new(),
    }
}

fn code() -> Workload {
    Workload::Component { image: Image { reference: "file://api.wasm".into(), digest: Digest::of(b"api") } }
}

fn secret() -> SecretRef {
    SecretRef {
        name: "token".into(),
        backend: "vault".into(),
        key: "kv/shop".into(),
        field: Some("token".into()),
        version: Some("3".into()),
        properties: map(&[("role", "shop")]),
    }
}

fn incoming() -> IncomingLink {
    let to_provider = LinkSpec {
        namespace: "wasi".into(),
        package: "keyvalue".into(),
        interfaces: vec!["store".into(), "atomics".into()],
        source_config: BTreeMap::new(),
        target_config: map(&[("bucket", "carts")]),
        target_secrets: vec![secret()],
        ..link()
    };
    IncomingLink::of(&"shop-api".parse().unwrap(), &to_provider)
}

fn provider() -> ComponentSpec {
    let image = Image { reference: "registry.test/kv:1".into(), digest: Digest::of(b"kv") };
    ComponentSpec {
        secrets: vec![secret()],
        incoming: vec![incoming()],
        probe: None,
        grants: Grants::default(),
        ..spec(4, Workload::Provider { image })
    }
}

/// What a manager tells of a provider, and of those that call it: one of its own app, one of another.
fn apply_with_provider() -> ApplyRequest {
    let kv = provider();
    let wire_id = kv.wire_id(&"shop-kv".parse().unwrap()).unwrap();
    let to = |provider| LinkSpec { provider: Some(provider), source_secrets: vec![secret()], ..link() };
    let links = vec![to(ProviderTarget::Process { wire_id }), to(ProviderTarget::Elsewhere)];
    let bundle = |name: &str, spec| ComponentBundle {
        component: name.parse().unwrap(),
        id: format!("shop-{name}").parse().unwrap(),
        stable: Some(Arc::new(spec)),
        candidate: None,
        drain: DrainPolicy::default(),
        hold: HoldPolicy::default(),
        unverified_links: UnverifiedLinks::Fail,
    };
    let api = bundle("api", ComponentSpec { links, ..spec(4, code()) });
    ApplyRequest { fence: fence(), app: "shop".parse().unwrap(), bundles: vec![api, bundle("kv", kv)] }
}

fn server() -> ComponentSpec {
    let workload =
        Workload::Builtin { builtin: Builtin::HttpServer, reference: "builtin://http-server".into() };
    let route = HttpRoute {
        address: Some("127.0.0.1:8000".parse().unwrap()),
        host: Some("shop.test".into()),
        path: Some("/api".into()),
        target: "shop-api".parse().unwrap(),
        timeout_ms: Some(5_000),
    };
    ComponentSpec { routes: vec![route], probe: None, ..spec(4, workload) }
}

fn apply() -> ApplyRequest {
    let api = ComponentBundle {
        component: "api".parse().unwrap(),
        id: "shop-api".parse().unwrap(),
        stable: Some(Arc::new(spec(4, code()))),
        candidate: Some(Candidate { spec: Arc::new(spec(5, code())), weight: Weight::try_from(25).unwrap() }),
        drain: DrainPolicy::default(),
        hold: HoldPolicy::default(),
        unverified_links: UnverifiedLinks::default(),
    };
    let http = ComponentBundle {
        component: "http".parse().unwrap(),
        id: "shop-http".parse().unwrap(),
        stable: Some(Arc::new(server())),
        candidate: None,
        drain: DrainPolicy { deadline_ms: 1_000 },
        hold: HoldPolicy { max_time_ms: 10, max_queue: 1 },
        unverified_links: UnverifiedLinks::default(),
    };
    ApplyRequest { fence: fence(), app: "shop".parse().unwrap(), bundles: vec![api, http] }
}

fn summary() -> HostSummary {
    let http_servers =
        ["ghcr.io/wasmcloud/http-server", "ghcr.io/wasmcloud/httpserver", "wasmcloud.azurecr.io/httpserver"];
    HostSummary {
        host: host(),
        name: "amber-fox".into(),
        labels: Labels(map(&[("zone", "a")])),
        version: "0.1.0".into(),
        boot: "01KAJ5Q3ZB4Y7M8N9P0QRSTVWX".into(),
        sequence: 42,
        started: Timestamp(1_795_244_400_123),
        state: HostState::Ready,
        epoch: Epoch(3),
        http_default: Some("127.0.0.1:8000".parse().unwrap()),
        builtins: BuiltinAliases(http_servers.map(|name| (name.to_owned(), Builtin::HttpServer)).into()),
    }
}

fn inventory() -> HostInventory {
    let unit = UnitInventory {
        role: Role::Candidate,
        serving: false,
        weight: Weight::NONE,
        revision: Revision(5),
        content: Digest::of(b"content"),
        image: "file://api.wasm".into(),
        digest: Some(Digest::of(b"api")),
        phase: Phase::Failed,
        reason: Reason::ProbeFailed,
        message: "GET /healthz answered 500".into(),
        since: Timestamp(1_795_244_401_000),
        next_try: None,
        process: None,
        claims: None,
        links: Vec::new(),
        max_instances: 10,
        calls: CallCounts {
            started: 5,
            succeeded: 1,
            trapped: 1,
            timed_out: 1,
            overloaded: 1,
            failed: 1,
            answered_5xx: 0,
            abandoned: 0,
            in_flight: 0,
            latency_us: BTreeMap::from([(1_000, 4), (2_000, 1)]),
        },
    };
    let component = ComponentInventory {
        component: "api".parse().unwrap(),
        id: "shop-api".parse().unwrap(),
        units: vec![unit],
    };
    HostInventory {
        summary: summary(),
        listeners: vec![ListenerInventory {
            address: "127.0.0.1:8000".parse().unwrap(),
            routes: vec!["127.0.0.1:8000/api".into()],
        }],
        apps: vec![AppInventory {
            app: "shop".parse().unwrap(),
            fence: fence(),
            confirmed: true,
            components: vec![component],
        }],
    }
}

/// The app of the inventory while its candidate takes calls.
fn calls() -> HostCalls {
    let HostInventory { summary, mut apps, .. } = inventory();
    for unit in apps.iter_mut().flat_map(|app| &mut app.components).flat_map(|held| &mut held.units) {
        *unit = UnitInventory {
            serving: true,
            weight: Weight::try_from(5).unwrap(),
            phase: Phase::Running,
            reason: Reason::AsAsked,
            message: String::new(),
            calls: CallCounts {
                started: 9,
                succeeded: 5,
                answered_5xx: 2,
                abandoned: 1,
                in_flight: 1,
                latency_us: BTreeMap::from([(1_024, 7), (u64::MAX, 1)]),
                ..CallCounts::default()
            },
            ..unit.clone()
        };
    }
    HostCalls { host: summary.host, boot: summary.boot, sequence: summary.sequence, apps }
}

fn problem() -> Problem {
    Problem {
        reason: "probe-failed".into(),
        message: "GET /healthz answered 500".into(),
        component: Some("api".parse().unwrap()),
        host: Some(host()),
        host_name: Some("amber-fox".into()),
    }
}

fn cause() -> Cause {
    Cause { by: "ops".into(), message: Some("batch reads".into()) }
}

fn entry() -> HistoryEntry {
    HistoryEntry {
        strategy: String::new(),
        generation: Generation(7),
        kind: ChangeKind::Deploy,
        revision: Some(Revision(5)),
        from: Some(Revision(4)),
        outcome: Some(Outcome::RolledBack),
        problem: Some(problem()),
        started: Timestamp(1_795_244_400_000),
        ended: Some(Timestamp(1_795_244_402_000)),
        cause: cause(),
    }
}

fn status() -> AppStatus {
    AppStatus {
        app: "shop".parse().unwrap(),
        state: AppState::RollingBack,
        message: "api on amber-fox: GET /healthz answered 500".into(),
        revision: Some(Revision(5)),
        generation: Generation(8),
        rollout: Some(RolloutStatus {
            strategy: String::new(),
            weight: Weight::NONE,
            paused: None,
            until: None,
            gates: Vec::new(),
            from: Some(Revision(4)),
            to: Revision(5),
            phase: RolloutPhase::RollingBack,
            step: 2,
            steps: 4,
            started: Timestamp(1_795_244_400_000),
            waiting_for: vec!["api on amber-fox: draining".into()],
        }),
        last: Some(entry()),
        components: vec![ComponentStatus {
            component: "api".parse().unwrap(),
            id: "shop-api".parse().unwrap(),
            desired: 2,
            ready: 1,
            places: vec![Place {
                weight: Weight::NONE,
                calls: CallCounts::default(),
                host: host(),
                host_name: "amber-fox".into(),
                revision: Revision(5),
                phase: Some(Phase::Failed),
                reason: Reason::ProbeFailed,
                message: "GET /healthz answered 500".into(),
                links: Vec::new(),
            }],
        }],
        problems: vec![problem()],
        routes: vec!["127.0.0.1:8000 -> shop-api".into()],
        description: Some("Shop front".into()),
    }
}

#[test]
fn messages_between_manager_and_host_are_frozen() {
    frozen("apply-request", &apply());
    frozen("apply-reply", &Reply::Result(ApplyReply { fence: fence(), unchanged: true }));
    frozen("refusal", &Reply::<ApplyReply>::Error(Box::new(error())));
    frozen("inventory-request", &InventoryRequest { after: Some("shop".parse().unwrap()) });
    let page = InventoryPage { inventory: inventory(), next: Some("shop".parse().unwrap()) };
    frozen("inventory-page", &Reply::Result(page));
    frozen("ping-request", &PingRequest {});
    frozen("drain-request", &DrainRequest {});
    let labels = [("zone".to_owned(), Some("b".to_owned())), ("disk".to_owned(), None)];
    frozen("label-request", &LabelRequest { labels: BTreeMap::from(labels) });
    let drained = HostSummary { state: HostState::Draining, ..summary() };
    frozen("host-change-reply", &Reply::Result(HostChangeReply { summary: drained, unchanged: false }));
    let ping = PingReply {
        host: host(),
        name: "amber-fox".into(),
        version: "0.1.0".into(),
        apis: vec!["lath.v1".into()],
        time: Timestamp(1_795_244_400_123),
    };
    frozen("ping-reply", &ping);
}

/// A provider as its host shows it: one link was taken, of another it has said nothing.
fn inventory_with_provider() -> HostInventory {
    let mut inventory = inventory();
    let link = |name: &str, state, message: &str| LinkInventory {
        link: LinkKey { name: LinkName(name.into()), ..incoming().key() },
        target: "shop-kv".parse().unwrap(),
        state,
        message: message.into(),
    };
    for unit in inventory.apps.iter_mut().flat_map(|app| &mut app.components).flat_map(|held| &mut held.units)
    {
        unit.process = provider().wire_id(&"shop-kv".parse().unwrap());
        unit.phase = Phase::CrashLooping;
        unit.reason = Reason::ProviderExited;
        unit.message = "exit code 2: no such bucket".into();
        unit.links = vec![
            link("default", LinkState::Accepted, ""),
            link("other", LinkState::Unverified, ""),
            link("third", LinkState::Refused, "no such bucket"),
        ];
    }
    inventory
}

#[test]
fn messages_about_providers_are_frozen() {
    frozen("apply-request-provider", &apply_with_provider());
    let page = InventoryPage { inventory: inventory_with_provider(), next: None };
    frozen("inventory-page-provider", &Reply::Result(page));
    let app = || "shop".parse().unwrap();
    let hold = HoldPolicy::default();
    frozen("link-put-request", &LinkPutRequest { host: host(), app: app(), link: incoming(), hold });
    frozen("link-delete-request", &LinkDeleteRequest { host: host(), link: incoming().key() });
    let answers = [
        LinkAnswer::Taken,
        LinkAnswer::Accepted,
        LinkAnswer::Unverified,
        LinkAnswer::Refused { message: "no such bucket".into() },
        LinkAnswer::Absent,
    ];
    frozen("link-replies", &answers.map(|answer| LinkReply { host: host(), answer }).to_vec());
    frozen("links-request", &LinksRequest { provider: "shop-kv".parse().unwrap() });
    let held = LinkHeld { app: app(), link: incoming() };
    frozen("links-reply", &LinksReply { host: host(), links: vec![held] });
}

fn error() -> ApiError {
    ApiError {
        details: Some(serde_json::json!([{ "line": 3 }])),
        ..ApiError::new(ErrorCode::Stale, "epoch 2 is older than 3").with_help("look who manages the lattice")
    }
}

#[test]
fn events_are_frozen() {
    let event = |event| CloudEvent {
        specversion: "1.0".into(),
        id: "01KAJ5Q3ZB4Y7M8N9P0QRSTVWX".into(),
        source: host().to_string(),
        subject: "shop".into(),
        time: Timestamp(1_795_244_400_123),
        datacontenttype: "application/json".into(),
        event,
    };
    frozen("event-heartbeat", &event(EventData::Heartbeat(Box::new(summary()))));
    frozen("event-inventory", &event(EventData::Inventory(Box::new(inventory()))));
    frozen("event-calls", &event(EventData::Calls(Box::new(calls()))));
    frozen("host-alive", &HostAlive { boot: summary().boot, sequence: 42, epoch: Epoch(3) });
    frozen("event-stopped", &event(EventData::HostStopped(HostGone { host: host(), boot: summary().boot })));
    frozen("event-app", &event(EventData::App(Box::new(status()))));
}

#[test]
fn messages_between_tools_and_managers_are_frozen() {
    let app = || "shop".parse().unwrap();
    let deploy = DeployRequest {
        manifest: "apiVersion: core.oam.dev/v1beta1\n".into(),
        pushed: BTreeMap::from([("file://api.wasm".to_owned(), Digest::of(b"api"))]),
        cause: cause(),
        if_revision: Some(Revision(4)),
        dry_run: true,
        rollout: BTreeMap::new(),
        plan: None,
    };
    frozen("deploy-request", &deploy);
    let rollback = RollbackRequest {
        app: app(),
        to: Some(Revision(3)),
        cause: cause(),
        if_revision: None,
        dry_run: false,
        rollout: BTreeMap::new(),
    };
    frozen("rollback-request", &rollback);
    frozen("app-request", &AppRequest { app: app(), cause: Cause::default(), dry_run: false });
    let change = ChangeReply {
        app: app(),
        revision: Some(Revision(5)),
        from: Some(Revision(4)),
        generation: Generation(7),
        unchanged: false,
        notes: vec!["image tag `latest` moves".into()],
    };
    frozen("change-reply", &change);
    frozen("list-request", &ListRequest {});
    frozen("app-list", &AppList { apps: vec![status()] });
    frozen("history", &History { app: app(), entries: vec![entry()], tags: BTreeMap::new() });
    frozen(
        "host-list",
        &HostList { hosts: vec![KnownHost { summary: summary(), silent_ms: 1_200, lost: false }] },
    );
    let info = ManagerInfo {
        manager: "01KAJ5Q3ZB4Y7M8N9P0QRSTVWX".into(),
        version: "0.1.0".into(),
        acting: true,
        epoch: Epoch(3),
        apis: vec!["lath.v1".into()],
        time: Timestamp(1_795_244_400_123),
    };
    frozen("manager-info", &info);
}

#[test]
fn grants_travel_as_texts_and_not_at_all_when_there_are_none() {
    let grants = Grants {
        allowed_hosts: ["any", "api.example.com", "tcp://[2001:db8::1]:5432"]
            .map(|entry| entry.parse().unwrap())
            .into(),
        env: BTreeMap::new(),
        arguments: vec!["api".to_owned()],
        preopens: vec![Preopen::new("reports", "/r", Access::Write).unwrap()],
    };
    let text = r#"{"allowedHosts":["any","https://api.example.com","tcp://[2001:db8::1]:5432"],"arguments":["api"],"preopens":[{"path":"/r","folder":"reports","access":"write"}]}"#;
    assert_eq!(serde_json::to_string(&grants).unwrap(), text);
    assert_eq!(serde_json::from_str::<Grants>(text).unwrap(), grants);
    assert_eq!(serde_json::to_string(&Grants::default()).unwrap(), "{}");
    assert!(serde_json::from_str::<Grants>(r#"{"allowedHosts":["*"]}"#).is_err());
}

/// Field by field, so that a field added with its default does not move digests of specs that do not use it.
#[test]
fn the_digest_of_a_spec_is_frozen() {
    assert_eq!(
        spec(4, code()).content().as_str(),
        "sha256:34e25af3fd86805668705e588f2f6e7c45a189794e6d726ec939530ba1366406"
    );
    assert_eq!(spec(4, code()).content(), spec(5, code()).content());
}
