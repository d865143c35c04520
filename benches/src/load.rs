//! Load over HTTP/1.1, made by ourselves so that all servers of a run get exactly the same.
//!
//! Closed: each connection sends its next request when it has the answer. Fixed: requests are due at even times, whatever
//! the server does, and how long one took counts from the moment at which it was due, so a server that stands still is not
//! spared the requests that it has missed. The client is light: it reads an answer to its end and looks at no more than
//! its status.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::JoinSet;

/// Threads that send, when there is more than one connection.
const THREADS: usize = 2;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Where.
    pub address: SocketAddr,
    /// The name of the host that is asked for.
    pub host: String,
    /// Path and query.
    pub path: String,
}

impl Ask {
    /// A request for `/` of `host`.
    #[must_use]
    pub fn root(address: SocketAddr, host: &str) -> Self {
        Self { address, host: host.to_owned(), path: "/".to_owned() }
    }

    /// The same with another path.
    #[must_use]
    pub fn path(&self, path: impl Into<String>) -> Self {
        Self { path: path.into(), ..self.clone() }
    }

    fn bytes(&self) -> Vec<u8> {
        format!("GET {} HTTP/1.1\r\nhost: {}\r\n\r\n", self.path, self.host).into_bytes()
    }
}

/// How a load went.
#[derive(Debug, Default)]
pub struct Load {
    /// How long each good answer took, the shortest first.
    pub times: Vec<Duration>,
    /// Answers that were no 200, and connections that broke.
    pub failures: usize,
    /// From the first request to the last answer.
    pub took: Duration,
}

impl Load {
    /// Good answers in a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.times.len() as f64 / self.took.as_secs_f64()
    }

    /// The time within which so many of a hundred good answers came.
    ///
    /// # Panics
    /// When there was none.
    #[must_use]
    pub fn within(&self, percent: f64) -> Duration {
        assert!(!self.times.is_empty(), "no request had a good answer ({} failed)", self.failures);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
        let at = (self.times.len() as f64 * percent / 100.0) as usize;
        self.times[at.min(self.times.len() - 1)]
    }
}

/// When requests are sent.
#[derive(Debug, Clone, Copy)]
enum Pace {
    Closed,
    /// Time between two requests of one connection, and the first one's distance from the start.
    Every(Duration, Duration),
}

/// Keeps `connections` busy for `time`.
#[must_use]
pub fn closed(ask: &Ask, connections: usize, time: Duration) -> Load {
    send(ask, &vec![Pace::Closed; connections], time)
}

/// Sends `rate` requests a second over `connections` for `time`.
#[must_use]
pub fn fixed(ask: &Ask, connections: usize, rate: f64, time: Duration) -> Load {
    let every = Duration::from_secs_f64(connections as f64 / rate);
    let pace = |number: usize| Pace::Every(every, every.mul_f64(number as f64 / connections as f64));
    send(ask, &(0..connections).map(pace).collect::<Vec<_>>(), time)
}

fn send(ask: &Ask, paces: &[Pace], time: Duration) -> Load {
    let begun = Instant::now();
    let until = begun + time;
    let threads = paces.len().min(THREADS);
    let senders: Vec<_> = (0..threads)
        .map(|thread| {
            let paces: Vec<Pace> = paces.iter().skip(thread).step_by(threads).copied().collect();
            let ask = ask.clone();
            thread::spawn(move || {
                let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
                runtime.block_on(async move {
                    let mut connections = JoinSet::new();
                    for pace in paces {
                        let ask = ask.clone();
                        connections.spawn(async move { keep_asking(&ask, pace, begun, until).await });
                    }
                    connections.join_all().await
                })
            })
        })
        .collect();
    let mut all = Load::default();
    for sender in senders {
        for one in sender.join().expect("a sender ends well") {
            all.times.extend(one.times);
            all.failures += one.failures;
        }
    }
    all.took = begun.elapsed();
    all.times.sort_unstable();
    all
}

async fn keep_asking(ask: &Ask, pace: Pace, begun: Instant, until: Instant) -> Load {
    let request = ask.bytes();
    let mut load = Load::default();
    let mut connection: Option<Connection> = None;
    let mut number = 0_u32;
    loop {
        let due = match pace {
            Pace::Closed => Instant::now(),
            Pace::Every(every, first) => begun + first + every * number,
        };
        if due >= until {
            return load;
        }
        number += 1;
        if let Pace::Every(..) = pace {
            tokio::time::sleep_until(due.into()).await;
        }
        let mut used = match connection.take() {
            Some(connection) => connection,
            None => match Connection::to(ask.address).await {
                Ok(connection) => connection,
                Err(_) => {
                    load.failures += 1;
                    // A server that is not there must not make this loop spin.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    continue;
                }
            },
        };
        match used.ask(&request).await {
            Ok(200) => {
                load.times.push(due.elapsed());
                connection = Some(used);
            }
            Ok(_) => {
                load.failures += 1;
                connection = Some(used);
            }
            Err(_) => load.failures += 1,
        }
    }
}

struct Connection {
    stream: TcpStream,
    /// What was read of the answer at hand.
    read: Vec<u8>,
}

impl Connection {
    async fn to(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, read: Vec::with_capacity(4096) })
    }

    /// Sends a request and reads the answer to its end; gives its status.
    async fn ask(&mut self, request: &[u8]) -> std::io::Result<u16> {
        self.read.clear();
        self.stream.write_all(request).await?;
        loop {
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(status) = whole(&self.read) {
                return Ok(status);
            }
        }
    }
}

/// The status of an answer, once all of it is there.
fn whole(read: &[u8]) -> Option<u16> {
    let head = read.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, body) = (std::str::from_utf8(&read[..head]).ok()?, &read[head + 4..]);
    let status = head.get(9..12)?.parse().ok()?;
    let field = |name: &str| {
        let fields = head.lines().filter_map(|line| line.split_once(':'));
        fields.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    if let Some(length) = field("content-length") {
        return (body.len() >= length.parse().ok()?).then_some(status);
    }
    let mut rest = body;
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).ok()?, 16).ok()?;
        rest = rest.get(line + 2 + size + 2..)?;
        if size == 0 {
            return Some(status);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_all_of_its_body_is_there() {
        let fixed = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(whole(fixed), Some(200));
        assert_eq!(whole(&fixed[..fixed.len() - 1]), None);
        let chunked = b"HTTP/1.1 404 Not\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
        assert_eq!(whole(chunked), Some(404));
        for cut in 0..chunked.len() {
            assert_eq!(whole(&chunked[..cut]), None, "{cut}");
        }
    }
}
