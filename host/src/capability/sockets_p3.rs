//! `wasi:sockets` of WASI 0.3: the same grants, judged at the same places as 0.2's in `sockets.rs`.
//!
//! Nothing is decided here. Every address that a socket uses goes through the check that `sockets.rs` sets on the
//! call; making a socket and looking a name up stand in front of the engine's own functions.

use lath_control_api::egress::Scheme;
use wasmtime::StoreContextMut;
use wasmtime::component::{Accessor, Linker, Resource};
use wasmtime_wasi::p3::bindings::sockets::ip_name_lookup::ErrorCode as LookupError;
use wasmtime_wasi::p3::bindings::sockets::types::{
    ErrorCode, HostTcpSocket, HostUdpSocket, IpAddress, IpAddressFamily, TcpSocket, UdpSocket,
};
use wasmtime_wasi::p3::sockets::SocketError;

use crate::capability::sockets::{Refused, view};
use crate::engine::CallState;

/// The version that the engine's bindings are written for; components ask for any 0.3.x and get it.
const VERSION: &str = "0.3.0";

/// Puts the functions that make sockets and look names up in front of those of the engine.
pub(crate) fn add_to_linker(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut types = linker.instance(&format!("wasi:sockets/types@{VERSION}"))?;
    types.func_wrap(
        "[static]tcp-socket.create",
        |mut store: StoreContextMut<'_, CallState>, (family,): (IpAddressFamily,)| {
            let socket = match store.data_mut().another_socket(Scheme::Tcp) {
                Ok(()) => plain(HostTcpSocket::create(&mut view(&mut store), family))?,
                Err(refused) => Err(refused.into()),
            };
            Ok::<(Result<Resource<TcpSocket>, ErrorCode>,), wasmtime::Error>((socket,))
        },
    )?;
    types.func_wrap_async(
        "[static]udp-socket.create",
        |mut store: StoreContextMut<'_, CallState>, (family,): (IpAddressFamily,)| {
            Box::new(async move {
                let socket = match store.data_mut().another_socket(Scheme::Udp) {
                    Ok(()) => plain(HostUdpSocket::create(&mut view(&mut store), family).await)?,
                    Err(refused) => Err(refused.into()),
                };
                Ok::<(Result<Resource<UdpSocket>, ErrorCode>,), wasmtime::Error>((socket,))
            })
        },
    )?;
    linker.instance(&format!("wasi:sockets/ip-name-lookup@{VERSION}"))?.func_wrap_concurrent(
        "resolve-addresses",
        |accessor: &Accessor<CallState>, (name,): (String,)| {
            Box::pin(async move {
                let (sockets, known) = accessor.with(|mut store| {
                    let state = store.get();
                    (state.sockets().clone(), state.socket_use.known())
                });
                let found = sockets.look_up(&known, &name).await;
                let found = found.map(|found| found.into_iter().map(IpAddress::from).collect());
                let found = found.map_err(LookupError::from);
                Ok::<(Result<Vec<IpAddress>, LookupError>,), wasmtime::Error>((found,))
            })
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

impl From<Refused> for ErrorCode {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotGranted => Self::AccessDenied,
            Refused::TooMany => Self::Other(Some("the call has as many sockets as it may".into())),
            Refused::Unresolvable => Self::InvalidArgument,
        }
    }
}

impl From<Refused> for LookupError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotGranted => Self::AccessDenied,
            Refused::TooMany => Self::Other(Some("the call has looked up as many names as it may".into())),
            Refused::Unresolvable => Self::NameUnresolvable,
        }
    }
}

/// An error that the guest is told, apart from one that ends it.
fn plain<T>(result: Result<T, SocketError>) -> wasmtime::Result<Result<T, ErrorCode>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => error.downcast().map(Err),
    }
}
