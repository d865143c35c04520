//! Apps whose greeter is a capability provider, as manifests, and what the processes of providers write down. Which program the
//! provider is, is the test's choice.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::{App, Lattice, binary, eventually};

/// Longest wait for something that a process writes down.
const PATIENCE: Duration = Duration::from_secs(30);

/// The provider of these tests that has no SDK (`src/bin/provider.rs`), which cargo builds with them.
#[must_use]
pub fn program() -> PathBuf {
    // …/target/PROFILE/deps/it-HASH
    let test = std::env::current_exe().expect("a test knows its own file");
    test.ancestors().nth(2).expect("a test is in the folder of a profile").join("lath-test-provider")
}

/// An app of a component `front`, which is asked over HTTP and asks the provider `greeter`.
#[derive(Debug, Clone)]
pub struct Greeting {
    /// Its name.
    pub name: String,
    /// The provider's image.
    pub image: String,
    /// Code of the component.
    pub front: String,
    /// Config of the provider.
    pub config: BTreeMap<String, String>,
    /// Settings for the provider of the link that leads to it.
    pub link: BTreeMap<String, String>,
    /// Of the link that begins at it, if there is one: its target, which is `front` mostly, and its settings.
    pub source: Option<(String, BTreeMap<String, String>)>,
    /// Lines of the manifest for policies.
    pub policies: String,
    /// The secrets of the provider, as the manifest has them.
    pub secrets: Option<String>,
}

impl Greeting {
    /// The provider without an SDK, and the first version of the front.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            image: format!("file://{}", program().display()),
            front: "http-front-v1".to_owned(),
            config: BTreeMap::new(),
            link: BTreeMap::new(),
            source: None,
            policies: String::new(),
            secrets: None,
        }
    }

    /// With a setting of the provider.
    #[must_use]
    pub fn config(mut self, key: &str, value: &str) -> Self {
        self.config.insert(key.to_owned(), value.to_owned());
        self
    }

    /// With a setting of the link to the provider.
    #[must_use]
    pub fn link(mut self, key: &str, value: &str) -> Self {
        self.link.insert(key.to_owned(), value.to_owned());
        self
    }

    /// The manifest.
    #[must_use]
    pub fn yaml(&self, lattice: &Lattice) -> String {
        let front = App::chain(&self.name, lattice.address, &[("front", &self.front)]);
        let mut yaml = front.yaml();
        let after = "      traits:\n";
        let at = yaml.find(after).expect("the component has traits") + after.len();
        let link = "        - type: link
          properties:
            namespace: lath
            package: demo
            interfaces: [greeter]
            target:
              name: greeter\n";
        let mut link = link.to_owned();
        if !self.link.is_empty() {
            let _ = writeln!(
                link,
                "              config: [{{ name: front-link, properties: {} }}]",
                flow(&self.link)
            );
        }
        yaml.insert_str(at, &link);
        if !self.policies.is_empty() {
            let at = yaml.find("  policies:\n").expect("the app has policies") + "  policies:\n".len();
            yaml.insert_str(at, &self.policies);
        }
        let image = Value::from(self.image.as_str());
        let _ = write!(
            yaml,
            "    - name: greeter\n      type: capability\n      properties:\n        image: {image}\n"
        );
        if !self.config.is_empty() {
            let _ = writeln!(
                yaml,
                "        config: [{{ name: greeter-config, properties: {} }}]",
                flow(&self.config)
            );
        }
        if let Some(secrets) = &self.secrets {
            let _ = writeln!(yaml, "        secrets: {secrets}");
        }
        yaml.push_str(
            "      traits:\n        - type: daemonscaler\n          properties: { instances: 1 }\n",
        );
        if let Some((target, settings)) = &self.source {
            let _ = write!(
                yaml,
                "        - type: link
          properties:
            namespace: wasi
            package: http
            interfaces: [incoming-handler]
            target: {{ name: {target} }}
            source: {{ config: [{{ name: from-provider, properties: {} }}] }}\n",
                flow(settings)
            );
        }
        yaml
    }

    /// Writes the manifest and gives its path.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn write(&self, lattice: &Lattice) -> PathBuf {
        let file = lattice.folder().join(format!("{}.yaml", self.name));
        std::fs::write(&file, self.yaml(lattice)).expect("cannot write a manifest");
        file
    }
}

/// A mapping on one line.
fn flow(map: &BTreeMap<String, String>) -> String {
    let quoted = |text: &String| Value::from(text.as_str()).to_string();
    let pairs = map.iter().map(|(key, value)| format!("{}: {}", quoted(key), quoted(value)));
    format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
}

/// What the processes of a provider have written down.
#[derive(Debug, Clone)]
pub struct Journal(PathBuf);

impl Journal {
    /// One in `folder`.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self(folder.join("journal"))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> String {
        self.0.display().to_string()
    }

    /// Its lines.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// What follows `word` in each line that begins with it.
    #[must_use]
    pub fn all(&self, word: &str) -> Vec<String> {
        let rest = |line: &String| Some(line.strip_prefix(word)?.trim().to_owned());
        self.lines().iter().filter_map(rest).collect()
    }

    /// Waits until a line stands in it that begins with `line`.
    pub async fn has(&self, line: &str) {
        eventually(PATIENCE, &format!("`{line}` in the journal"), async || {
            let lines = self.lines();
            if lines.iter().any(|known| known.starts_with(line)) {
                Ok(())
            } else {
                Err(format!("{lines:#?}"))
            }
        })
        .await;
    }
}

/// Waits until the process with this id has ended.
pub async fn is_gone(id: &str) {
    eventually(PATIENCE, &format!("the process {id} to be gone"), async || {
        let state = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        if state.is_empty() || state.contains(" Z ") { Ok(()) } else { Err(state) }
    })
    .await;
}

/// Whether a process with this id runs.
#[must_use]
pub fn runs(id: &str) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    !state.is_empty() && !state.contains(" Z ")
}

/// Builds nothing, but fails early with a word when the provider was not built.
///
/// # Panics
/// When it was not.
pub fn must_be_there() {
    let program = program();
    assert!(program.is_file(), "{} is missing below {}", program.display(), binary::workspace().display());
}
