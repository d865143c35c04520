use std::collections::BTreeMap;
use std::time::Duration;

use lath_control_api::{
    AppInventory, CallCounts, ComponentInventory, Epoch, Fence, HostState, Labels, Phase, Reason, Revision,
    Role, Timestamp, UnitInventory, Weight,
};
use tokio::io::AsyncWriteExt as _;

use super::*;
use crate::status::AppShown;

/// A host whose apps use these digests.
fn using(digests: &[&Digest]) -> Arc<Snapshot> {
    let units = digests.iter().map(|digest| unit(digest)).collect();
    let component =
        ComponentInventory { component: "cart".parse().unwrap(), id: "shop-cart".parse().unwrap(), units };
    let app = AppInventory {
        app: "shop".parse().unwrap(),
        fence: Fence::default(),
        confirmed: true,
        components: vec![component],
    };
    Arc::new(Snapshot {
        state: HostState::Ready,
        labels: Labels::default(),
        epoch: Epoch(0),
        sequence: 0,
        listeners: Vec::new(),
        apps: vec![Arc::new(AppShown::new(app, BTreeMap::new(), BTreeMap::new(), BTreeMap::new()))],
        callers: None,
    })
}

fn unit(digest: &Digest) -> UnitInventory {
    UnitInventory {
        role: Role::Stable,
        serving: true,
        weight: Weight::ALL,
        revision: Revision(1),
        content: Digest::of(b"spec"),
        image: "ghcr.io/shop/cart:1".into(),
        digest: Some(digest.clone()),
        phase: Phase::Running,
        reason: Reason::AsAsked,
        message: String::new(),
        since: Timestamp(0),
        next_try: None,
        max_instances: 1,
        calls: CallCounts::default(),
        process: None,
        claims: None,
        links: Vec::new(),
    }
}

struct Place {
    folder: tempfile::TempDir,
    disk: Disk,
    snapshots: watch::Sender<Arc<Snapshot>>,
}

impl Place {
    /// Room for three of the files that [`code`] gives.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (snapshots, receiver) = watch::channel(using(&[]));
        let disk = Disk::open(folder.path(), 3 * SIZE, InUse::new(receiver)).unwrap();
        Self { folder, disk, snapshots }
    }

    async fn keep(&self, bytes: &[u8]) -> Result<Digest, RegistryError> {
        let digest = Digest::of(bytes);
        let mut draft = self.disk.begin(&digest).await?;
        draft.file.write_all(bytes).await.unwrap();
        draft.file.flush().await.unwrap();
        self.disk.keep(draft, bytes.len() as u64).await?;
        Ok(digest)
    }

    /// As if it was used that long ago.
    fn used(&self, digest: &Digest, seconds_ago: u64) {
        let file = fs::File::open(self.disk.path(digest)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds_ago)).unwrap();
    }

    fn names(&self) -> usize {
        fs::read_dir(self.folder.path().join("components")).unwrap().count()
    }
}

const SIZE: u64 = 1_000;

fn code(number: u8) -> Vec<u8> {
    vec![number; usize::try_from(SIZE).unwrap()]
}

#[tokio::test]
async fn what_was_used_longest_ago_goes_first_and_what_apps_use_never() {
    let place = Place::new();
    let mut kept = Vec::new();
    for number in 0..3 {
        kept.push(place.keep(&code(number)).await.unwrap());
    }
    // The oldest of all is in use; the second was read a moment ago.
    for (digest, ago) in kept.iter().zip([300, 200, 100]) {
        place.used(digest, ago);
    }
    place.snapshots.send_replace(using(&[&kept[0]]));
    assert_eq!(place.disk.read(&kept[1]).await.unwrap(), code(1));
    let newest = place.keep(&code(3)).await.unwrap();
    assert!(place.disk.read(&kept[2]).await.is_none());
    for there in [&kept[0], &kept[1], &newest] {
        assert!(place.disk.read(there).await.is_some());
    }
}

#[tokio::test]
async fn what_does_not_fit_beside_what_apps_use_is_refused_and_leaves_nothing() {
    let place = Place::new();
    let mut kept = Vec::new();
    for number in 0..3 {
        kept.push(place.keep(&code(number)).await.unwrap());
    }
    place.snapshots.send_replace(using(&kept.iter().collect::<Vec<_>>()));
    let error = place.keep(&code(3)).await.unwrap_err();
    assert_eq!(error.fault.reason(), Reason::DiskFull, "{error}");
    assert!(error.message.contains("3000") && error.help.contains("--code-cache"), "{error:?}");
    assert_eq!(place.names(), 3);
    assert!(!place.disk.make_room().await);
    // The same code anew needs no room of its own.
    place.keep(&code(0)).await.unwrap();
    place.snapshots.send_replace(using(&[]));
    assert!(place.disk.make_room().await);
    assert_eq!(place.names(), 0);
}

#[tokio::test]
async fn xo15_half_a_file_is_never_code() {
    let place = Place::new();
    let digest = Digest::of(&code(1));
    let mut draft = place.disk.begin(&digest).await.unwrap();
    draft.file.write_all(b"half").await.unwrap();
    draft.file.flush().await.unwrap();
    assert!(place.disk.read(&digest).await.is_none());
    // As after a crash: the next start removes it.
    assert_eq!(place.names(), 1);
    let (_snapshots, receiver) = watch::channel(using(&[]));
    Disk::open(place.folder.path(), SIZE, InUse::new(receiver)).unwrap();
    assert_eq!(place.names(), 0);
}

#[tokio::test]
async fn f26_a_changed_file_is_removed() {
    let place = Place::new();
    let digest = place.keep(&code(1)).await.unwrap();
    let mut bytes = code(1);
    bytes[500] ^= 1;
    fs::write(place.disk.path(&digest), bytes).unwrap();
    assert!(place.disk.read(&digest).await.is_none());
    assert_eq!(place.names(), 0);
}
