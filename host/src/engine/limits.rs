//! What one call of a guest may use beside what its spec says: headers, random bytes, parts; and its memory.
//!
//! The limiter sits on every store, whatever the allocator, so that no fallback takes a limit away. Limits that a
//! manifest sets are in [`Limits`] and put where they belong when a store is made.

use lath_control_api::Limits;
use wasmtime::ResourceLimiter;

/// Most bytes of one set of headers as they lie in memory, which is about twice what they take on the wire.
pub(crate) const HEADER_BYTES: usize = 128 << 10;
/// Most random bytes of one request for them.
pub(crate) const RANDOM_BYTES: u64 = 64 << 10;
/// Most core instances, memories and tables in one store. Tools make about ten of each for a component.
const PARTS: usize = 200;
/// What the engine needs for one element of a table.
const TABLE_ELEMENT_BYTES: usize = size_of::<usize>();

/// Adds up all memories and tables of a store.
#[derive(Debug)]
pub(crate) struct MemoryLimit {
    limit: usize,
    used: usize,
    refused: Option<usize>,
}

impl MemoryLimit {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { limit: usize::try_from(limits.memory_bytes).unwrap_or(usize::MAX), used: 0, refused: None }
    }

    /// Says that the guest ran into the limit, if it did.
    pub(crate) fn refusal(&self) -> Option<String> {
        self.refused.map(|wanted| {
            format!(
                "it asked for {} of memory; its limit is {}",
                crate::engine::mebibytes(wanted),
                crate::engine::mebibytes(self.limit)
            )
        })
    }

    fn grow(&mut self, more: usize) -> bool {
        let wanted = self.used.saturating_add(more);
        if wanted > self.limit {
            self.refused = Some(wanted);
            return false;
        }
        self.used = wanted;
        true
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current)))
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current).saturating_mul(TABLE_ELEMENT_BYTES)))
    }

    fn instances(&self) -> usize {
        PARTS
    }

    fn tables(&self) -> usize {
        PARTS
    }

    fn memories(&self) -> usize {
        PARTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k1_memories_and_tables_count_together() {
        let limits = Limits { memory_bytes: 1 << 20, ..Limits::default() };
        let mut limit = MemoryLimit::new(&limits);
        assert!(limit.memory_growing(0, 512 << 10, None).unwrap());
        assert!(limit.memory_growing(0, 448 << 10, None).unwrap());
        assert!(limit.table_growing(0, 8 << 10, None).unwrap());
        assert_eq!(limit.refusal(), None);
        assert!(!limit.table_growing(0, 1, None).unwrap());
        assert!(limit.refusal().unwrap().contains("1 MiB"));
    }
}
