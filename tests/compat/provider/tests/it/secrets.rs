//! Secrets of a provider from the published backend that keeps them in NATS, and from files of the host.

use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt as _;

use nkeys::XKey;
use secrets_nats_kv::{Api, PutSecretRequest};

use crate::app::App;
use crate::lattice::Lattice;

const POLICY: &str = "    - name: vault
      type: policy.secret.wasmcloud.dev/v1alpha1
      properties: { backend: BACKEND }
";
const SECRET: &str =
    "        secrets: [{ name: password, properties: { policy: vault, key: db-password } }]\n";

/// The published backend, and its public key.
pub(crate) fn backend(runtime: &tokio::runtime::Runtime, client: client_nats::Client) -> XKey {
    let (server, store) = (XKey::new(), XKey::new());
    let public = XKey::from_public_key(&server.public_key()).unwrap();
    let names =
        ["wasmcloud.secrets", "nats-kv", "SECRETS", "wasmcloud_secrets", "v1alpha1"].map(str::to_owned);
    let [subject, name, bucket, queue, version] = names;
    let api = Api::new(server, store, client, subject, name, bucket, 4, queue, version);
    runtime.spawn(async move { api.run().await });
    public
}

pub(crate) fn app(backend: &str) -> App {
    App {
        policies: POLICY.replace("BACKEND", backend),
        secrets: SECRET.to_owned(),
        link: "word: Hi".to_owned(),
        ..App::default()
    }
}

#[test]
fn a_file_of_the_host_is_a_secret_of_the_provider() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("db-password");
    std::fs::write(&file, "hush\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let lattice = Lattice::start(&["--secrets-dir", folder.path().to_str().unwrap()]);
    app("file").deploy(&lattice);
    lattice.says("/?name=Ada", &["Hi, Ada (4 letters)"]);
    assert!(!lattice.host_log().contains("hush"));
}

#[test]
fn the_published_backend_gives_what_its_policy_allows() {
    let lattice = Lattice::start(&[]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = runtime.block_on(client_nats::connect(&lattice.nats)).unwrap();
    let public = backend(&runtime, client.clone());

    // Nothing is allowed yet.
    let file = app("nats-kv").write(&lattice);
    let ended = lattice.lath(&["deploy", &file]);
    let told =
        format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(!ended.status.success() && told.contains("`password`") && told.contains("nats-kv"), "{told}");
    let key = told.split("shop-greeter as ").nth(1).unwrap_or_else(|| panic!("{told}"));
    let key: String = key.chars().take_while(char::is_ascii_alphanumeric).collect();

    let put = PutSecretRequest {
        key: "db-password".to_owned(),
        string_secret: Some("hush".to_owned()),
        ..PutSecretRequest::default()
    };
    runtime
        .block_on(secrets_nats_kv::client::put_secret(&client, "wasmcloud.secrets", &public, put))
        .unwrap();
    let allowed = HashSet::from(["db-password".to_owned()]);
    runtime
        .block_on(secrets_nats_kv::client::add_mapping(&client, "wasmcloud.secrets", &key, allowed))
        .unwrap();
    app("nats-kv").deploy(&lattice);
    lattice.says("/?name=Ada", &["Hi, Ada (4 letters)"]);
    assert!(!lattice.host_log().contains("hush"));
}
