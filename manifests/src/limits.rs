//! Every bound on a manifest, with its reason. Nothing is measured here.
//!
//! A bound that is passed is an error that names the bound; nothing is cut off silently.

/// Most bytes of a manifest file. It is sent in one NATS message (1 MiB by default) with room for what goes with it.
pub const MAX_BYTES: usize = 512 * 1024;

/// Deepest nesting of lists and mappings. The format itself needs 12; free-form trait properties may use the rest.
pub const MAX_DEPTH: usize = 64;

/// Most nodes (scalars, lists, mappings) once aliases are written out. A file of [`MAX_BYTES`] without aliases cannot
/// have more than about half of this, so only aliases can reach it.
pub const MAX_NODES: usize = 300_000;

/// Most nodes that aliases alone may add. Manifests repeat a config or a spread by alias, not a whole document.
pub const MAX_ALIASED_NODES: usize = 20_000;

/// Most components of one app, capabilities included. The planner's time grows with it.
pub const MAX_COMPONENTS: usize = 1_000;

/// Most links of one component.
pub const MAX_LINKS: usize = 1_000;

/// Most interfaces of one link.
pub const MAX_INTERFACES: usize = 64;

/// Most spreads of one scaler.
pub const MAX_SPREADS: usize = 100;

/// Most policies of one app.
pub const MAX_POLICIES: usize = 100;

/// Most labels, and most annotations, of one app.
pub const MAX_METADATA: usize = 256;

/// Most instances that one scaler may ask for. Far above what one host takes, far below an overflow of any sum.
pub const MAX_INSTANCES: u32 = 10_000;

/// Largest weight of a spread.
pub const MAX_WEIGHT: u32 = 1_000_000;

/// Longest value of a label or annotation, in bytes.
pub const MAX_METADATA_VALUE: usize = 4 * 1024;

/// Longest value of a configuration, in bytes. Larger data belongs in a store, not in a manifest.
pub const MAX_CONFIG_VALUE: usize = 64 * 1024;

/// Most entries of one list of allowed hosts. They are looked through for each request.
pub const MAX_ALLOWED_HOSTS: usize = 256;

/// Most environment variables, and most arguments, of one component.
pub const MAX_ENVIRONMENT: usize = 256;

/// Most folders of one component. Each is opened for every new instance.
pub const MAX_PREOPENS: usize = 16;

/// Longest name of a link, spread, policy, configuration or secret, and longest key of a configuration, in bytes.
pub const MAX_NAME: usize = 128;

/// Longest manifest version, in bytes.
pub const MAX_VERSION: usize = 64;

/// Longest text of a property of a rollout policy, in bytes: room for [`MAX_COMPONENTS`] names. Aliases may repeat it
/// in every policy.
pub const MAX_ROLLOUT_TEXT: usize = 64 * 1024;

/// Most steps of a canary, that of 100 % counted. More than people follow.
pub const MAX_ROLLOUT_STEPS: usize = 20;

/// Most calls that the gates of a rollout may ask for in one window.
pub const MAX_SAMPLES: u32 = 1_000_000;

/// Most values of a label in `waves`: zones, regions or sites. Hosts with other values form the last wave.
pub const MAX_WAVE_VALUES: usize = 50;

/// Longest address of a webhook, in bytes; what every HTTP server takes.
pub const MAX_WEBHOOK: usize = 2_048;

/// Most diagnostics that are returned; one more says how many were left out.
pub const MAX_DIAGNOSTICS: usize = 100;
