//! The reservation ledger.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::inventory::{Difference, differences, usable};
use crate::id::{IdError, OrderId, WorkloadId};
use crate::ports::adapter::Inventory;
use crate::time::Timestamp;
use crate::units::{Overflow, Resources};

/// What a reservation is for. A bid and the lease that it becomes have the same key (there is one of ours per order), so the
/// capacity passes from one to the other without ever being free or counted twice.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReservationKey {
    /// A bid or lease of ours on this order. Text form: `owner/dseq/gseq/oseq`.
    Order(OrderId),
    /// A workload of the operator's own. Text form: the workload id.
    Workload(WorkloadId),
}

impl fmt::Display for ReservationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order(order) => order.fmt(f),
            Self::Workload(workload) => workload.fmt(f),
        }
    }
}

impl fmt::Debug for ReservationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ReservationKey {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        // A workload id has no slash, an order id has three.
        if text.contains('/') {
            text.parse().map(Self::Order)
        } else {
            text.parse().map(Self::Workload)
        }
    }
}

impl Serialize for ReservationKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ReservationKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// On what ground something is reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReservationKind {
    /// A bid that may still become a lease.
    Bid,
    /// A lease.
    Lease,
    /// A workload of the operator's own.
    Local,
}

/// Something reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// How much.
    pub resources: Resources,
    /// On what ground.
    pub kind: ReservationKind,
    /// Since when, on this ground.
    pub since: Timestamp,
}

/// What limits the capacity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// What the operator configured as the total (`capacity.total_*`): a ceiling.
    pub ceiling: Resources,
    /// What the operator keeps for other things (`capacity.reserved_*`).
    pub kept_back: Resources,
    /// What the back ends reported last; `None` until they did.
    pub observed: Option<Inventory>,
}

/// What may happen to the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// The operator's configuration.
    Configure {
        /// The configured total.
        ceiling: Resources,
        /// What the operator keeps.
        kept_back: Resources,
    },
    /// The back ends reported this (all of them together). A failed report is no command: what was known stays.
    Observe(Inventory),
    /// Take capacity, if it is free.
    Reserve {
        /// For what.
        key: ReservationKey,
        /// How much.
        resources: Resources,
        /// On what ground.
        kind: ReservationKind,
    },
    /// Record what is promised already, e.g. a lease found on chain. Never refused for lack of room.
    Adopt {
        /// For what.
        key: ReservationKey,
        /// How much.
        resources: Resources,
        /// On what ground.
        kind: ReservationKind,
    },
    /// A bid became a lease.
    Convert {
        /// Which.
        key: ReservationKey,
    },
    /// Give capacity back. The caller has positive evidence that it is unused.
    Free {
        /// Which.
        key: ReservationKey,
    },
}

/// What happened to the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// The configuration changed.
    CapacityConfigured {
        /// The configured total.
        ceiling: Resources,
        /// What the operator keeps.
        kept_back: Resources,
    },
    /// The back ends report something else than before.
    CapacityObserved {
        /// What they report.
        inventory: Inventory,
        /// When.
        at: Timestamp,
    },
    /// Capacity was taken.
    Reserved {
        /// For what.
        key: ReservationKey,
        /// How much, on what ground, since when.
        reservation: Reservation,
    },
    /// A bid became a lease.
    ReservationConverted {
        /// Which.
        key: ReservationKey,
        /// When.
        at: Timestamp,
    },
    /// Capacity was given back.
    ReservationFreed {
        /// Which.
        key: ReservationKey,
        /// When.
        at: Timestamp,
    },
}

/// Why the ledger refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejected {
    /// There is not enough free.
    #[error("not enough capacity: {wanted:?} wanted, {available:?} available")]
    NoRoom {
        /// How much is wanted.
        wanted: Resources,
        /// How much is free.
        available: Resources,
    },
    /// The key holds another amount already.
    #[error("{key} holds another reservation already")]
    Taken {
        /// Which key.
        key: ReservationKey,
    },
    /// Nothing is reserved under this key.
    #[error("nothing is reserved for {key}")]
    Unknown {
        /// Which key.
        key: ReservationKey,
    },
    /// The sum of all reservations leaves the range of its type.
    #[error("the sum of all reservations is too large to be represented")]
    Overflow,
}

impl From<Overflow> for Rejected {
    fn from(_: Overflow) -> Self {
        Self::Overflow
    }
}

/// What can be sold, and what is promised already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    bounds: Bounds,
    reservations: BTreeMap<ReservationKey, Reservation>,
    /// Σ of `reservations`, kept so that no decision has to add them up.
    reserved: Resources,
    /// Rises with every event that may have made room.
    grown: u64,
}

impl Default for Ledger {
    fn default() -> Self {
        Self::new(Resources::ZERO, Resources::ZERO)
    }
}

impl Ledger {
    /// An empty ledger with the operator's configuration.
    #[must_use]
    pub const fn new(ceiling: Resources, kept_back: Resources) -> Self {
        Self {
            bounds: Bounds {
                ceiling,
                kept_back,
                observed: None,
            },
            reservations: BTreeMap::new(),
            reserved: Resources::ZERO,
            grown: 0,
        }
    }

    /// Decides what `command` changes; an empty list is "nothing to change".
    ///
    /// # Errors
    /// [`Rejected`].
    pub fn decide(&self, command: &Command, now: Timestamp) -> Result<Vec<Event>, Rejected> {
        match command {
            Command::Configure { ceiling, kept_back } => {
                if (self.bounds.ceiling, self.bounds.kept_back) == (*ceiling, *kept_back) {
                    return Ok(Vec::new());
                }
                Ok(vec![Event::CapacityConfigured {
                    ceiling: *ceiling,
                    kept_back: *kept_back,
                }])
            }
            Command::Observe(inventory) => {
                if self.bounds.observed.as_ref() == Some(inventory) {
                    return Ok(Vec::new());
                }
                Ok(vec![Event::CapacityObserved {
                    inventory: inventory.clone(),
                    at: now,
                }])
            }
            Command::Reserve { key, resources, kind } => self.reserve(key, resources, *kind, now, true),
            Command::Adopt { key, resources, kind } => self.reserve(key, resources, *kind, now, false),
            Command::Convert { key } => match self.reservations.get(key).map(|held| held.kind) {
                Some(ReservationKind::Bid) => Ok(vec![Event::ReservationConverted {
                    key: key.clone(),
                    at: now,
                }]),
                Some(ReservationKind::Lease) => Ok(Vec::new()),
                Some(ReservationKind::Local) => Err(Rejected::Taken { key: key.clone() }),
                None => Err(Rejected::Unknown { key: key.clone() }),
            },
            Command::Free { key } if self.reservations.contains_key(key) => {
                Ok(vec![Event::ReservationFreed {
                    key: key.clone(),
                    at: now,
                }])
            }
            Command::Free { .. } => Ok(Vec::new()),
        }
    }

    fn reserve(
        &self,
        key: &ReservationKey,
        resources: &Resources,
        kind: ReservationKind,
        now: Timestamp,
        only_if_free: bool,
    ) -> Result<Vec<Event>, Rejected> {
        if let Some(held) = self.reservations.get(key) {
            return if (held.resources, held.kind) == (*resources, kind) {
                Ok(Vec::new())
            } else {
                Err(Rejected::Taken { key: key.clone() })
            };
        }
        let available = self.available();
        // An over-committed ledger sells nothing, not even what it has left of another resource.
        if only_if_free && (self.is_over_committed() || !resources.fits_in(&available)) {
            return Err(Rejected::NoRoom {
                wanted: *resources,
                available,
            });
        }
        self.reserved.checked_add(resources)?;
        Ok(vec![Event::Reserved {
            key: key.clone(),
            reservation: Reservation {
                resources: *resources,
                kind,
                since: now,
            },
        }])
    }

    /// Applies what happened. Applying an event twice is applying it once.
    pub fn evolve(&mut self, event: &Event) {
        match event {
            Event::CapacityConfigured { ceiling, kept_back } => {
                self.bounds.ceiling = *ceiling;
                self.bounds.kept_back = *kept_back;
                self.grown = self.grown.wrapping_add(1);
            }
            Event::CapacityObserved { inventory, .. } => {
                self.bounds.observed = Some(inventory.clone());
                self.grown = self.grown.wrapping_add(1);
            }
            Event::Reserved { key, reservation } => {
                // `decide` has checked the sum; an event that does not fit the type was never decided here.
                if let (Entry::Vacant(place), Ok(reserved)) = (
                    self.reservations.entry(key.clone()),
                    self.reserved.checked_add(&reservation.resources),
                ) {
                    place.insert(*reservation);
                    self.reserved = reserved;
                }
            }
            Event::ReservationConverted { key, at } => {
                if let Some(held) = self.reservations.get_mut(key)
                    && held.kind == ReservationKind::Bid
                {
                    held.kind = ReservationKind::Lease;
                    held.since = *at;
                }
            }
            Event::ReservationFreed { key, .. } => {
                if let Some(held) = self.reservations.remove(key) {
                    self.reserved = self.reserved.saturating_sub(&held.resources);
                    self.grown = self.grown.wrapping_add(1);
                }
            }
        }
    }

    /// What could be sold if nothing were reserved: the smaller of configured and observed, less what the operator keeps.
    #[must_use]
    pub fn capacity(&self) -> Resources {
        let bound = match &self.bounds.observed {
            Some(observed) => self.bounds.ceiling.min(&usable(observed)),
            None => self.bounds.ceiling,
        };
        bound.saturating_sub(&self.bounds.kept_back)
    }

    /// What is free.
    #[must_use]
    pub fn available(&self) -> Resources {
        self.capacity().saturating_sub(&self.reserved)
    }

    /// Σ of all reservations.
    #[must_use]
    pub const fn reserved(&self) -> Resources {
        self.reserved
    }

    /// Whether more is reserved than there is, of any resource: the capacity shrank, or a lease was adopted. Nothing is
    /// reserved until this ends.
    #[must_use]
    pub fn is_over_committed(&self) -> bool {
        !self.reserved.fits_in(&self.capacity())
    }

    /// What limits the capacity.
    #[must_use]
    pub const fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Where the back ends have less than configured; empty until they reported.
    #[must_use]
    pub fn differences(&self) -> Vec<Difference> {
        self.bounds
            .observed
            .as_ref()
            .map(|observed| differences(&self.bounds.ceiling, observed))
            .unwrap_or_default()
    }

    /// What is reserved under `key`.
    #[must_use]
    pub fn get(&self, key: &ReservationKey) -> Option<&Reservation> {
        self.reservations.get(key)
    }

    /// Every reservation, in order of its key.
    pub fn iter(&self) -> impl Iterator<Item = (&ReservationKey, &Reservation)> {
        self.reservations.iter()
    }

    /// Σ of the reservations of one kind. Walks them all: for reports, not for decisions.
    #[must_use]
    pub fn reserved_as(&self, kind: ReservationKind) -> Resources {
        self.reservations
            .values()
            .filter(|held| held.kind == kind)
            .fold(Resources::ZERO, |sum, held| {
                // Part of a sum that fits.
                sum.checked_add(&held.resources).unwrap_or(sum)
            })
    }

    /// A number that is another one whenever room may have been made since.
    #[must_use]
    pub const fn growth(&self) -> u64 {
        self.grown
    }
}
