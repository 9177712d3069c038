use std::ops::RangeInclusive;

use crate::error::KeyError;

/// How a key directory is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Look and sign; any number of processes at a time, also beside one that writes. Changes made by that one after the unlock are
    /// not seen by the signers here.
    ReadOnly,
    /// Change as well; one process at a time.
    ReadWrite,
}

/// The least memory that is accepted: below, a passphrase is too cheap to guess (the OWASP minimum).
const MEMORY_KIB: RangeInclusive<u32> = 19 * 1024..=1024 * 1024;
const ITERATIONS: RangeInclusive<u32> = 1..=16;
const PARALLELISM: RangeInclusive<u32> = 1..=16;

/// Cost of one guess of the passphrase: Argon2id v1.3. Bounded below, so that an edited file cannot make guessing cheap, and above,
/// so that it cannot exhaust the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KdfParams {
    memory_kib: u32,
    iterations: u32,
    parallelism: u32,
}

impl Default for KdfParams {
    /// 64 MiB, 3 passes, 4 lanes: 0.2 s of one processor (spec/keys.md 2c).
    fn default() -> Self {
        Self {
            memory_kib: 64 * 1024,
            iterations: 3,
            parallelism: 4,
        }
    }
}

impl KdfParams {
    /// The cheapest parameters that are accepted (19 MiB, 2 passes, 1 lane): for tests, and machines with very little memory.
    pub const CHEAPEST: Self = Self {
        memory_kib: *MEMORY_KIB.start(),
        iterations: 2,
        parallelism: 1,
    };

    /// Memory in KiB (19 456 to 1 048 576), passes (1 to 16) and lanes (1 to 16).
    ///
    /// # Errors
    /// One is out of bounds.
    pub fn new(memory_kib: u32, iterations: u32, parallelism: u32) -> Result<Self, KeyError> {
        within("memory_kib", memory_kib, &MEMORY_KIB)?;
        within("iterations", iterations, &ITERATIONS)?;
        within("parallelism", parallelism, &PARALLELISM)?;
        Ok(Self {
            memory_kib,
            iterations,
            parallelism,
        })
    }

    /// Memory in KiB.
    #[must_use]
    pub const fn memory_kib(self) -> u32 {
        self.memory_kib
    }

    /// Passes over the memory.
    #[must_use]
    pub const fn iterations(self) -> u32 {
        self.iterations
    }

    /// Lanes.
    #[must_use]
    pub const fn parallelism(self) -> u32 {
        self.parallelism
    }
}

pub(super) fn within(
    parameter: &'static str,
    value: u32,
    bounds: &RangeInclusive<u32>,
) -> Result<(), KeyError> {
    if bounds.contains(&value) {
        return Ok(());
    }
    Err(KeyError::KdfOutOfBounds {
        parameter,
        value: value.into(),
        min: (*bounds.start()).into(),
        max: (*bounds.end()).into(),
    })
}
