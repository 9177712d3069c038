use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use serde::Serialize;
use virtengine_provider_core::document::{Code, Cursor, Problems};

use crate::config::section::{ITEMS_MAX, Section};

/// Processes of this host (DESIGN 4.28): for development, without isolation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Local {
    /// Whether it is used.
    pub enabled: bool,
    /// Which command runs for which image; the first match counts. Empty: only the demo service that ships with the daemon.
    pub images: Vec<ImageCommand>,
    /// Address on which exposed ports listen.
    pub bind_address: IpAddr,
    /// Host name or address that tenants are told; `None`: the bind address.
    pub endpoint_host: Option<String>,
    /// Ports to choose from; `None`: whatever is free.
    pub ports: Option<PortRange>,
    /// Whether a manifest may bring its own command. A tenant who may is the user of this process.
    pub tenant_commands: bool,
    /// Replicas of one workload.
    pub replicas_max: u32,
}

/// The command that stands for an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageCommand {
    /// Image name; `*` stands for any text.
    pub image: String,
    /// Program and its fixed arguments.
    pub command: Vec<String>,
    /// Arguments that a manifest may replace.
    pub args: Vec<String>,
    /// Environment; the manifest's wins.
    pub env: BTreeMap<String, String>,
}

/// An inclusive range of ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PortRange {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

impl Local {
    pub(in crate::config) const KEYS: &[&str] = &[
        "enabled",
        "images",
        "bind_address",
        "endpoint_host",
        "ports",
        "tenant_commands",
        "replicas_max",
    ];

    pub(super) fn read(at: Cursor<'_, '_>, problems: &mut Problems) -> Self {
        let mut section = Section::open(Some(at), "", Self::KEYS, problems);
        Self {
            enabled: section.enabled(),
            images: section.list("images", ImageCommand::read),
            bind_address: section
                .with("bind_address", ip)
                .unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            endpoint_host: section.text("endpoint_host"),
            ports: section.with("ports", PortRange::read),
            tenant_commands: section.boolean("tenant_commands", false),
            replicas_max: section.integer("replicas_max", 32, 1..=1000),
        }
    }
}

fn ip(at: Cursor<'_, '_>, problems: &mut Problems) -> Option<IpAddr> {
    let scalar = at.scalar(problems)?;
    let parsed = scalar.text.parse().ok();
    if parsed.is_none() {
        let message = format!("{} is not an IP address", scalar.shown());
        problems.error_hint(Code::InvalidValue, at, message, "for example 127.0.0.1");
    }
    parsed
}

impl ImageCommand {
    pub(in crate::config) const KEYS: &[&str] = &["image", "command", "args", "env"];

    fn read(at: Cursor<'_, '_>, problems: &mut Problems) -> Option<Self> {
        let mut section = Section::open(Some(at), "", Self::KEYS, problems);
        section.require_when(true, &["image", "command"]);
        let (image, command) = (section.text("image"), section.texts("command"));
        if section.has("command") && command.is_empty() {
            section.error(Code::RequiredField, "command", "must name a program", "");
        }
        Some(Self {
            command,
            args: section.list("args", |at, problems| at.text(problems).map(str::to_owned)),
            env: section.with("env", env).unwrap_or_default(),
            image: image?,
        })
    }
}

fn env(at: Cursor<'_, '_>, problems: &mut Problems) -> Option<BTreeMap<String, String>> {
    let fields = at.map(problems)?;
    if fields.len() > ITEMS_MAX {
        problems.error(Code::MaxExceeded, at, format!("more than {ITEMS_MAX} variables"));
    }
    let pairs = fields.iter().take(ITEMS_MAX).filter_map(|(name, _, value)| {
        let text = value.text(problems)?;
        Some((name.to_owned(), text.to_owned()))
    });
    Some(pairs.collect())
}

impl PortRange {
    pub(in crate::config) const KEYS: &[&str] = &["first", "last"];

    fn read(at: Cursor<'_, '_>, problems: &mut Problems) -> Option<Self> {
        let mut section = Section::open(Some(at), "", Self::KEYS, problems);
        section.require_when(true, Self::KEYS);
        let mut port = |key| section.with(key, |at, problems| at.port(problems));
        let (first, last) = (port("first")?, port("last")?);
        if first > last {
            section.error(Code::Conflict, "last", "must not be below first", "");
        }
        Some(Self { first, last })
    }
}
