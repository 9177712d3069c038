//! A stranger's first hours: the exercises of the training document as written, broken set-ups, the operator guide's commands.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests are not inside test functions"
)]

mod doctor;
mod exercises;
mod guide;
mod readme;
mod reference;
mod site;
