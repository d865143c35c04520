//! A greeter to call: its names, how it is served, and answers of the simplest kind. No test is here; the tests
//! against peers of the 1.x world share this file (`tests/compat`), so nothing here may need more than they have.

use std::sync::Arc;
use std::time::Duration;

use lath_control_api::{ComponentId, LatticeId};
use lath_wrpc::{Call, Client, Export, ServeOptions, Service, Serving, Target, serve};
use tokio::sync::Semaphore;
use tokio::time::Instant;

pub(crate) const INSTANCE: &str = "demo:greet/greeter@0.1.0";

pub(crate) fn lattice() -> LatticeId {
    "default".parse().unwrap()
}

pub(crate) fn greeter() -> ComponentId {
    "greeter".parse().unwrap()
}

pub(crate) fn target(func: &str) -> Target {
    Target::new(&lattice(), &greeter(), Some(INSTANCE), func).unwrap()
}

pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

pub(crate) fn service<F, Fut>(permits: usize, handler: F) -> Service
where
    F: Fn(Call) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    Service { handler: Arc::new(handler), permits: Arc::new(Semaphore::new(permits)) }
}

/// Answers each call with its parameters.
pub(crate) async fn echo(mut call: Call) {
    let params = call.params().await;
    let _ = call.finish(params).await;
}

pub(crate) async fn serve_greeter(client: &Client, funcs: &[&str], service: Service) -> Serving {
    let exports: Vec<_> = funcs.iter().map(|func| Export::plain(Some(INSTANCE), *func)).collect();
    serve(client, &lattice(), &greeter(), &exports, service, ServeOptions::default()).await.unwrap()
}
