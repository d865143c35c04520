//! What a capability is to the host: the interfaces it answers, and what it holds for each component.
//!
//! A capability is made once for a process. Each component that has a link to it gets something of its own when it is
//! prepared ([`Capability::bind`]) and gives it back when its unit is gone ([`Bound::unbind`]). What one call needs lies
//! in the call's store and goes with it. `docs/capabilities.md` shows how to add one.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use lath_control_api::{Builtin, ComponentSpec, LinkSpec, Reason, WitInterface};
use lath_wasmcloud::SecretValue;
use wasmtime::component::Linker;

use crate::engine::{CallState, PrepareError, UnitIdentity};

/// One interface of a capability, with every version of it that is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interface {
    /// Without version: `wasi:keyvalue/store`.
    pub(crate) name: &'static str,
    /// Exact versions: `0.2.0-draft`.
    pub(crate) versions: &'static [&'static str],
}

/// A capability that components reach by a link.
pub(crate) trait Capability: Send + Sync + 'static {
    /// Its name in logs and spans.
    fn name(&self) -> &'static str;

    /// What it answers.
    fn interfaces(&self) -> &'static [Interface];

    /// The builtins of manifests that are backends of it.
    fn backends(&self) -> &'static [Builtin];

    /// Puts the interface that a component imports as `import` into its linker. Only called for one of
    /// [`Capability::interfaces`]. What it adds finds its binding in the store's unit.
    ///
    /// # Errors
    /// Those of the linker.
    fn add(&self, linker: &mut Linker<CallState>, import: &str) -> wasmtime::Result<()>;

    /// Prepares what a component gets through `links`, each of which leads to the backend beside it: one of
    /// [`Capability::backends`], or a provider. Needs no network: what a link names is opened when it is used first.
    ///
    /// # Errors
    /// A text for people, which names the link, the setting, and what would be right.
    fn bind<'a>(
        &'a self,
        unit: &'a UnitIdentity,
        links: &'a [(Backend, &'a LinkSpec)],
    ) -> BoxFuture<'a, Result<Arc<dyn Bound>, String>>;
}

/// What is behind a link that a capability answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    /// The capability itself.
    Builtin(Builtin),
    /// A provider, which has its own form of the interface: the capability speaks for it.
    Provider,
}

/// Whether a link leads to a provider through an interface that components have in another form than providers.
fn speaks_for(capability: &dyn Capability, link: &LinkSpec) -> bool {
    let carries = |interface: &&str| {
        WitInterface::of_instance(interface).is_some_and(|interface| link.carries(&interface))
    };
    link.provider.is_some() && capability.interfaces().iter().any(|offered| carries(&offered.name))
}

/// What a component got from a capability.
pub(crate) trait Bound: Any + Send + Sync {
    /// Gives everything back. Called once, when no call is in flight any more.
    ///
    /// # Errors
    /// A text for the log: nobody can do anything about it.
    fn unbind(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// The capabilities of this process that components reach by a link.
#[derive(Clone, Default)]
pub(crate) struct Capabilities(Vec<Arc<dyn Capability>>);

impl Capabilities {
    /// These capabilities.
    pub(crate) fn new(capabilities: impl IntoIterator<Item = Arc<dyn Capability>>) -> Self {
        Self(capabilities.into_iter().collect())
    }

    /// What a component gets of each capability that it has a link to.
    ///
    /// # Errors
    /// [`Reason::ConfigInvalid`] when a link has settings that its capability cannot take; what others gave by then
    /// has been given back.
    pub(crate) async fn bind(
        &self,
        unit: &UnitIdentity,
        spec: &ComponentSpec,
    ) -> Result<Bindings, PrepareError> {
        let mut bindings = Bindings::default();
        for capability in &self.0 {
            let leads_here = |link: &LinkSpec| match link.builtin {
                Some(builtin) => {
                    capability.backends().contains(&builtin).then_some(Backend::Builtin(builtin))
                }
                None => speaks_for(capability.as_ref(), link).then_some(Backend::Provider),
            };
            let links: Vec<(Backend, &LinkSpec)> =
                spec.links.iter().filter_map(|link| Some((leads_here(link)?, link))).collect();
            if links.is_empty() {
                continue;
            }
            match capability.bind(unit, &links).await {
                Ok(bound) => {
                    bindings
                        .of
                        .insert(capability.name(), Binding { capability: Arc::clone(capability), bound });
                }
                Err(problem) => {
                    bindings.unbind(unit).await;
                    return Err(PrepareError::new(Reason::ConfigInvalid, problem));
                }
            }
        }
        Ok(bindings)
    }
}

impl std::fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.iter().map(|capability| capability.name())).finish()
    }
}

/// All that one component got.
#[derive(Clone, Default)]
pub(crate) struct Bindings {
    /// By the name of the capability.
    of: BTreeMap<&'static str, Binding>,
    /// What it holds of others, and gives back with the rest.
    holds: Option<Arc<dyn Bound>>,
    /// The values of its secrets.
    secrets: Arc<BTreeMap<String, SecretValue>>,
}

#[derive(Clone)]
struct Binding {
    capability: Arc<dyn Capability>,
    bound: Arc<dyn Bound>,
}

impl Bindings {
    /// What the capability of that name gave; `None` when the component has no link to it.
    pub(crate) fn get<T: Bound>(&self, capability: &str) -> Option<&T> {
        let bound: &dyn Any = self.of.get(capability)?.bound.as_ref();
        bound.downcast_ref()
    }

    /// Keeps what is to be given back with the rest.
    pub(crate) fn hold(&mut self, holds: Option<Arc<dyn Bound>>) {
        self.holds = holds;
    }

    /// Keeps the values of secrets for the component.
    pub(crate) fn give_secrets(&mut self, secrets: BTreeMap<String, SecretValue>) {
        self.secrets = Arc::new(secrets);
    }

    /// The value of a secret that the component was given.
    pub(crate) fn secret(&self, name: &str) -> Option<&SecretValue> {
        self.secrets.get(name)
    }

    /// The capability that answers an interface for providers that a link leads to, if the component has such a link.
    pub(crate) fn answering(&self, interface: &str) -> Option<&dyn Capability> {
        let mut capabilities = self.of.values().map(|binding| binding.capability.as_ref());
        capabilities
            .find(|capability| capability.interfaces().iter().any(|offered| offered.name == interface))
    }

    /// The capability that has this builtin among its backends, if the component has a link to it.
    pub(crate) fn behind(&self, builtin: Builtin) -> Option<&dyn Capability> {
        let mut capabilities = self.of.values().map(|binding| binding.capability.as_ref());
        capabilities.find(|capability| capability.backends().contains(&builtin))
    }

    /// Gives everything back, and logs what could not be.
    pub(crate) async fn unbind(&self, unit: &UnitIdentity) {
        if let Some(Err(error)) = match &self.holds {
            Some(held) => Some(held.unbind().await),
            None => None,
        } {
            tracing::warn!(component = %unit.id, error, "what it held could not be given back");
        }
        for (capability, Binding { bound, .. }) in &self.of {
            if let Err(error) = bound.unbind().await {
                tracing::warn!(component = %unit.id, capability, error, "what it had of a capability could not be given back");
            }
        }
    }
}

impl std::fmt::Debug for Bindings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.of.keys()).finish()
    }
}
