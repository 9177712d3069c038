//! What a kubelet answers.

use serde::Deserialize;

/// The part of `stats/summary` that counts.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Summary {
    #[serde(default)]
    pub(super) pods: Vec<PodStats>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodStats {
    pub(super) pod_ref: PodRef,
    #[serde(default)]
    pub(super) cpu: Option<Cpu>,
    #[serde(default)]
    pub(super) memory: Option<Memory>,
    #[serde(default)]
    pub(super) network: Option<Network>,
    #[serde(default, rename = "ephemeral-storage")]
    pub(super) ephemeral: Option<Storage>,
    #[serde(default)]
    pub(super) containers: Vec<ContainerStats>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct PodRef {
    pub(super) namespace: String,
    pub(super) uid: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContainerStats {
    pub(super) name: String,
    #[serde(default)]
    pub(super) start_time: String,
    #[serde(default)]
    pub(super) cpu: Option<Cpu>,
    #[serde(default)]
    pub(super) memory: Option<Memory>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cpu {
    #[serde(default)]
    pub(super) usage_core_nano_seconds: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Memory {
    #[serde(default)]
    pub(super) working_set_bytes: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Network {
    #[serde(default)]
    pub(super) rx_bytes: Option<u64>,
    #[serde(default)]
    pub(super) tx_bytes: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Storage {
    #[serde(default)]
    pub(super) used_bytes: Option<u64>,
}
