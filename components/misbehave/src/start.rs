//! The fault at start. A component calls `_initialize` of its module, where there is one, while it is
//! instantiated; constructors would not do, since the bindings run those only at the first call of an export.

/// Traps in the build with `LATH_GUEST_TRAP_AT_START=1`.
const TRAPS: bool = match option_env!("LATH_GUEST_TRAP_AT_START") {
    Some(value) => matches!(value.as_bytes(), b"1"),
    None => false,
};
/// Traps between these two times, in milliseconds since 1970, such as `1795244401000-1795244411000`.
const TRAPS_BETWEEN: &str = "TRAPS_AT_START_BETWEEN";

#[unsafe(export_name = "_initialize")]
extern "C" fn initialize() {
    if TRAPS || std::env::var(TRAPS_BETWEEN).is_ok_and(|times| crate::is_now_between(&times)) {
        core::arch::wasm32::unreachable()
    }
}
