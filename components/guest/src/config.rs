//! Config values as the host gives them through `wasi:config/store`. No defaults and no checks: which values a
//! key may have is the component's own business. A value that cannot be read is an error, never an absence.

mod bindings {
    #![allow(missing_docs, reason = "generated from the WIT, which is documented")]

    wit_bindgen::generate!({
        path: "../wit/config",
        world: "imports",
    });
}

use bindings::wasi::config::store;

/// The value of `key`, or none when it is not set.
///
/// # Errors
/// The host's own words, with the key, when it could not read the value.
pub fn get(key: &str) -> Result<Option<String>, String> {
    store::get(key).map_err(|error| match error {
        store::Error::Upstream(cause) | store::Error::Io(cause) => {
            format!("config key `{key}` cannot be read: {cause}")
        }
    })
}
