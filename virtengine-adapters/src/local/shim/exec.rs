//! The last step before a program of a workload: this process takes its session, group and bounds, and becomes the program.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Resource, Rlimit, Signal, setrlimit, setsid};

use super::super::cgroup;

/// Bounds that the process takes before it becomes the program.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Bounds {
    /// Control group to join.
    pub(super) group: Option<PathBuf>,
    /// Open files.
    pub(super) files: u64,
    /// Largest file in bytes; 0 is no bound.
    pub(super) file_bytes: u64,
    /// Private memory of each process in bytes; 0 is no bound.
    pub(super) data_bytes: u64,
}

impl Bounds {
    /// As arguments of `exec`, before the program.
    pub(super) fn to_args(&self) -> Vec<String> {
        let group = self
            .group
            .as_deref()
            .map_or("", |path| path.to_str().unwrap_or(""));
        vec![
            "exec".to_owned(),
            group.to_owned(),
            self.files.to_string(),
            self.file_bytes.to_string(),
            self.data_bytes.to_string(),
            "--".to_owned(),
        ]
    }

    fn from_args(args: &mut impl Iterator<Item = String>) -> Option<Self> {
        let group = args.next()?;
        let bounds = Self {
            group: (!group.is_empty()).then(|| PathBuf::from(group)),
            files: args.next()?.parse().ok()?,
            file_bytes: args.next()?.parse().ok()?,
            data_bytes: args.next()?.parse().ok()?,
        };
        (args.next()? == "--").then_some(bounds)
    }

    fn take(&self) -> Result<(), String> {
        if let Some(group) = &self.group {
            cgroup::join(group).map_err(|error| format!("cannot join {}: {error}", group.display()))?;
        }
        let limits = [
            (Resource::Core, Some(0)),
            (Resource::Nofile, (self.files > 0).then_some(self.files)),
            (Resource::Fsize, (self.file_bytes > 0).then_some(self.file_bytes)),
            (Resource::Data, (self.data_bytes > 0).then_some(self.data_bytes)),
        ];
        for (resource, limit) in limits {
            if limit.is_some() {
                let both = Rlimit {
                    current: limit,
                    maximum: limit,
                };
                setrlimit(resource, both).map_err(|error| format!("cannot bound {resource:?}: {error}"))?;
            }
        }
        Ok(())
    }
}

/// Becomes the program named in `args`; returns only when that fails, with the reason.
pub(super) fn become_program(mut args: impl Iterator<Item = String>) -> String {
    let Some(bounds) = Bounds::from_args(&mut args) else {
        return "exec: the arguments are not ours".to_owned();
    };
    let Some(program) = args.next() else {
        return "exec: the program is missing".to_owned();
    };
    // Fails only when this is a session leader already, which it then is.
    let _ = setsid();
    // When the supervisor dies, so do we: nothing runs unwatched.
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(Signal::KILL)) {
        return format!("cannot bind the program's life to the supervisor's: {error}");
    }
    if let Err(message) = bounds.take() {
        return message;
    }
    let error = Command::new(Path::new(&program)).args(args).exec();
    format!("cannot run {program}: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_survive_the_command_line() {
        let bounds = Bounds {
            group: Some(PathBuf::from("/g/w/web.0")),
            files: 9,
            file_bytes: 0,
            data_bytes: 7,
        };
        for bounds in [bounds, Bounds::default()] {
            let mut args = bounds.to_args().into_iter().skip(1);
            assert_eq!(Bounds::from_args(&mut args), Some(bounds));
        }
    }
}
