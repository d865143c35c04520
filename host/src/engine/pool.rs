//! How the engine is set up: which WebAssembly it takes, and where instances live.
//!
//! Nothing here depends on a component. The limits of a call are not set here but on its store, so that every
//! way of allocation has the same.

use std::fs;

use wasmtime::{
    Config, Enabled, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, WasmFeatures,
};

use crate::engine::base::Tasks;
use crate::engine::mebibytes;

/// Where instances live.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pooling {
    /// In a pool as large as the machine allows, else one by one.
    #[default]
    Auto,
    /// One by one. Slower to start, needs no reservation.
    Off,
    /// In a pool of so many instances; the host does not start without it.
    On {
        /// Most instances at once. At least 1.
        instances: u32,
    },
}

/// How instances are allocated, as decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Allocation {
    /// In a pool.
    Pool { instances: u32 },
    /// One by one, each memory with 4 GiB of address space, so that accesses need no check.
    OnDemand,
    /// One by one, memories no larger than what is in them.
    OnDemandSmall,
}

/// Address space of one memory in the pool: 4 GiB that a guest can address, and the guard behind.
const SLOT_ADDRESS_SPACE: u64 = (4 << 30) + (32 << 20);
/// Memory of the machine that stands behind one instance of the pool, on average.
const SLOT_MEMORY: u64 = 8 << 20;
/// Fewer instances than this make no pool.
const MIN_INSTANCES: u64 = 16;
/// More instances than this need more mappings than Linux gives a process by default.
const MAX_INSTANCES: u64 = 2_000;
/// Memories, tables and core instances that tools make for one component, generously.
const PARTS_PER_INSTANCE: u32 = 6;

/// What the process may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Machine {
    /// Memory in bytes: what is available, or the limit of the control group when that is less.
    pub(crate) memory: u64,
    /// Address space in bytes, when it is limited.
    pub(crate) address_space: Option<u64>,
}

impl Machine {
    /// Asks Linux. What cannot be read counts as plenty: the reservation itself is the last test.
    pub(crate) fn here() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let available =
            field(&read("/proc/meminfo"), "MemAvailable:").map_or(u64::MAX, |kib| kib.saturating_mul(1024));
        let group = read("/sys/fs/cgroup/memory.max").trim().parse().unwrap_or(u64::MAX);
        let address_space = field(&read("/proc/self/limits"), "Max address space");
        Self { memory: available.min(group), address_space }
    }
}

/// The first number after `name` in a file of `/proc`; `None` when it is missing or `unlimited`.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

impl Allocation {
    /// The ways to try, best first, and in words why the first one was chosen.
    pub(crate) fn candidates(pooling: Pooling, machine: Machine) -> (Vec<Self>, String) {
        let alone = match machine.address_space {
            Some(_) => Self::OnDemandSmall,
            None => Self::OnDemand,
        };
        match pooling {
            Pooling::Off => (vec![alone, Self::OnDemandSmall], "pooling is off".into()),
            Pooling::On { instances } => {
                (vec![Self::Pool { instances: instances.max(1) }], "the configuration asks for a pool".into())
            }
            Pooling::Auto => {
                let by_memory = (machine.memory / SLOT_MEMORY).min(MAX_INSTANCES);
                // Half of the address space is left for everything else.
                let by_space = machine.address_space.map_or(u64::MAX, |space| space / 2 / SLOT_ADDRESS_SPACE);
                let instances = by_memory.min(by_space);
                if instances < MIN_INSTANCES {
                    let why = match machine.address_space {
                        Some(space) if by_space < MIN_INSTANCES => {
                            format!("the address space is limited to {}", mebibytes_of(space))
                        }
                        _ => format!("only {} of memory are available", mebibytes_of(machine.memory)),
                    };
                    return (vec![alone, Self::OnDemandSmall], why);
                }
                let instances = u32::try_from(instances).unwrap_or(u32::MAX);
                let why = format!("{} of memory are available", mebibytes_of(machine.memory));
                (vec![Self::Pool { instances }, alone, Self::OnDemandSmall], why)
            }
        }
    }

    /// Most instances at once.
    pub(crate) fn instances(self, machine: Machine) -> u32 {
        match self {
            Self::Pool { instances } => instances,
            Self::OnDemand | Self::OnDemandSmall => {
                let by_memory = (machine.memory / SLOT_MEMORY).clamp(MIN_INSTANCES, MAX_INSTANCES);
                u32::try_from(by_memory).unwrap_or(u32::MAX)
            }
        }
    }

    fn apply(self, config: &mut Config) {
        match self {
            Self::Pool { instances } => {
                config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(instances)));
            }
            Self::OnDemand => {
                config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
            }
            Self::OnDemandSmall => {
                config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
                config.memory_reservation(0).memory_guard_size(0).memory_reservation_for_growth(1 << 20);
                // Fibers of calls are the other large reservation.
                config.async_stack_size(1 << 20);
            }
        }
    }
}

impl std::fmt::Display for Allocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pool { instances } => write!(f, "a pool of {instances} instances"),
            Self::OnDemand => f.write_str("on demand"),
            Self::OnDemandSmall => f.write_str("on demand with small reservations"),
        }
    }
}

fn pool(instances: u32) -> PoolingAllocationConfig {
    let parts = instances.saturating_mul(PARTS_PER_INSTANCE);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(parts)
        .total_memories(instances.saturating_add(instances / 4))
        .total_tables(parts)
        .total_stacks(instances.saturating_add(instances / 4))
        .max_component_instance_size(4 << 20)
        .max_memories_per_module(4)
        .max_tables_per_module(8)
        .table_elements(100_000)
        // Pages that most guests touch stay with their slot: cheaper than to give them back and fault them in.
        .linear_memory_keep_resident(256 << 10)
        .table_keep_resident(16 << 10)
        .max_unused_warm_slots(64)
        .pagemap_scan(Enabled::Auto);
    pool
}

/// The configuration of the engine for components with so many tasks.
pub(crate) fn config(allocation: Allocation, tasks: Tasks) -> Config {
    let mut config = Config::new();
    config
        .cranelift_opt_level(OptLevel::Speed)
        .epoch_interruption(true)
        .max_wasm_stack(512 << 10)
        .memory_init_cow(true)
        .wasm_component_model(true)
        // Every call pays for it.
        .concurrency_support(tasks == Tasks::Many)
        // Where a trap came from is told by function names; line numbers would need the guest's debug info.
        .generate_address_map(true);
    for unneeded in [
        WasmFeatures::THREADS,
        WasmFeatures::SHARED_EVERYTHING_THREADS,
        WasmFeatures::MEMORY64,
        WasmFeatures::CUSTOM_PAGE_SIZES,
        WasmFeatures::STACK_SWITCHING,
        WasmFeatures::WIDE_ARITHMETIC,
    ] {
        config.wasm_features(unneeded, false);
    }
    allocation.apply(&mut config);
    config
}

fn mebibytes_of(bytes: u64) -> String {
    mebibytes(usize::try_from(bytes).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_pool_fits_the_machine() {
        let first = |memory, address_space| {
            Allocation::candidates(Pooling::Auto, Machine { memory, address_space }).0.remove(0)
        };
        assert_eq!(first(256 << 20, None), Allocation::Pool { instances: 32 });
        assert_eq!(first(64 * GIB, None), Allocation::Pool { instances: 2_000 });
        assert_eq!(first(64 << 20, None), Allocation::OnDemand);
        assert_eq!(first(16 * GIB, Some(4 * GIB)), Allocation::OnDemandSmall);
    }

    #[test]
    fn limits_are_read_as_the_kernel_writes_them() {
        let text = "Limit  Soft Limit  Hard Limit  Units\nMax address space         unlimited            unlimited            bytes\n";
        assert_eq!(field(text, "Max address space"), None);
        assert_eq!(field("Max address space         1073741824  1  bytes", "Max address space"), Some(GIB));
        assert_eq!(field("MemTotal: 3 kB\nMemAvailable:   2048 kB\n", "MemAvailable:"), Some(2048));
    }
}
