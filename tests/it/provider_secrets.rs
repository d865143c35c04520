//! Secrets of components: from files of the host, revealed by name, and shown nowhere. Those of providers, and a published
//! backend, are tested in `tests/compat/provider`.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use lath_tests::{App, Lattice, Load, Setup, eventually};

const SECRET: &str = "correct horse battery staple";
const POLICY: &str = "    - name: vault
      type: policy.secret.wasmcloud.dev/v1alpha1
      properties: { backend: file }
";

fn yaml(lattice: &Lattice, key: &str) -> String {
    let yaml = App::of("shop", lattice.address, &[("confidant", "confidant-v1")]).yaml();
    let at = yaml.find("  policies:\n").unwrap() + "  policies:\n".len();
    let (head, rest) = yaml.split_at(at);
    let image = rest.find("        image: ").unwrap();
    let end = image + rest[image..].find('\n').unwrap() + 1;
    let secrets = format!(
        "        secrets: [{{ name: password, properties: {{ policy: vault, key: {key} }} }}, \
         {{ name: blob, properties: {{ policy: vault, key: blob }} }}]\n"
    );
    format!("{head}{POLICY}{}{secrets}{}", &rest[..end], &rest[end..])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_gets_its_secrets_by_name_and_they_are_shown_nowhere() {
    let mut lattice = Setup::default().host(&[]).start().await;
    let folder = lattice.folder().join("secrets");
    std::fs::create_dir(&folder).unwrap();
    for (name, bytes) in [("password", SECRET.as_bytes()), ("blob", &[0xff, 0, 1])] {
        std::fs::write(folder.join(name), bytes).unwrap();
        std::fs::set_permissions(folder.join(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let deploy = async |lattice: &Lattice, key: &str| {
        let file = lattice.folder().join("shop.yaml");
        std::fs::write(&file, yaml(lattice, key)).unwrap();
        lattice.lath().run(["deploy".as_ref(), file.as_os_str()]).await
    };
    // Without a folder there is no such backend, and the message says what to do.
    let ended = deploy(&lattice, "password").await;
    assert_ne!(ended.code, Some(0), "{}", ended.told());
    ended.says(&["`password`", "`file`", "--secrets-dir"]);

    lattice.host_mut(1).set(Some(("LATH_SECRETS_DIR", folder.display().to_string())));
    lattice.host_mut(1).stop().await;
    lattice.host_mut(1).restart().await;
    let _ = deploy(&lattice, "password").await.exits(0);
    for (path, told) in [
        ("/?name=password", format!("a text of {} bytes", SECRET.len())),
        ("/?name=blob", "3 bytes".to_owned()),
        ("/?name=other", "not found".to_owned()),
    ] {
        eventually(Duration::from_secs(20), &format!("`{told}` at {path}"), async || {
            let answer = Load::new(lattice.address, path).once().await?;
            let said = answer.body.to_string();
            if said.contains(&told) { Ok(()) } else { Err(said) }
        })
        .await;
    }
    let missing = deploy(&lattice, "elsewhere").await.exits(9);
    missing.says(&["secret-unavailable", "`password`", "No such file"]);

    // It stands in no log, no record and no inventory.
    let inventory = lattice.lath().run(["inventory", "-o", "json"]).await.exits(0);
    assert!(!inventory.seen().contains(SECRET));
    let mut folders = vec![lattice.folder().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("secrets") {
                folders.push(path);
            } else if path.is_file() {
                let bytes = std::fs::read(&path).unwrap_or_default();
                let found = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
                assert!(!found, "the secret stands in {}", path.display());
            }
        }
    }
}
