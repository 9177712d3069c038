//! What the operator sets for running workloads on this host.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use virtengine_provider_core::units::Resources;

/// Stands for the program of the supervisor itself, in [`ImageCommand::command`].
pub const SELF_PROGRAM: &str = "{self}";

/// The image of the service that ships with the program: a small web server, for trying things out.
pub const DEMO_IMAGE: &str = "virtengine/demo-web";

/// Settings of the adapter for this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where everything is kept: what was asked for, what happened, data, logs. Owned by this adapter alone. No default.
    pub state_dir: PathBuf,
    /// Which command runs for which image; the first match counts. Default: [`DEMO_IMAGE`] runs the demo service.
    pub images: Vec<ImageCommand>,
    /// Command that starts [`shim::main`](super::shim::main), without its arguments. Default: this very program with
    /// `local-shim`.
    pub supervisor: Vec<String>,
    /// Most that is given to workloads; what the host really has is the second bound. GPUs are never given here. Default: no
    /// bound of its own.
    pub capacity: Option<Resources>,
    /// Address on which exposed ports listen. Default: 127.0.0.1.
    pub bind_address: IpAddr,
    /// Host name or address that tenants are told. Default: the bind address.
    pub endpoint_host: Option<String>,
    /// Ports to choose from, for listening outside and inside. Default: whatever the host has free.
    pub ports: Option<PortRange>,
    /// Whether a manifest may bring its own command, arguments, hook and health commands. There is no isolation: a tenant who
    /// may do this is the user of this process. Default: false.
    pub tenant_commands: bool,
    /// From the request to end until everything is killed, in milliseconds. Default: 10 s.
    pub stop_grace_ms: u64,
    /// How long a replica without a health check must live before it counts as ready, in milliseconds. Default: 500.
    pub startup_grace_ms: u64,
    /// Wait before the first restart of a replica, in milliseconds; doubles with each. Default: 1 s.
    pub restart_delay_ms: u64,
    /// Longest wait before a restart, in milliseconds. Default: 60 s.
    pub restart_delay_ms_max: u64,
    /// A replica that lived this long starts again at the first wait, in milliseconds. Default: 60 s.
    pub stable_after_ms: u64,
    /// How many ends in a row, each before `stable_after_ms`, make a workload failed. Default: 3.
    pub crash_loop_after: u32,
    /// Log bytes kept per replica. Default: 8 MiB.
    pub log_bytes_max: u64,
    /// Open files per process of a workload. Default: 4096.
    pub open_files_max: u64,
    /// Processes per replica, where cgroups can bound them. Default: 1024.
    pub processes_max: u64,
    /// Replicas per workload. Default: 32.
    pub replicas_max: u32,
    /// How often memory and storage are looked at, in milliseconds. Default: 1 s.
    pub sample_ms: u64,
    /// How often counters reach the disk when nobody reads them, in milliseconds. Default: 5 s.
    pub checkpoint_ms: u64,
    /// Whether cgroups are used. Default: where the host lets us.
    pub cgroup: CgroupMode,
}

/// Whether control groups (version 2) are used to bound, freeze, count and kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CgroupMode {
    /// When they are mounted and writable.
    #[default]
    Auto,
    /// Never.
    Off,
}

/// An inclusive range of ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortRange {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

/// The command that stands for an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageCommand {
    /// Image name; `*` stands for any text, `?` for one character. A pattern without a tag matches every tag.
    pub image: String,
    /// Program and its fixed arguments; the program is looked up in `PATH`. [`SELF_PROGRAM`] is the supervisor's program.
    pub command: Vec<String>,
    /// Arguments that a manifest may replace.
    #[serde(default)]
    pub args: Vec<String>,
    /// Environment; the manifest's wins.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct ConfigError {
    /// The setting, e.g. `images[1].command`.
    pub field: String,
    /// What is wrong with it and what to do.
    pub message: String,
}

impl Config {
    /// The defaults, with everything kept under `state_dir`.
    #[must_use]
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self {
            state_dir: state_dir.into(),
            ..Self::default()
        }
    }

    /// The first bound of what is given to workloads.
    pub(crate) fn ceiling(&self) -> Resources {
        self.capacity.unwrap_or(Resources {
            cpu_millis: u64::MAX,
            memory_bytes: u64::MAX,
            storage_bytes: u64::MAX,
            gpus: 0,
        })
    }

    /// Every problem of these settings.
    #[must_use]
    pub fn problems(&self) -> Vec<ConfigError> {
        let mut found = Vec::new();
        let mut bad = |field: &str, message: &str| {
            found.push(ConfigError {
                field: field.to_owned(),
                message: message.to_owned(),
            });
        };
        if !self.state_dir.is_absolute() {
            bad("state_dir", "must be an absolute path");
        }
        if self.supervisor.first().is_none_or(String::is_empty) {
            bad("supervisor", "must name a program");
        }
        if self
            .ports
            .is_some_and(|range| range.first == 0 || range.first > range.last)
        {
            bad("ports", "must be a range from at least 1 upwards");
        }
        let bounds = [
            ("restart_delay_ms", self.restart_delay_ms, 10),
            (
                "restart_delay_ms_max",
                self.restart_delay_ms_max,
                self.restart_delay_ms,
            ),
            ("log_bytes_max", self.log_bytes_max, 64 * 1024),
            ("open_files_max", self.open_files_max, 16),
            ("processes_max", self.processes_max, 2),
            ("replicas_max", self.replicas_max.into(), 1),
            ("crash_loop_after", self.crash_loop_after.into(), 1),
            ("sample_ms", self.sample_ms, 100),
            ("checkpoint_ms", self.checkpoint_ms, self.sample_ms),
        ];
        for (field, value, least) in bounds {
            if value < least {
                bad(field, &format!("is {value}; must be at least {least}"));
            }
        }
        if self.stop_grace_ms > 3_600_000 {
            bad("stop_grace_ms", "must be at most one hour");
        }
        for (index, image) in self.images.iter().enumerate() {
            if image.image.is_empty() {
                bad(&format!("images[{index}].image"), "must not be empty");
            }
            if image.command.first().is_none_or(String::is_empty) {
                bad(&format!("images[{index}].command"), "must name a program");
            }
        }
        found
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            state_dir: PathBuf::new(),
            images: vec![ImageCommand {
                image: DEMO_IMAGE.to_owned(),
                command: vec![SELF_PROGRAM.to_owned(), "demo-service".to_owned()],
                args: Vec::new(),
                env: BTreeMap::new(),
            }],
            // Not the path of the program: that one may be replaced by an upgrade while we run.
            supervisor: vec!["/proc/self/exe".to_owned(), "local-shim".to_owned()],
            capacity: None,
            bind_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            endpoint_host: None,
            ports: None,
            tenant_commands: false,
            stop_grace_ms: 10_000,
            startup_grace_ms: 500,
            restart_delay_ms: 1000,
            restart_delay_ms_max: 60_000,
            stable_after_ms: 60_000,
            crash_loop_after: 3,
            log_bytes_max: 8 << 20,
            open_files_max: 4096,
            processes_max: 1024,
            replicas_max: 32,
            sample_ms: 1000,
            checkpoint_ms: 5000,
            cgroup: CgroupMode::Auto,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_need_only_a_state_dir() {
        assert!(Config::new("/var/lib/virtengine/local").problems().is_empty());
        let fields: Vec<String> = Config::default()
            .problems()
            .into_iter()
            .map(|e| e.field)
            .collect();
        assert_eq!(fields, ["state_dir"]);
    }

    #[test]
    fn every_problem_is_named_at_once() {
        let config = Config {
            supervisor: Vec::new(),
            ports: Some(PortRange { first: 9, last: 1 }),
            sample_ms: 1,
            ..Config::default()
        };
        let fields: Vec<String> = config.problems().into_iter().map(|e| e.field).collect();
        assert_eq!(fields, ["state_dir", "supervisor", "ports", "sample_ms"]);
    }

    #[test]
    fn a_misspelt_setting_is_refused() {
        let text = r#"{"state_dir": "/x", "stop_grace": 5}"#;
        assert!(
            serde_json::from_str::<Config>(text)
                .unwrap_err()
                .to_string()
                .contains("stop_grace")
        );
    }
}
