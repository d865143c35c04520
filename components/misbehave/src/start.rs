//! The fault at start: a constructor that `_initialize` runs while the component is instantiated. It must cost
//! nothing in the ordinary build, and must not be dropped by the linker in the other one.

/// Traps in the build with `LATH_GUEST_TRAP_AT_START=1`.
const TRAPS: bool = match option_env!("LATH_GUEST_TRAP_AT_START") {
    Some(value) => matches!(value.as_bytes(), b"1"),
    None => false,
};

#[used]
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = at_start;

extern "C" fn at_start() {
    if TRAPS {
        core::arch::wasm32::unreachable();
    }
}
