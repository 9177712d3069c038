//! The adapter for this host.

mod crowd;
mod faults;
mod fixture;
mod full_disk;
mod groups;
mod hostile;
mod lifecycle;
mod owner;
mod usage;
mod wiped;

use crate::conformance::conformance;
use fixture::Local;
use virtengine_adapters::local::CgroupMode;

mod rules_with_control_groups {
    use super::*;
    conformance!(Local::in_groups());
}

mod rules_without_control_groups {
    use super::*;
    conformance!(Some(Local::new(CgroupMode::Off)));
}
