//! Ports that no other test of this machine uses. They lie below the range from which the kernel takes ports for
//! outgoing connections: a server that is stopped for a while must find its port free when it comes back.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Mutex, OnceLock, PoisonError};

/// First port that is given out; those below belong to services that may run on a developer's machine.
const FIRST: u16 = 12_000;
/// Ports that a process claims at a time.
const BLOCK: u16 = 20;

/// Blocks that this process holds, and what is left of the newest.
#[derive(Default)]
struct Claims {
    // Held until the process ends: closing a file gives its lock up.
    locks: Vec<File>,
    left: Vec<u16>,
}

/// An address on the loopback interface that nobody listens on and that no other test is given.
///
/// # Panics
/// When every port is taken.
#[must_use]
pub fn free_address() -> SocketAddr {
    static CLAIMS: OnceLock<Mutex<Claims>> = OnceLock::new();
    let claims = CLAIMS.get_or_init(Mutex::default);
    let mut claims = claims.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let Some(port) = claims.left.pop() else {
            claim_block(&mut claims);
            continue;
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

fn claim_block(claims: &mut Claims) {
    let folder = std::env::temp_dir().join("lath-test-ports");
    fs::create_dir_all(&folder).expect("cannot create the folder of claimed ports");
    let blocks = (first_ephemeral() - FIRST) / BLOCK;
    for block in 0..blocks {
        let file =
            File::create(folder.join(format!("{block}.lock"))).expect("cannot create a claim of ports");
        if file.try_lock().is_ok() {
            claims.locks.push(file);
            let from = FIRST + block * BLOCK;
            claims.left.extend((from..from + BLOCK).rev());
            return;
        }
    }
    panic!("all {blocks} blocks of ports are claimed by running tests");
}

/// Where the kernel's range for outgoing connections begins; Linux's default where it cannot be read.
fn first_ephemeral() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let first = range.split_whitespace().next().and_then(|first| first.parse().ok());
    first.filter(|first| *first > FIRST + BLOCK).unwrap_or(32_768)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_is_given_out_twice() {
        let addresses: std::collections::BTreeSet<_> = (0..50).map(|_| free_address()).collect();
        assert_eq!(addresses.len(), 50);
    }
}
