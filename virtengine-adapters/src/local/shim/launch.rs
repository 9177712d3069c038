//! Starting programs of a workload: what they are told and what they are not.

use std::fs;
use std::io::{self, PipeReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use virtengine_provider_core::workload::ServiceSpec;

use super::super::cgroup::{self, Group};
use super::super::layout::{WorkloadDir, create_private_dir};
use super::super::process::{self, Identity, MARK};
use super::super::record::{Intent, ServicePlan};
use super::exec::Bounds;

/// What programs of a workload see of our own environment; everything else stays here.
pub(crate) const INHERITED: [&str; 3] = ["PATH", "LANG", "TZ"];

/// Where and how programs of this workload are started.
#[derive(Debug)]
pub(super) struct Launcher {
    pub(super) dir: WorkloadDir,
    pub(super) group: Option<Group>,
}

/// A replica, by position of its service and its own number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) service: usize,
    pub(super) replica: u32,
}

impl Launcher {
    /// Starts the main program of a replica; what it writes comes out of the pipe.
    pub(super) fn start(&self, intent: &Intent, place: Place) -> io::Result<(Identity, PipeReader)> {
        let plan = plan(intent, place)?;
        let mut command = self.prepare(intent, place, &plan.command)?;
        let (reader, writer) = io::pipe()?;
        command.stdout(writer.try_clone()?).stderr(writer);
        Ok((spawn(command)?, reader))
    }

    /// Starts a command beside the main program, e.g. a health check; what it writes is dropped.
    pub(super) fn start_beside(
        &self,
        intent: &Intent,
        place: Place,
        argv: &[String],
    ) -> io::Result<Identity> {
        let mut command = self.prepare(intent, place, argv)?;
        command.stdout(Stdio::null()).stderr(Stdio::null());
        spawn(command)
    }

    fn prepare(&self, intent: &Intent, place: Place, argv: &[String]) -> io::Result<Command> {
        let (spec, plan) = (spec(intent, place)?, plan(intent, place)?);
        let data = self.dir.replica_data(&spec.name, place.replica);
        create_private_dir(&data)?;
        let bounds = self.bounds(intent, spec, place.replica)?;
        let mut command = Command::new("/proc/self/exe");
        command
            .args(&intent.settings.shim_args)
            .args(bounds.to_args())
            .args(argv)
            .env_clear()
            .envs(inherited())
            .envs(&plan.env)
            .current_dir(&data)
            .stdin(Stdio::null());
        for (name, value) in self.surroundings(intent, spec, place.replica, plan)? {
            command.env(name, value);
        }
        Ok(command)
    }

    fn bounds(&self, intent: &Intent, spec: &ServiceSpec, replica: u32) -> io::Result<Bounds> {
        let processes = intent.settings.processes_max;
        let wanted = cgroup::Bounds {
            cpu_millis: spec.cpu_millis,
            memory_bytes: spec.memory_bytes,
            processes,
        };
        let group = match &self.group {
            Some(group) => Some(group.replica(&spec.name, replica, wanted)?),
            None => None,
        };
        let kernel_bounds_memory = group
            .as_ref()
            .is_some_and(|path| path.join("memory.max").exists());
        // A wide backstop for what happens between two looks of the supervisor: programs reserve more than they use.
        let backstop = spec.memory_bytes.saturating_mul(2).saturating_add(256 << 20);
        let data_bytes = if kernel_bounds_memory || spec.memory_bytes == 0 {
            0
        } else {
            backstop
        };
        Ok(Bounds {
            group,
            files: intent.settings.open_files_max,
            file_bytes: storage_bytes(spec),
            data_bytes,
        })
    }

    /// Where the replica is, where it shall listen, and where its siblings are.
    fn surroundings(
        &self,
        intent: &Intent,
        spec: &ServiceSpec,
        replica: u32,
        plan: &ServicePlan,
    ) -> io::Result<Vec<(String, String)>> {
        let data = self.dir.replica_data(&spec.name, replica);
        let text = |path: &PathBuf| path.to_string_lossy().into_owned();
        let mut told = vec![
            (
                MARK.to_owned(),
                format!("{}/{}/{replica}", intent.mark, spec.name),
            ),
            ("VE_WORKLOAD".to_owned(), intent.spec.id.to_string()),
            ("VE_SERVICE".to_owned(), spec.name.clone()),
            ("VE_REPLICA".to_owned(), replica.to_string()),
            ("VE_DATA_DIR".to_owned(), text(&data)),
        ];
        let index = usize::try_from(replica).unwrap_or(usize::MAX);
        for (position, port) in plan.ports.iter().enumerate() {
            let Some(internal) = port.internal.get(index) else {
                return Err(io::Error::other("the plan has no port for this replica"));
            };
            if position == 0 {
                told.push(("PORT".to_owned(), internal.to_string()));
            }
            told.push((format!("VE_PORT_{}", port.port), internal.to_string()));
        }
        for volume in &spec.volumes {
            let path = data.join("volumes").join(&volume.name);
            fs::create_dir_all(&path)?;
            told.push((format!("VE_VOLUME_{}", upper(&volume.name)), text(&path)));
        }
        for (other, plan) in intent.services() {
            for port in &plan.ports {
                if let Some(external) = port.external {
                    let address = std::net::SocketAddr::new(intent.settings.bind_address, external);
                    told.push((
                        format!("VE_ADDR_{}_{}", upper(&other.name), port.port),
                        address.to_string(),
                    ));
                }
            }
        }
        Ok(told)
    }
}

/// What a replica may keep; 0 when its service leased no storage.
pub(super) fn storage_bytes(spec: &ServiceSpec) -> u64 {
    spec.resources().map_or(u64::MAX, |each| each.storage_bytes)
}

pub(super) fn spec(intent: &Intent, place: Place) -> io::Result<&ServiceSpec> {
    let missing = || io::Error::other("the intent has no such service");
    intent.spec.services.get(place.service).ok_or_else(missing)
}

pub(super) fn plan(intent: &Intent, place: Place) -> io::Result<&ServicePlan> {
    let missing = || io::Error::other("the intent has no such service");
    intent.plans.get(place.service).ok_or_else(missing)
}

pub(crate) fn inherited() -> impl Iterator<Item = (&'static str, std::ffi::OsString)> {
    INHERITED
        .into_iter()
        .filter_map(|name| std::env::var_os(name).map(|value| (name, value)))
}

fn upper(name: &str) -> String {
    name.to_ascii_uppercase().replace('-', "_")
}

fn spawn(mut command: Command) -> io::Result<Identity> {
    let child = command.spawn()?;
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    // Nobody has waited for it yet, so the number is still its own.
    process::stat(pid)
        .map(|found| found.identity())
        .ok_or_else(|| io::Error::other("a new process is not in the process table"))
}
