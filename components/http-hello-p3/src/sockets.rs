//! Sockets of WASI 0.3, as far as tests of grants need them: IPv4 only, one exchange.

use std::net::{Ipv4Addr, Ipv6Addr};

use wasip3::sockets::ip_name_lookup::resolve_addresses;
use wasip3::sockets::types::{IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, TcpSocket};
use wasip3::wit_stream;

/// Connects, says `ping`, and gives what it hears.
pub(crate) async fn tcp(to: &str) -> Result<String, String> {
    let (host, port) = to.rsplit_once(':').ok_or("no port")?;
    let port = port.parse().map_err(|error| format!("port: {error}"))?;
    let address = match host.parse::<Ipv4Addr>() {
        Ok(address) => address,
        Err(_) => look_up(host).await?,
    };
    let socket = socket()?;
    let connected = socket.connect(at(address, port)).await;
    connected.map_err(|code| format!("connect: {code:?}"))?;
    let (mut output, data) = wit_stream::new();
    let _sent = socket.send(data);
    if !output.write_all(b"ping".to_vec()).await.is_empty() {
        return Err("nothing was sent".to_owned());
    }
    let (mut input, _received) = socket.receive();
    let (_, heard) = input.read(Vec::with_capacity(64)).await;
    Ok(String::from_utf8_lossy(&heard).into_owned())
}

/// Waits for others.
pub(crate) fn listen() -> Result<String, String> {
    let socket = socket()?;
    socket.bind(at(Ipv4Addr::LOCALHOST, 0)).map_err(|code| format!("bind: {code:?}"))?;
    socket.listen().map_err(|code| format!("listen: {code:?}"))?;
    Ok("listening".to_owned())
}

fn socket() -> Result<TcpSocket, String> {
    TcpSocket::create(IpAddressFamily::Ipv4).map_err(|code| format!("create: {code:?}"))
}

/// All addresses of a name.
pub(crate) async fn lookup(name: &str) -> Result<String, String> {
    let found = resolve_addresses(name.to_owned()).await.map_err(|code| format!("lookup: {code:?}"))?;
    let shown = found.into_iter().map(|address| match address {
        IpAddress::Ipv4((a, b, c, d)) => Ipv4Addr::new(a, b, c, d).to_string(),
        IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => Ipv6Addr::new(a, b, c, d, e, f, g, h).to_string(),
    });
    Ok(shown.collect::<Vec<_>>().join(" "))
}

async fn look_up(name: &str) -> Result<Ipv4Addr, String> {
    let found = resolve_addresses(name.to_owned()).await.map_err(|code| format!("lookup: {code:?}"))?;
    let first = found.into_iter().find_map(|address| match address {
        IpAddress::Ipv4((a, b, c, d)) => Some(Ipv4Addr::new(a, b, c, d)),
        IpAddress::Ipv6(_) => None,
    });
    first.ok_or_else(|| "lookup: no address of IPv4".to_owned())
}

fn at(address: Ipv4Addr, port: u16) -> IpSocketAddress {
    let [a, b, c, d] = address.octets();
    IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: (a, b, c, d) })
}
