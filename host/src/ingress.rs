//! The way of HTTP requests into components: which addresses are held, listened on, and being left.
//!
//! Addresses are claimed while a spec is prepared, so that one that cannot be had fails the spec and not the
//! traffic. A claim does not listen: another host of this machine may be serving there. Listening follows the
//! published routes, and an address that stays in them keeps its listener and its connections.

mod answer;
mod connection;
mod listener;
mod pulse;
mod request;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use socket2::Socket;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use answer::Front;

/// Connections at the same time, over all addresses. Further ones wait in the kernel's queues.
const MAX_CONNECTIONS: usize = 8_192;

/// Every HTTP listener of this host. A clone is the same.
#[derive(Debug, Clone)]
pub(crate) struct Ingress {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    front: Arc<Front>,
    state: Mutex<State>,
    connections: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct State {
    claimed: BTreeMap<SocketAddr, Weak<Bound>>,
    listening: BTreeMap<SocketAddr, Listening>,
    /// Listeners that take no new connections, until their connections have ended.
    leaving: Vec<(SocketAddr, TaskTracker)>,
    /// The host is going: nothing is listened on again.
    stopped: bool,
}

/// An address that is held. It is free for others when the last claim is gone and nothing listens there.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    bound: Arc<Bound>,
}

impl Claim {
    /// The address that is held.
    pub(crate) fn address(&self) -> SocketAddr {
        self.bound.address
    }
}

#[derive(Debug)]
struct Bound {
    address: SocketAddr,
    /// Bound and not listening; taken out when it is listened on.
    socket: Mutex<Option<Socket>>,
}

#[derive(Debug)]
struct Listening {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Ingress {
    pub(crate) fn new(front: Front) -> Self {
        let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let state = Mutex::new(State::default());
        Self { shared: Arc::new(Shared { front: Arc::new(front), state, connections }) }
    }

    /// Holds an address. Any number of specs may hold the same one.
    ///
    /// # Errors
    /// When another program has it, it is not an address of this machine, or needs a privilege.
    pub(crate) fn claim(&self, address: SocketAddr) -> std::io::Result<Claim> {
        let mut state = self.state();
        state.claimed.retain(|_, bound| bound.strong_count() > 0);
        if let Some(bound) = state.claimed.get(&address).and_then(Weak::upgrade) {
            return Ok(Claim { bound });
        }
        // Where we listen already there is nothing to try.
        let socket =
            if state.listening.contains_key(&address) { None } else { Some(listener::bind(address)?) };
        let bound = Arc::new(Bound { address, socket: Mutex::new(socket) });
        state.claimed.insert(address, Arc::downgrade(&bound));
        Ok(Claim { bound })
    }

    /// Listens on exactly these addresses. Those that stay are not touched; those that go take in what waits in
    /// their queues and finish it.
    pub(crate) fn listen(&self, open: &BTreeSet<SocketAddr>) {
        let mut state = self.state();
        let gone: Vec<SocketAddr> =
            state.listening.keys().filter(|address| !open.contains(address)).copied().collect();
        for address in gone {
            if let Some(listening) = state.listening.remove(&address) {
                listening.stop.cancel();
                listening.tasks.close();
                state.leaving.push((address, listening.tasks));
            }
        }
        let open = open.iter().filter(|_| !state.stopped).collect::<Vec<_>>();
        for address in open {
            if !state.listening.contains_key(address) {
                let listening = self.start(&state, *address);
                state.listening.insert(*address, listening);
            }
        }
        state.leaving.retain(|(_, tasks)| !tasks.is_empty());
    }

    fn start(&self, state: &State, address: SocketAddr) -> Listening {
        let bound = state.claimed.get(&address).and_then(Weak::upgrade);
        let socket =
            bound.and_then(|bound| bound.socket.lock().unwrap_or_else(PoisonError::into_inner).take());
        let listening = Listening { stop: CancellationToken::new(), tasks: TaskTracker::new() };
        let listener = listener::Listener {
            address,
            front: Arc::clone(&self.shared.front),
            connections: Arc::clone(&self.shared.connections),
            stop: listening.stop.clone(),
            tasks: listening.tasks.clone(),
        };
        listener.start(socket);
        listening
    }

    /// Resolves when no connection is left of listeners that were at these addresses and are being left.
    pub(crate) async fn left(&self, addresses: &[SocketAddr]) {
        let leaving: Vec<TaskTracker> = {
            let state = self.state();
            let ours = state.leaving.iter().filter(|(address, _)| addresses.contains(address));
            ours.map(|(_, tasks)| tasks.clone()).collect()
        };
        for tasks in leaving {
            tasks.wait().await;
        }
    }

    /// Leaves every address and resolves when every connection has ended.
    pub(crate) async fn stop(&self) {
        self.state().stopped = true;
        self.listen(&BTreeSet::new());
        let leaving: Vec<TaskTracker> = self.state().leaving.iter().map(|(_, tasks)| tasks.clone()).collect();
        for tasks in leaving {
            tasks.wait().await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
