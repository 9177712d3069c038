//! The limits of a manifest, with their reasons.

use core::ops::RangeInclusive;

/// Longest name: a DNS label. Back ends use the names as host names.
pub const NAME_CHARS_MAX: usize = 63;

/// Most services in a manifest (spec/reference.md §3.1).
pub const SERVICES_MAX: usize = 100;

/// Most replicas of one service (spec/reference.md §3.1).
pub const REPLICAS_MAX: u32 = 1000;

/// Most placement groups; each becomes an order on chain.
pub const GROUPS_MAX: usize = 20;

/// Most ports, mounts and hosts of one service.
pub const PORTS_MAX: usize = 100;

/// Most volumes of one service: what cloud instances commonly take.
pub const VOLUMES_MAX: usize = 20;

/// Most environment variables of one service, and most words of a command.
pub const WORDS_MAX: usize = 500;

/// Longest environment value or word of a command, in bytes. Linux takes 128 KiB for one.
pub const WORD_BYTES_MAX: usize = 32 * 1024;

/// Longest image reference, in bytes.
pub const IMAGE_BYTES_MAX: usize = 512;

/// Longest host name.
pub const HOST_BYTES_MAX: usize = 255;

/// Most attributes of one resource or placement.
pub const ATTRIBUTES_MAX: usize = 64;

/// CPU of one unit, in thousandths of a core (spec/chain.md B.6).
pub const CPU_MILLIS: RangeInclusive<u64> = 10..=384_000;

/// Memory of one unit, in bytes: 1 MiB to 2 TiB (spec/chain.md B.6).
pub const MEMORY_BYTES: RangeInclusive<u64> = 1 << 20..=2 << 40;

/// Storage of one unit, in bytes: each volume from 5 MiB, all together up to 32 TiB (spec/chain.md B.6).
pub const STORAGE_BYTES: RangeInclusive<u64> = 5 << 20..=32 << 40;

/// GPUs of one unit (spec/chain.md B.6).
pub const GPUS: RangeInclusive<u64> = 0..=24;

/// Highest price of one unit per block, in the chain's base denomination (spec/chain.md B.6).
pub const PRICE_MAX: u128 = 10_000_000;

/// Longest time of a hook, in seconds. A hook holds up a start or a stop.
pub const HOOK_SECONDS_MAX: u32 = 3600;

/// Time of a hook that states none, in seconds.
pub const HOOK_SECONDS_DEFAULT: u32 = 30;

/// Longest delay, period or timeout of a health check, in seconds.
pub const PROBE_SECONDS_MAX: u32 = 86_400;

/// Largest request body that an exposed port may ask for, in bytes.
pub const BODY_BYTES_MAX: u32 = 100 << 20;

/// Longest read and send timeout of an exposed port, in milliseconds.
pub const HTTP_TIMEOUT_MS_MAX: u32 = 60_000;
