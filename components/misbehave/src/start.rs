//! The fault at start. A component calls `_initialize` of its module, where there is one, while it is
//! instantiated; constructors would not do, since the bindings run those only at the first call of an export.

/// Traps in the build with `LATH_GUEST_TRAP_AT_START=1`.
const TRAPS: bool = match option_env!("LATH_GUEST_TRAP_AT_START") {
    Some(value) => matches!(value.as_bytes(), b"1"),
    None => false,
};

#[unsafe(export_name = "_initialize")]
extern "C" fn initialize() {
    if TRAPS {
        core::arch::wasm32::unreachable()
    }
}
