//! The adapter for this host.

mod faults;
mod fixture;
mod hostile;
mod lifecycle;
mod owner;
mod usage;

use crate::conformance::conformance;
use fixture::Local;
use virtengine_adapters::local::CgroupMode;

mod rules_with_control_groups {
    use super::*;
    conformance!(Local::new(CgroupMode::Auto));
}

mod rules_without_control_groups {
    use super::*;
    conformance!(Local::new(CgroupMode::Off));
}
