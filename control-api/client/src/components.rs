//! Code of components in the lattice's object store, each under the hexadecimal digits of its digest.
//!
//! Nothing is trusted because of its name: what is put is checked before, what is got is checked after.

use std::fmt;
use std::io::Cursor;
use std::time::{Duration, Instant};

use async_nats::jetstream::object_store::{Config, InfoErrorKind, ObjectInfo, ObjectStore};
use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::{Bytes, BytesMut};
use lath_control_api::Digest;
use tokio::io::AsyncReadExt;

use crate::connection::Connection;

/// Most time for one request to the store; a whole transfer takes many.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest silence while bytes are read.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// The store of code of one lattice. A clone is the same store.
#[derive(Clone)]
pub struct ComponentStore {
    name: String,
    objects: ObjectStore,
    /// Where the pieces of its objects lie.
    pieces: Stream<()>,
}

impl fmt::Debug for ComponentStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ComponentStore").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What putting came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The bytes are there now.
    Stored,
    /// They were there before.
    AlreadyThere,
}

/// Why code could not be put or got.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// There is no such code.
    #[error("no code {digest} is in the lattice's store")]
    NotFound {
        /// Which one.
        digest: Digest,
    },
    /// The bytes are others than the digest says.
    #[error("the code should be {expected} and is {found}")]
    DigestMismatch {
        /// What was asked for.
        expected: Digest,
        /// What the bytes are.
        found: Digest,
    },
    /// More bytes than the caller wants.
    #[error("the code has {size} bytes, and at most {limit} are accepted")]
    TooLarge {
        /// Size in bytes.
        size: usize,
        /// The caller's limit in bytes.
        limit: usize,
    },
    /// The store did not answer well.
    #[error("the store of components `{store}` cannot be used: {cause}")]
    Unavailable {
        /// Name of the store.
        store: String,
        /// What happened.
        cause: String,
    },
}

impl ComponentStore {
    /// The store `name`, made when it is not there.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn open(connection: &Connection, name: &str) -> Result<Self, StoreError> {
        let unavailable = |cause: String| StoreError::Unavailable { store: name.to_owned(), cause };
        if !connection.up_within(REQUEST_TIMEOUT).await {
            return Err(unavailable("not connected to NATS".to_owned()));
        }
        let context = connection.jetstream(REQUEST_TIMEOUT);
        let objects = match context.get_object_store(name).await {
            Ok(objects) => objects,
            Err(_) => {
                let config = Config { bucket: name.to_owned(), num_replicas: 1, ..Config::default() };
                let made = context.create_object_store(config).await;
                made.map_err(|error| unavailable(error.to_string()))?
            }
        };
        let pieces = context.get_stream_no_info(format!("OBJ_{name}")).await;
        let pieces = pieces.map_err(|error| unavailable(error.to_string()))?;
        Ok(Self { name: name.to_owned(), objects, pieces })
    }

    /// Puts `bytes`, unless they are there.
    ///
    /// # Errors
    /// [`StoreError::DigestMismatch`] when they are not what `digest` says; [`StoreError::Unavailable`].
    pub async fn put(&self, digest: &Digest, bytes: Bytes) -> Result<Put, StoreError> {
        let found = Digest::of(&bytes);
        if found != *digest {
            return Err(StoreError::DigestMismatch { expected: digest.clone(), found });
        }
        if self.exists(digest).await? {
            return Ok(Put::AlreadyThere);
        }
        let stored = self.objects.put(digest.hex(), &mut Cursor::new(bytes)).await;
        let info = stored.map_err(|error| self.unavailable(&error))?;
        if is_of(&info, digest) {
            return Ok(Put::Stored);
        }
        Err(StoreError::Unavailable { store: self.name.clone(), cause: "it took other bytes".to_owned() })
    }

    /// Whether the code is there, whole.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn exists(&self, digest: &Digest) -> Result<bool, StoreError> {
        Ok(self.size(digest).await?.is_some())
    }

    /// Size of the code in bytes, if it is there.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn size(&self, digest: &Digest) -> Result<Option<usize>, StoreError> {
        Ok(self.info(digest).await?.map(|info| info.size))
    }

    async fn info(&self, digest: &Digest) -> Result<Option<ObjectInfo>, StoreError> {
        match self.objects.info(digest.hex()).await {
            Ok(info) if !info.deleted && is_of(&info, digest) => Ok(Some(info)),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == InfoErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.unavailable(&error)),
        }
    }

    /// Gets the code, at most `limit` bytes.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn get(&self, digest: &Digest, limit: usize) -> Result<Bytes, StoreError> {
        let Some(size) = self.size(digest).await? else {
            return Err(StoreError::NotFound { digest: digest.clone() });
        };
        if size > limit {
            return Err(StoreError::TooLarge { size, limit });
        }
        let mut object = self.objects.get(digest.hex()).await.map_err(|error| self.unavailable(&error))?;
        let mut bytes = BytesMut::with_capacity(size);
        loop {
            let read = tokio::time::timeout(READ_TIMEOUT, object.read_buf(&mut bytes)).await;
            let silent = |_| std::io::Error::other(format!("no bytes within {} s", READ_TIMEOUT.as_secs()));
            let read = read.map_err(silent).and_then(std::convert::identity);
            if read.map_err(|error| self.unavailable(&error))? == 0 {
                break;
            }
            if bytes.len() > limit {
                return Err(StoreError::TooLarge { size: bytes.len(), limit });
            }
        }
        let found = Digest::of(&bytes);
        if found == *digest {
            return Ok(bytes.freeze());
        }
        Err(StoreError::DigestMismatch { expected: digest.clone(), found })
    }

    /// The first bytes of the code, at most `length` of them. They are not checked against the digest: enough to say what
    /// it claims to be, and not to use.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Unavailable`].
    pub async fn beginning(&self, digest: &Digest, length: usize) -> Result<Bytes, StoreError> {
        let Some(info) = self.info(digest).await? else {
            return Err(StoreError::NotFound { digest: digest.clone() });
        };
        // Piece by piece: the reader of a whole object judges it by its digest, and of a damaged one gives nothing.
        let subject = format!("$O.{}.C.{}", self.name, info.nuid);
        let (mut bytes, mut sequence) = (BytesMut::new(), 1);
        let until = Instant::now() + READ_TIMEOUT;
        while bytes.len() < length {
            if Instant::now() > until {
                let cause = format!("not read within {} s", READ_TIMEOUT.as_secs());
                return Err(StoreError::Unavailable { store: self.name.clone(), cause });
            }
            match self.pieces.get_first_raw_message_by_subject(&subject, sequence).await {
                Ok(piece) => {
                    bytes.extend_from_slice(&piece.payload);
                    sequence = piece.sequence + 1;
                }
                Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => break,
                Err(error) => return Err(self.unavailable(&error)),
            }
        }
        bytes.truncate(length);
        Ok(bytes.freeze())
    }

    fn unavailable(&self, error: &dyn std::error::Error) -> StoreError {
        let cause = crate::connection::chain(error);
        StoreError::Unavailable { store: self.name.clone(), cause }
    }
}

/// Whether the store's own digest of an object is `digest`. It is of the same kind, in other letters.
fn is_of(info: &ObjectInfo, digest: &Digest) -> bool {
    let bytes = (0..32).filter_map(|at| digest.hex().get(2 * at..2 * at + 2));
    let bytes: Vec<u8> = bytes.filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect();
    let theirs = info.digest.as_deref().and_then(|text| text.split_once('=')).map(|(_, text)| text);
    theirs == Some(URL_SAFE.encode(bytes).as_str())
}
