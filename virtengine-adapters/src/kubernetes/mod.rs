//! Workloads in a Kubernetes cluster: a namespace for each, and in it everything that the workload is made of and bounded by.
//!
//! | Of a workload | In the cluster |
//! |---|---|
//! | the workload | Namespace `{prefix}{id}`; its annotations say what is wanted of it, so that nothing is kept here |
//! | a service | Deployment; StatefulSet when it has persistent volumes, with a claim per replica |
//! | environment, registry credentials | Secrets |
//! | exposed ports | Service; for anybody: NodePort or LoadBalancer, or Ingress for HTTP ([`Config::ingress`]) |
//! | bounds | ResourceQuota of exactly what was bought, LimitRange, ephemeral-storage limits |
//! | who reaches whom | one NetworkPolicy per direction: only what is exposed; not the nodes, the API or the metadata service |
//!
//! Everything is applied on the server with force by the field manager `virtengine`: the adapter owns its objects. A namespace
//! that is not labelled as this owner's is never touched.
//!
//! Pause and stop scale to nothing and return when the pods have ended. Persistent volumes are kept; scratch space is not. A stop
//! also gives load balancers back. Terminate returns when the namespace and its volumes are gone.
//!
//! # What the operator's account must be allowed to do
//! In every namespace: everything with `deployments`, `statefulsets` (apps), `services`, `secrets`, `configmaps`, `serviceaccounts`,
//! `resourcequotas`, `limitranges`, `networkpolicies`, `ingresses` (networking.k8s.io); `get`, `list`, `watch` `pods`,
//! `persistentvolumeclaims`, `events`; `get` `pods/log`. In the cluster: everything with `namespaces`; `get`, `list`, `watch` `nodes`;
//! `get` `nodes/proxy`; `list` `persistentvolumes` and `csistoragecapacities`.
//!
//! # What is not done
//! Restart policies other than `always`, leased addresses, virtual machines, commands inside a container, growing a volume that
//! exists. Network policies take about a second until they bite, so a pod's first second is not isolated; that is so in every
//! cluster. What counts as usage, and what is lost, is said in [`Config::sample_every`] and by the kubelet: looks every 10 to 17
//! seconds, none after a pod has ended.

mod adapter;
mod check;
mod client;
mod config;
mod deploy;
mod error;
#[cfg(feature = "conformance")]
mod fixture;
mod inventory;
mod judge;
mod logs;
mod metering;
mod name;
mod observe;
mod quantity;
mod render;
mod teardown;
mod watch;

pub use adapter::KubernetesAdapter;
pub use config::{Config, ConfigError, IngressConfig, Publish};
#[cfg(feature = "conformance")]
pub use fixture::KubernetesFixture;
