//! A real nats-server for a test: its own directory, a free port, killed when dropped; and a proxy that loses bytes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A running server with JetStream.
pub(crate) struct Nats {
    port: u16,
    child: Option<Child>,
    directory: tempfile::TempDir,
}

impl Nats {
    pub(crate) async fn start() -> Self {
        let mut nats =
            Self { port: free_port(), child: None, directory: tempfile::tempdir().expect("a directory") };
        nats.run().await;
        nats
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Where it keeps what it stores.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Kills the server without warning.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("the server can be killed");
            child.wait().expect("the server ends");
        }
    }

    /// Starts the server on the same port and directory.
    pub(crate) async fn run(&mut self) {
        let child = Command::new(binary())
            .args(["-a", "127.0.0.1", "-p", &self.port.to_string(), "-js", "-sd"])
            .arg(self.directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server starts");
        self.child = Some(child);
        let deadline = Instant::now() + Duration::from_secs(20);
        while tokio::net::TcpStream::connect(self.address()).await.is_err() {
            assert!(Instant::now() < deadline, "nats-server does not listen on {}", self.port);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port of this test alone, which stays free while nothing listens on it.
pub(crate) fn free_port() -> u16 {
    crate::ports::free_address().port()
}

fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("LATH_NATS_SERVER") {
        return path.into();
    }
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let tool = root.ancestors().map(|folder| folder.join("target/tools/nats-server"));
    tool.into_iter().find(|path| path.is_file()).unwrap_or_else(|| "nats-server".into())
}

/// Stands before a server and can swallow everything that the server says.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    deaf: Arc<AtomicBool>,
    swallowed: Arc<AtomicBool>,
}

impl Proxy {
    pub(crate) async fn before(server: SocketAddr) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let deaf = Arc::new(AtomicBool::new(false));
        let swallowed = Arc::new(AtomicBool::new(false));
        let flags = (Arc::clone(&deaf), Arc::clone(&swallowed));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = tokio::net::TcpStream::connect(server).await else { continue };
                tokio::spawn(carry(client, server, flags.clone()));
            }
        });
        Self { address, deaf, swallowed }
    }

    /// From now on the next answer is lost, and the connection with it.
    pub(crate) fn lose_the_next_answer(&self) {
        self.swallowed.store(false, Ordering::SeqCst);
        self.deaf.store(true, Ordering::SeqCst);
    }

    /// Whether an answer was lost.
    pub(crate) fn has_lost(&self) -> bool {
        self.swallowed.load(Ordering::SeqCst)
    }
}

async fn carry(
    client: tokio::net::TcpStream,
    server: tokio::net::TcpStream,
    (deaf, swallowed): (Arc<AtomicBool>, Arc<AtomicBool>),
) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = tokio::io::copy(&mut from_client, &mut to_server);
    let down = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count) = from_server.read(&mut buffer).await {
            if count == 0 {
                break;
            }
            if deaf.swap(false, Ordering::SeqCst) {
                swallowed.store(true, Ordering::SeqCst);
                break;
            }
            if to_client.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
    };
    tokio::select! { _ = up => {}, () = down => {} }
}
