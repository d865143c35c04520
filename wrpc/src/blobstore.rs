//! `wrpc:blobstore/blobstore`: containers of objects at a provider, as hosts of 1.x ask for them.
//!
//! There are two versions. In 0.2.0 what streams has a future beside it, which says how it ended; in 0.1.0 it has
//! none, so that a failure in the middle has no words. Which version a provider serves, and where it is, is the
//! host's to find out. The rule: data that was cut off is an error at its reader, never short data.

mod answer;
mod ask;
mod names;

pub use answer::{BlobError, Data, Upload, created_at, done, object_info, truth, written};
pub use ask::{Ask, Object, Version};
pub use names::Names;
