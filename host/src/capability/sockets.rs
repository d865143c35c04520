//! `wasi:sockets`, where a grant allows it: connections and datagrams to what `tcp://` and `udp://` entries name, and
//! lookups of those names. Listening is not granted to anybody: requests come in through the host.
//!
//! This file is WASI 0.2's side of it, `sockets_p3.rs` that of 0.3; both are judged here. The engine's own functions make and use sockets; here stands in front of them what they may be asked for. A lookup
//! gives an address that was judged, and the call's sockets may use it for that name.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use lath_control_api::egress::{RequestHost, Scheme};
use lath_host_core::egress::{Denial, Egress};
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::ResolveAddressStream;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress, IpAddressFamily, Network};
use wasmtime_wasi::p2::bindings::sockets::{ip_name_lookup, tcp_create_socket, udp_create_socket};
use wasmtime_wasi::p2::{SocketError, TcpSocket, UdpSocket};
use wasmtime_wasi::sockets::{SocketAddrUse, WasiSocketsCtxView};
use wasmtime_wasi::{WasiCtxBuilder, WasiView};

use crate::capability::output::GuestLog;
use crate::capability::outside::Outside;
use crate::engine::CallState;

/// The version that the engine's bindings are written for; components ask for any 0.2.x and get it.
const VERSION: &str = "0.2.12";
/// Most sockets that one call may make: each is a file of the host's process.
const SOCKETS: u32 = 64;
/// Most names that one call may look up.
const LOOKUPS: usize = 64;

/// What the sockets of one component may reach.
#[derive(Clone)]
pub(crate) struct Sockets {
    pub(crate) egress: Arc<Egress>,
    pub(crate) outside: Outside,
    pub(crate) log: Arc<GuestLog>,
}

/// Most addresses of one name; the rest of a longer answer is left out.
const ADDRESSES: usize = 32;

/// Names that a call has looked up, and what each stands for in it.
pub(super) type Found = Mutex<Vec<(RequestHost, Vec<IpAddr>)>>;

/// Why a call gets no socket, or no address of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// No grant allows it.
    NotGranted,
    /// The call has had as many as it may.
    TooMany,
    /// The name stands for nothing.
    Unresolvable,
}

impl From<Refused> for ErrorCode {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotGranted => Self::AccessDenied,
            Refused::TooMany => Self::NewSocketLimit,
            Refused::Unresolvable => Self::NameUnresolvable,
        }
    }
}

/// What one call has done with sockets.
#[derive(Debug, Default)]
pub(crate) struct SocketUse {
    made: u32,
    /// None where nothing is granted: most calls have no use for it.
    found: Option<Arc<Found>>,
    /// The addresses of each lookup of WASI 0.2 that come after the first, by the handle that gives them.
    more: BTreeMap<u32, std::vec::IntoIter<IpAddr>>,
}

impl SocketUse {
    /// Begins another call of the same instance.
    pub(crate) fn begin(&mut self) {
        self.made = 0;
        self.more.clear();
        if let Some(found) = &self.found {
            found.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// Where the names of the call are noted.
    pub(super) fn known(&self) -> Arc<Found> {
        self.found.clone().unwrap_or_default()
    }
}

impl Sockets {
    /// Sets up the sockets of one call.
    pub(crate) fn configure(&self, wasi: &mut WasiCtxBuilder) -> SocketUse {
        let (tcp, udp) = (self.egress.allows_some(Scheme::Tcp), self.egress.allows_some(Scheme::Udp));
        wasi.allow_tcp(tcp).allow_udp(udp).allow_ip_name_lookup(tcp || udp);
        if !(tcp || udp) {
            return SocketUse::default();
        }
        let known = Arc::new(Found::default());
        let (sockets, found) = (self.clone(), Arc::clone(&known));
        wasi.socket_addr_check(move |peer, why| {
            let allowed = sockets.may_use(peer, why, &found);
            Box::pin(std::future::ready(allowed))
        });
        SocketUse { found: Some(known), ..SocketUse::default() }
    }

    fn may_use(&self, peer: SocketAddr, why: SocketAddrUse, found: &Found) -> bool {
        let scheme = match why {
            // A socket that goes out gets its own end from the system; one with a port of its own waits for others.
            SocketAddrUse::TcpBind | SocketAddrUse::UdpBind
                if peer.ip().is_unspecified() && peer.port() == 0 =>
            {
                return true;
            }
            SocketAddrUse::TcpBind
            | SocketAddrUse::UdpBind
            | SocketAddrUse::TcpListen
            | SocketAddrUse::TcpAccept => {
                self.log.denied(&format!("a socket at {peer} refused: no grant lets components listen; use a link to the HTTP server"));
                return false;
            }
            SocketAddrUse::TcpConnect => Scheme::Tcp,
            SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => Scheme::Udp,
        };
        let address = peer.ip().to_canonical();
        let found = found.lock().unwrap_or_else(PoisonError::into_inner);
        let names = found.iter().filter(|(_, known)| known.contains(&address)).map(|(name, _)| name);
        let judged = self.egress.judge_socket(scheme, peer, names);
        if let Err(denial) = &judged {
            self.denied(denial);
        }
        judged.is_ok()
    }

    fn denied(&self, denial: &Denial) {
        self.log.denied(&format!("a socket refused: {denial}"));
    }

    /// Looks a name up that a grant names, and notes its addresses for the sockets of the call: one at least, in the
    /// order of the answer.
    pub(super) async fn look_up(&self, known: &Found, name: &str) -> Result<Vec<IpAddr>, Refused> {
        let host = self.egress.judge_lookup(name).map_err(|denial| {
            self.denied(&denial);
            Refused::NotGranted
        })?;
        if known.lock().unwrap_or_else(PoisonError::into_inner).len() >= LOOKUPS {
            self.log.denied(&format!("a lookup refused: one call makes {LOOKUPS} at most"));
            return Err(Refused::TooMany);
        }
        let found = match &host {
            RequestHost::Address(address) => vec![*address],
            RequestHost::Name(name) => self.outside.resolve(name).await.map_err(|_| Refused::Unresolvable)?,
        };
        let mut addresses = Vec::new();
        for address in found.iter().map(IpAddr::to_canonical).take(ADDRESSES) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() {
            return Err(Refused::Unresolvable);
        }
        known.lock().unwrap_or_else(PoisonError::into_inner).push((host, addresses.clone()));
        Ok(addresses)
    }
}

/// Puts the functions that make sockets and look names up behind those of the engine.
pub(crate) fn add_to_linker(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    linker.instance(&format!("wasi:sockets/tcp-create-socket@{VERSION}"))?.func_wrap(
        "create-tcp-socket",
        |mut store: StoreContextMut<'_, CallState>, (family,): (IpAddressFamily,)| {
            let socket = match store.data_mut().another_socket(Scheme::Tcp) {
                Ok(()) => plain(tcp_create_socket::Host::create_tcp_socket(&mut view(&mut store), family))?,
                Err(refused) => Err(refused.into()),
            };
            Ok::<(Result<Resource<TcpSocket>, ErrorCode>,), wasmtime::Error>((socket,))
        },
    )?;
    linker.instance(&format!("wasi:sockets/udp-create-socket@{VERSION}"))?.func_wrap_async(
        "create-udp-socket",
        |mut store: StoreContextMut<'_, CallState>, (family,): (IpAddressFamily,)| {
            Box::new(async move {
                let socket = match store.data_mut().another_socket(Scheme::Udp) {
                    Ok(()) => plain(
                        udp_create_socket::Host::create_udp_socket(&mut view(&mut store), family).await,
                    )?,
                    Err(refused) => Err(refused.into()),
                };
                Ok::<(Result<Resource<UdpSocket>, ErrorCode>,), wasmtime::Error>((socket,))
            })
        },
    )?;
    linker.instance(&format!("wasi:sockets/ip-name-lookup@{VERSION}"))?.func_wrap_async(
        "resolve-addresses",
        |mut store: StoreContextMut<'_, CallState>, (network, name): (Resource<Network>, String)| {
            Box::new(async move {
                let (sockets, known) = (store.data().sockets().clone(), store.data().socket_use.known());
                let stream = match sockets.look_up(&known, &name).await {
                    Ok(addresses) => plain(stream_of(&mut store, network, addresses))?,
                    Err(refused) => Err(refused.into()),
                };
                Ok::<(Result<Resource<ResolveAddressStream>, ErrorCode>,), wasmtime::Error>((stream,))
            })
        },
    )?;
    linker.instance(&format!("wasi:sockets/ip-name-lookup@{VERSION}"))?.func_wrap(
        "[method]resolve-address-stream.resolve-next-address",
        |mut store: StoreContextMut<'_, CallState>, (stream,): (Resource<ResolveAddressStream>,)| {
            let handle = stream.rep();
            let next =
                ip_name_lookup::HostResolveAddressStream::resolve_next_address(&mut view(&mut store), stream);
            let next = plain(next)?.map(|first| {
                first.or_else(|| {
                    store.data_mut().socket_use.more.get_mut(&handle)?.next().map(IpAddress::from)
                })
            });
            Ok::<(Result<Option<IpAddress>, ErrorCode>,), wasmtime::Error>((next,))
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

/// A stream of addresses. The engine is asked for the first one itself, which needs no lookup; the others follow it.
fn stream_of(
    store: &mut StoreContextMut<'_, CallState>,
    network: Resource<Network>,
    addresses: Vec<IpAddr>,
) -> Result<Resource<ResolveAddressStream>, SocketError> {
    let mut addresses = addresses.into_iter();
    let first = addresses.next().ok_or(ErrorCode::NameUnresolvable)?.to_string();
    let stream = ip_name_lookup::Host::resolve_addresses(&mut view(store), network, first)?;
    store.data_mut().socket_use.more.insert(stream.rep(), addresses);
    Ok(stream)
}

impl CallState {
    /// Whether the call may make one more socket.
    pub(super) fn another_socket(&mut self, scheme: Scheme) -> Result<(), Refused> {
        if !self.sockets().egress.allows_some(scheme) {
            let (scheme, log) = (scheme.as_str(), &self.sockets().log);
            log.denied(&format!(
                "a socket refused: the `allowed_hosts` of the component have no entry for it; an entry `{scheme}://HOST:PORT` would allow it"
            ));
            return Err(Refused::NotGranted);
        }
        if self.socket_use.made >= SOCKETS {
            self.sockets().log.denied(&format!("a socket refused: one call makes {SOCKETS} at most"));
            return Err(Refused::TooMany);
        }
        self.socket_use.made += 1;
        Ok(())
    }
}

pub(super) fn view<'a>(store: &'a mut StoreContextMut<'_, CallState>) -> WasiSocketsCtxView<'a> {
    let wasi = store.data_mut().ctx();
    WasiSocketsCtxView { ctx: wasi.ctx.sockets(), table: wasi.table }
}

/// An error that the guest is told, apart from one that ends it.
fn plain<T>(result: Result<T, SocketError>) -> wasmtime::Result<Result<T, ErrorCode>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => error.downcast().map(Err),
    }
}
