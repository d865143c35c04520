//! Named configs, which components, providers and links refer to.

use crate::Texts;

/// The payload of `config.put`, the data of `config.get`, and a value of the bucket `CONFIGDATA_{lattice}`.
pub type NamedConfig = Texts;
