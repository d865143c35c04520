pub mod capability;
pub mod engine;
