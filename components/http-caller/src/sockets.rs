//! The same by `wasi:sockets`, as the standard library uses them.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};

use crate::Answer;

pub(crate) fn tcp(to: &str) -> Result<Answer, String> {
    let hear = || {
        let mut stream = TcpStream::connect(to)?;
        stream.write_all(b"ping")?;
        let mut heard = [0; 64];
        let read = stream.read(&mut heard)?;
        Ok(text(&heard, read))
    };
    heard(hear())
}

pub(crate) fn udp(to: &str) -> Result<Answer, String> {
    let hear = || {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.send_to(b"ping", to)?;
        let mut heard = [0; 64];
        let (read, _) = socket.recv_from(&mut heard)?;
        Ok(text(&heard, read))
    };
    heard(hear())
}

pub(crate) fn listen() -> Result<Answer, String> {
    heard(TcpListener::bind("127.0.0.1:0").map(|_| "listening".to_owned()))
}

pub(crate) fn lookup(name: &str) -> Result<Answer, String> {
    let addresses = (name, 0).to_socket_addrs();
    heard(addresses.map(|found| format!("{:?}", found.map(|address| address.ip()).collect::<Vec<_>>())))
}

fn heard(result: std::io::Result<String>) -> Result<Answer, String> {
    let heard = result.map_err(|error| format!("{:?}: {error}", error.kind()))?;
    Ok(Answer { heard: Some(heard), ..Answer::default() })
}

fn text(bytes: &[u8], length: usize) -> String {
    String::from_utf8_lossy(bytes.get(..length).unwrap_or(bytes)).into_owned()
}
