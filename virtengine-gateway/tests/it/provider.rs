//! A provider that serves one lease of Alice and one of Bob.

use std::sync::Mutex;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use k256::ecdsa::signature::Signer as _;
use k256::ecdsa::{Signature, SigningKey};
use virtengine_gateway::api::{
    ApiError, ApiResult, CapacityView, ErrorCode, LeaseStatus, LogStream, ManifestReceipt, ManifestState,
    ManifestStatus, PublicStatus, TenantApi, WorkloadState,
};
use virtengine_gateway::tenant::account_address;
use virtengine_provider_core::id::{Address, DeploymentId, LeaseId};
use virtengine_provider_core::money::Price;
use virtengine_provider_core::ports::adapter::{LogLine, LogQuery};
use virtengine_provider_core::ports::signer::{Algorithm, PublicKey, SignError, Signer};

pub(crate) const CHAIN: &str = "virtengine-test-1";

/// An account key.
#[derive(Debug, Clone)]
pub(crate) struct Account(pub(crate) SigningKey);

impl Account {
    pub(crate) fn new(seed: u8) -> Self {
        Self(SigningKey::from_slice(&[seed; 32]).unwrap())
    }

    pub(crate) fn address(&self) -> Address {
        account_address("ve", &self.public_key().bytes).unwrap()
    }
}

#[async_trait]
impl Signer for Account {
    fn public_key(&self) -> PublicKey {
        PublicKey {
            algorithm: Algorithm::Secp256k1,
            bytes: self.0.verifying_key().to_sec1_point(true).as_bytes().to_vec(),
        }
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let signature: Signature = self.0.sign(message);
        Ok(signature.to_bytes().to_vec())
    }
}

pub(crate) fn alice() -> Account {
    Account::new(1)
}

pub(crate) fn bob() -> Account {
    Account::new(2)
}

pub(crate) fn provider() -> Address {
    Account::new(9).address()
}

pub(crate) fn price(amount: &str) -> Price {
    Price::new("uve".parse().unwrap(), amount.parse().unwrap())
}

/// Alice has deployment 7, Bob has 8. Alice's workload has printed `lines` lines.
#[derive(Debug, Default)]
pub(crate) struct Shop {
    pub(crate) manifests: Mutex<Vec<(DeploymentId, String)>>,
    pub(crate) lines: u64,
    pub(crate) line_bytes: usize,
    pub(crate) hang: bool,
}

impl Shop {
    fn lease(&self, id: &LeaseId) -> ApiResult<()> {
        if (id.order.group.gseq, id.order.oseq) == (1, 1) {
            return Ok(());
        }
        Err(ApiError::not_found(format!("lease: {id}")))
    }
}

#[async_trait]
impl TenantApi for Shop {
    async fn public_status(&self) -> ApiResult<PublicStatus> {
        if self.hang {
            std::future::pending::<()>().await;
        }
        Ok(PublicStatus {
            provider: provider(),
            chain_id: CHAIN.to_owned(),
            version: "1".to_owned(),
            bidding: true,
            active_leases: 2,
            capacity: CapacityView::default(),
            attributes: Vec::new(),
        })
    }

    async fn owners(&self, dseq: u64) -> ApiResult<Vec<Address>> {
        Ok(match dseq {
            7 => vec![alice().address()],
            8 => vec![bob().address()],
            _ => Vec::new(),
        })
    }

    async fn put_manifest(&self, deployment: &DeploymentId, manifest: &str) -> ApiResult<ManifestReceipt> {
        if manifest.starts_with("panic") {
            panic!("as asked");
        }
        if manifest.starts_with("bad") {
            return Err(ApiError::new(
                ErrorCode::InvalidRequest,
                "the manifest has 1 problem",
                "",
            ));
        }
        let mut manifests = self.manifests.lock().unwrap();
        manifests.push((deployment.clone(), manifest.to_owned()));
        Ok(ManifestReceipt {
            deployment: deployment.clone(),
            hash: "00".to_owned(),
            unchanged: manifests.len() > 1,
            leases: Vec::new(),
        })
    }

    async fn manifest_status(&self, deployment: &DeploymentId) -> ApiResult<ManifestStatus> {
        Ok(ManifestStatus {
            deployment: deployment.clone(),
            state: ManifestState::Awaited,
            announced_hash: "00".to_owned(),
            accepted_at: None,
            deadline: None,
        })
    }

    async fn lease_status(&self, lease: &LeaseId) -> ApiResult<LeaseStatus> {
        self.lease(lease)?;
        Ok(LeaseStatus {
            lease: lease.clone(),
            lease_state: "active".to_owned(),
            price: price("1"),
            manifest: ManifestState::Accepted,
            state: Some(WorkloadState::Running),
            message: String::new(),
            services: Vec::new(),
            endpoints: Vec::new(),
            observed_at: None,
        })
    }

    async fn lease_logs(&self, lease: &LeaseId, query: &LogQuery, follow: bool) -> ApiResult<LogStream> {
        self.lease(lease)?;
        let text = format!("red\u{1b}[31m {}", "x".repeat(self.line_bytes));
        let first = query.after.map_or(1, |after| after + 1);
        let lines = (first..=self.lines).map(move |position| {
            Ok(LogLine {
                service: "web".to_owned(),
                replica: 0,
                position,
                text: text.clone(),
            })
        });
        let lines = futures_util::stream::iter(lines.collect::<Vec<_>>());
        if follow {
            return Ok(lines.chain(futures_util::stream::pending()).boxed());
        }
        Ok(lines.boxed())
    }
}
