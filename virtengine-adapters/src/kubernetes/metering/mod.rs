//! Usage of workloads: what the kubelets count, added up so that nothing of it goes back when a container, a pod or this program
//! starts anew.
//!
//! A kubelet looks at a pod every 10 to 17 seconds and forgets it when it ends: what a pod used after the last look is not
//! known, and of a pod that lived shorter than that nothing is. CPU and network are counted by the kubelet; memory and scratch
//! space are what they were at the looks, times the time between them (after more than a minute without a look, the smaller of
//! both ends); volumes are what was reserved; GPUs are counted as long as a replica that has them runs.

mod ledger;
mod meter;
mod summary;

pub(crate) use self::meter::{Meter, id_of};
