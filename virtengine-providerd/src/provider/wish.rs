//! What tenants send and operators want.

use virtengine_metering::settlement::{BooksCommand, BooksRejected};
use virtengine_provider_core::capacity::{self, ReservationKey, ReservationKind};
use virtengine_provider_core::id::{LeaseId, WorkloadId};
use virtengine_provider_core::manifest::ValidManifest;
use virtengine_provider_core::market::CloseReason;
use virtengine_provider_core::workload::WorkloadSpec;
use virtengine_provider_core::{lease, lifecycle};

use super::Refused;
use super::event::Event;
use super::fact::Wish;
use super::follow::Steps;

impl Steps<'_> {
    /// The tenant's manifest: it must be the announced one, and ask for what was ordered.
    pub(super) fn manifest(&mut self, id: &LeaseId, manifest: &ValidManifest) -> Result<(), Refused> {
        let known = self
            .provider
            .state
            .leases
            .get(id)
            .ok_or(lease::Rejected::Unknown)?;
        if manifest.group(&known.spec.name).is_some() {
            manifest.matches(&known.spec).map_err(|problems| {
                let words: Vec<String> = problems.iter().map(ToString::to_string).collect();
                Refused::NotAsOrdered(words.join("; "))
            })?;
        }
        let workload = WorkloadId::of_lease(id);
        let spec = manifest
            .workload(&known.spec.name, workload, Some(id.clone()))
            .ok_or_else(|| Refused::NotAsOrdered(format!("it has no group {:?}", known.spec.name)))?;
        if self.lease(
            id,
            lease::Command::Manifest {
                manifest_hash: manifest.hash(),
            },
        )? {
            self.accept(spec)?;
        }
        Ok(())
    }

    /// A registry's password does not enter the journal: no adapter of this build pulls images, so nobody would read it there.
    fn accept(&mut self, mut spec: WorkloadSpec) -> Result<(), Refused> {
        spec.services
            .iter_mut()
            .for_each(|service| service.credentials = None);
        let id = spec.id.clone();
        self.happened(Event::WorkloadAccepted {
            spec: Box::new(spec),
            at: self.now,
        });
        self.workload(&id, &lifecycle::Command::Deploy { live: true })?;
        Ok(())
    }

    pub(super) fn wish(&mut self, wish: Wish) -> Result<(), Refused> {
        match wish {
            Wish::Deploy { manifest, workload } => self.deploy_own(&manifest, workload),
            Wish::Pause(id) => self.workload(&id, &lifecycle::Command::Pause).map(drop),
            Wish::Resume(id) => self.resume(&id),
            Wish::Stop(id) => self.workload(&id, &lifecycle::Command::Stop).map(drop),
            Wish::Terminate(id) => self.terminate(&id),
            Wish::ReleaseUsage { workload, sequence } => self.release_usage(&workload, sequence),
        }
    }

    /// A workload of the operator's own: holds capacity, is metered, is never billed, needs no lease.
    fn deploy_own(&mut self, manifest: &ValidManifest, id: WorkloadId) -> Result<(), Refused> {
        let [group] = manifest.groups() else {
            return Err(Refused::Groups(manifest.groups().len()));
        };
        if self.provider.state.workloads.contains_key(&id) {
            return Ok(());
        }
        let unusable = || Refused::NotAsOrdered("its resources are too large to be added up".to_owned());
        let spec = manifest
            .workload(group.name(), id.clone(), None)
            .ok_or_else(unusable)?;
        let resources = spec.total().map_err(|_| unusable())?;
        let key = ReservationKey::Workload(id);
        self.capacity(&capacity::Command::Reserve {
            key,
            resources,
            kind: ReservationKind::Local,
        })?;
        self.accept(spec)
    }

    /// A paused workload goes on; a stopped or failed one starts again.
    fn resume(&mut self, id: &WorkloadId) -> Result<(), Refused> {
        let tenancy = self.provider.state.workloads.get(id).ok_or(Refused::NoWorkload)?;
        let lease = tenancy.spec.lease.as_ref();
        let live = lease.is_none_or(|id| {
            self.provider
                .state
                .leases
                .get(id)
                .is_some_and(lease::Lease::is_live)
        });
        let command = match tenancy.machine.state() {
            lifecycle::WorkloadState::Stopped | lifecycle::WorkloadState::Failed => {
                lifecycle::Command::Deploy { live }
            }
            _ => lifecycle::Command::Resume,
        };
        self.workload(id, &command).map(drop)
    }

    /// A held record goes the way of all others from here on; it is not checked again.
    fn release_usage(&mut self, id: &WorkloadId, sequence: u64) -> Result<(), Refused> {
        let tenancy = self.provider.state.workloads.get(id).ok_or(Refused::NoWorkload)?;
        let not_held = || BooksRejected::NotHeld(sequence);
        let lease = tenancy.spec.lease.clone().ok_or_else(not_held)?;
        let books = self.provider.state.books.get(&lease).ok_or_else(not_held)?;
        for happened in books.decide(&BooksCommand::Release { sequence })? {
            self.happened(Event::Books {
                id: lease.clone(),
                happened,
            });
        }
        Ok(())
    }

    /// The tenant keeps no lease on a workload that the operator removed.
    fn terminate(&mut self, id: &WorkloadId) -> Result<(), Refused> {
        let tenancy = self.provider.state.workloads.get(id).ok_or(Refused::NoWorkload)?;
        let lease = tenancy.spec.lease.clone();
        self.workload(id, &lifecycle::Command::Terminate)?;
        if let Some(lease) = lease {
            self.lease_quietly(
                &lease,
                lease::Command::GiveUp {
                    reason: CloseReason::Decommission,
                },
            );
        }
        Ok(())
    }
}
