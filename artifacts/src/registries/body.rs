//! Answers: what their status means, and their bytes, never more and never longer than is wanted.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use lath_control_api::Digest;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};

use super::address::Endpoint;
use super::wire::causes;
use crate::fault::{Fault, RegistryError};
use crate::manifest::shown;

/// Most of a refusal that is read, in bytes.
const MAX_REFUSAL: u64 = 16 << 10;
/// Longest wait for the words of a refusal.
const REFUSAL_WAIT: Duration = Duration::from_secs(2);

#[derive(Deserialize)]
struct Refusal {
    errors: Vec<RefusalPart>,
}

#[derive(Deserialize)]
struct RefusalPart {
    code: String,
    #[serde(default)]
    message: String,
}

/// The answer when its status is good, else what it means.
pub(super) async fn judge(endpoint: &Endpoint, response: Response) -> Result<Response, RegistryError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let fault = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Fault::Denied,
        StatusCode::NOT_FOUND => Fault::NotFound,
        StatusCode::TOO_MANY_REQUESTS => Fault::Busy { retry_after: retry_after(response.headers()) },
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => Fault::TooSlow,
        StatusCode::PAYLOAD_TOO_LARGE => Fault::TooLarge,
        _ => Fault::Failed,
    };
    let words = tokio::time::timeout(REFUSAL_WAIT, refusal(response)).await.ok().flatten();
    let words = words.map(|words| format!(": {words}")).unwrap_or_default();
    let wait = match fault {
        Fault::Busy { retry_after: Some(after) } => format!(", and asks to wait {} s", after.as_secs()),
        _ => String::new(),
    };
    let error = RegistryError::new(fault, format!("{endpoint} answered {}{wait}{words}", status.as_u16()));
    match fault {
        Fault::Denied => Err(error
            .with_help(format!("log in with an account that may do this: lath login {}", endpoint.registry))),
        _ => Err(error),
    }
}

/// The registry's own words.
async fn refusal(response: Response) -> Option<String> {
    let bytes = bounded(response, MAX_REFUSAL, REFUSAL_WAIT).await.ok()?;
    let refusal: Refusal = serde_json::from_slice(&bytes).ok()?;
    let first = refusal.errors.first()?;
    Some(format!("{} {}", shown(&first.code), shown(&first.message)).trim_end().to_owned())
}

/// How long the registry wants to be left alone, when it says so in seconds. Its other form, a date, depends on both
/// clocks and is taken as not said.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// All bytes of an answer, of which there may be `most`.
pub(super) async fn bounded(
    mut response: Response,
    most: u64,
    idle: Duration,
) -> Result<Bytes, RegistryError> {
    check_length(&response, most)?;
    let mut all = BytesMut::new();
    while let Some(piece) = piece(&mut response, idle).await? {
        all.extend_from_slice(&piece);
        if all.len() as u64 > most {
            return Err(too_large(most));
        }
    }
    Ok(all.freeze())
}

/// Writes the bytes of an answer into `file`, and says what they were and how many.
pub(super) async fn into_file(
    mut response: Response,
    file: &mut File,
    most: u64,
    idle: Duration,
) -> Result<(Digest, u64), RegistryError> {
    check_length(&response, most)?;
    let unwritten = |error| RegistryError::of_disk("the code cannot be written", &error);
    let mut hasher = Sha256::new();
    let mut size: u64 = 0;
    while let Some(piece) = piece(&mut response, idle).await? {
        size = size.saturating_add(piece.len() as u64);
        if size > most {
            return Err(too_large(most));
        }
        hasher.update(&piece);
        file.write_all(&piece).await.map_err(unwritten)?;
    }
    file.flush().await.map_err(unwritten)?;
    Ok((Digest::of_hash(&hasher.finalize().into()), size))
}

/// Makes a file empty again for another try.
pub(super) async fn empty(file: &mut File) -> Result<(), RegistryError> {
    let emptied = async {
        file.flush().await?;
        file.rewind().await?;
        file.set_len(0).await
    };
    emptied.await.map_err(|error| RegistryError::of_disk("the code cannot be written anew", &error))
}

async fn piece(response: &mut Response, idle: Duration) -> Result<Option<Bytes>, RegistryError> {
    match tokio::time::timeout(idle, response.chunk()).await {
        Ok(Ok(piece)) => Ok(piece),
        Ok(Err(error)) => {
            let message = format!("the answer ended before its end: {}", causes(&error));
            Err(RegistryError::new(Fault::CutShort, message))
        }
        Err(_) => {
            let message = format!("nothing came for {} s", idle.as_secs_f32());
            Err(RegistryError::new(Fault::TooSlow, message))
        }
    }
}

fn check_length(response: &Response, most: u64) -> Result<(), RegistryError> {
    match response.content_length() {
        Some(length) if length > most => Err(too_large(most)),
        Some(_) | None => Ok(()),
    }
}

fn too_large(most: u64) -> RegistryError {
    RegistryError::new(Fault::TooLarge, format!("the answer has more than {most} bytes"))
}
