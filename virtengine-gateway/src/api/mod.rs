//! What the faces ask of the daemon, and the shapes of the answers.
//!
//! [`OperatorApi`] and [`TenantApi`] are implemented by the daemon; the servers of this crate translate them to HTTP and the
//! clients translate back. The structs are what `--output json` of the command line prints.

mod doctor;
mod error;
mod log;
mod market;
mod operator;
mod status;
mod tenant;
mod usage;
mod workload;

pub use doctor::{ChainPing, CheckOutcome, DoctorCheck, DoctorReport, EndpointPing};
pub use error::{ApiError, ApiResult, ErrorBody, ErrorCode, ErrorDetail};
pub use log::{LogEntry, LogLevel, OperatorLogQuery};
pub use market::{BidOutcome, BidView, Decision, ExplainStep, Explanation, LeaseView, OrderView, PriceLine};
pub use operator::{OperatorApi, ShutdownReceipt};
pub use status::{
    AlertView, BidEngineStatus, CapacityView, ChainView, DaemonState, ProviderStatus, RateView,
};
pub use tenant::{
    LeaseStatus, LogStream, ManifestReceipt, ManifestState, ManifestStatus, PublicStatus, TenantApi,
};
pub use usage::{UsageKind, UsageMetrics, UsageQuery, UsageState, UsageView};
pub use workload::{WorkloadAction, WorkloadState, WorkloadView};
