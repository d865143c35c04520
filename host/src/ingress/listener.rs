//! One listening socket: bound so that several hosts of a machine can share an address, and left without losing
//! a connection that was in its queue.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ingress::answer::Front;
use crate::ingress::connection;

/// Connections that may wait to be accepted.
const QUEUE: i32 = 1_024;
/// Pause after a failure to accept or bind, such as too many open files.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a peer may leave what we sent unanswered before its connection counts as dead. Bounds how long a
/// client that never reads can hold on to a call.
const UNANSWERED: Duration = Duration::from_secs(60);

/// A socket bound to `address` that does not listen yet.
pub(crate) fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // Several hosts of one machine share an address, and a successor takes over without a gap.
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Lets the kernel take connections at once; they are accepted when somebody runs.
fn listen(socket: Socket) -> io::Result<TcpListener> {
    socket.listen(QUEUE)?;
    TcpListener::from_std(socket.into())
}

#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    pub(crate) front: Arc<Front>,
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) stop: CancellationToken,
    /// Owns this listener and its connections.
    pub(crate) tasks: TaskTracker,
}

impl Listener {
    /// Begins to listen, on a socket that was bound before if there is one. When this returns, connections wait
    /// in the queue; where it cannot be listened at the moment, it is tried on and on.
    pub(crate) fn start(self, socket: Option<Socket>) {
        let first = socket.map_or_else(|| bind(self.address), Ok).and_then(listen);
        self.tasks.clone().spawn(self.run(first));
    }

    /// Takes connections until it is told to stop, then those that are waiting in the queue.
    async fn run(self, first: io::Result<TcpListener>) {
        let Some(listener) = self.open(first).await else { return };
        tracing::info!(address = %self.address, "listening for HTTP");
        loop {
            let permit = tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                Ok(permit) = Arc::clone(&self.connections).acquire_owned() => permit,
            };
            tokio::select! {
                biased;
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => self.serve(stream.into_std(), permit),
                    Err(error) => self.pause(&error).await,
                },
                () = self.stop.cancelled() => break,
            }
        }
        self.empty(listener).await;
        tracing::info!(address = %self.address, "no longer listening for HTTP");
    }

    async fn open(&self, mut tried: io::Result<TcpListener>) -> Option<TcpListener> {
        loop {
            match tried {
                Ok(listener) => return Some(listener),
                Err(error) => self.pause(&error).await,
            }
            if self.stop.is_cancelled() {
                return None;
            }
            tried = bind(self.address).and_then(listen);
        }
    }

    async fn pause(&self, error: &io::Error) {
        tracing::warn!(address = %self.address, %error, "cannot take connections at the moment");
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// Takes what was in the queue when the decision to leave was made, so that nobody who had a connection
    /// finds it reset. What connects between the last look and the close is refused by the kernel.
    async fn empty(&self, listener: TcpListener) {
        let Ok(listener) = listener.into_std() else { return };
        loop {
            let Ok(permit) = Arc::clone(&self.connections).acquire_owned().await else { return };
            match listener.accept() {
                Ok((stream, _)) => self.serve(Ok(stream), permit),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    tracing::debug!(address = %self.address, %error, "a waiting connection could not be taken");
                    if error.kind() != io::ErrorKind::ConnectionAborted {
                        return;
                    }
                }
            }
        }
    }

    fn serve(&self, stream: io::Result<std::net::TcpStream>, permit: OwnedSemaphorePermit) {
        let prepared = stream.and_then(|stream| {
            stream.set_nonblocking(true)?;
            let socket = socket2::SockRef::from(&stream);
            socket.set_tcp_nodelay(true)?;
            socket.set_tcp_user_timeout(Some(UNANSWERED))?;
            tokio::net::TcpStream::from_std(stream)
        });
        let stream = match prepared {
            Ok(stream) => stream,
            // The peer has gone already.
            Err(error) => {
                return tracing::debug!(address = %self.address, %error, "a connection could not be used");
            }
        };
        let (front, stop, address) = (Arc::clone(&self.front), self.stop.clone(), self.address);
        let tasks = self.tasks.clone();
        self.tasks.spawn(async move {
            connection::serve(stream, address, front, stop, tasks).await;
            drop(permit);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shared_by_those_who_agree_and_refused_to_others() {
        let stranger = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(bind(stranger.local_addr().unwrap()).is_err());
        let first = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = first.local_addr().unwrap().as_socket().unwrap();
        assert!(bind(address).is_ok());
    }
}
