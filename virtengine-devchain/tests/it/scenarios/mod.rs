//! Each scenario is one function over a [`Stage`]. It runs on this crate's chain; and when `VE_TEST_CHAIN_RPC` names the real test
//! peer, it runs there too, and what was seen on both must be the same, step by step.

mod authorisation;
mod deployments;
mod gates;
mod leases;
mod market;
mod settlements;
mod transactions;

use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use virtengine_devchain::{Config, Devchain};

use crate::messages::*;
use crate::stage::{Seen, Stage};
use crate::wallet::Wallet;

/// The people of the localnet.
pub struct Cast {
    pub alice: Wallet,
    pub bob: Wallet,
    pub charlie: Wallet,
    pub operator: Wallet,
    pub validator: Wallet,
}

impl Cast {
    pub fn new() -> Self {
        Self {
            alice: Wallet::named("alice"),
            bob: Wallet::named("bob"),
            charlie: Wallet::named("charlie"),
            operator: Wallet::named("operator"),
            validator: Wallet::named("validator"),
        }
    }
}

impl Stage {
    /// A deployment of alice with one group at 30 uve per block; the id of bob's bid on its first order.
    pub async fn order(&self, cast: &Cast) -> mv1::BidId {
        self.order_at(cast, 30, 5_000_000).await
    }

    pub async fn order_at(&self, cast: &Cast, per_block: u64, deposit: u64) -> mv1::BidId {
        let (alice, dseq) = (&cast.alice, self.number());
        let groups = vec![group("global", per_block, "uve", &[])];
        let message = create_deployment(&alice.address, dseq, groups, deposit);
        self.act(alice, vec![any(&message)]).await.succeeded();
        bid_id(&alice.address, dseq, 1, 1, &cast.bob.address)
    }

    pub async fn bid(&self, wallet: &Wallet, id: &mv1::BidId, per_block: u64) -> Seen {
        let id = mv1::BidId {
            provider: wallet.address.clone(),
            ..id.clone()
        };
        self.act(wallet, vec![any(&create_bid(&id, per_block))]).await
    }

    /// An order with bob's lease at `per_block`; the height of the lease.
    pub async fn lease_at(&self, cast: &Cast, per_block: u64, deposit: u64) -> (mv1::BidId, u64) {
        let id = self.order_at(cast, per_block.max(30), deposit).await;
        self.bid(&cast.bob, &id, per_block).await.succeeded();
        let seen = self
            .act(&cast.alice, vec![any(&create_lease(&id))])
            .await
            .succeeded();
        (id, seen.height)
    }

    pub async fn bid_state(&self, id: &mv1::BidId, provider: &Wallet) -> mv5::bid::State {
        let request = mv5::QueryBidRequest {
            id: Some(mv1::BidId {
                provider: provider.address.clone(),
                ..id.clone()
            }),
        };
        let answer: mv5::QueryBidResponse = self
            .query("/virtengine.market.v1beta5.Query/Bid", &request)
            .await
            .unwrap();
        answer.bid.unwrap().state()
    }

    pub async fn lease(&self, id: &mv1::BidId) -> mv5::QueryLeaseResponse {
        let request = mv5::QueryLeaseRequest {
            id: Some(lease_id(id)),
        };
        self.query("/virtengine.market.v1beta5.Query/Lease", &request)
            .await
            .unwrap()
    }

    pub async fn orders_of(&self, owner: &str, dseq: u64) -> Vec<(u32, u32, mv5::order::State)> {
        let request = mv5::QueryOrdersRequest {
            filters: Some(mv5::OrderFilters {
                owner: owner.to_owned(),
                dseq,
                ..Default::default()
            }),
            pagination: None,
        };
        let answer: mv5::QueryOrdersResponse = self
            .query("/virtengine.market.v1beta5.Query/Orders", &request)
            .await
            .unwrap();
        answer
            .orders
            .iter()
            .map(|o| {
                let id = o.id.clone().unwrap();
                (id.gseq, id.oseq, o.state())
            })
            .collect()
    }

    pub async fn deployment(&self, owner: &str, dseq: u64) -> dv4::QueryDeploymentResponse {
        let request = dv4::QueryDeploymentRequest {
            id: Some(deployment_id(owner, dseq)),
        };
        self.query("/virtengine.deployment.v1beta4.Query/Deployment", &request)
            .await
            .unwrap()
    }
}

/// The peer is one chain: scenarios take turns on it.
static PEER: Mutex<()> = Mutex::const_new(());

/// Starts this crate's chain.
pub async fn devchain() -> Devchain {
    Devchain::start(Config::every(Duration::from_millis(60)))
        .await
        .unwrap()
}

/// A turn on the peer: nobody else in this process, and no other run of these tests, uses its accounts meanwhile.
pub struct Turn {
    _in_process: MutexGuard<'static, ()>,
    _on_machine: std::fs::File,
}

/// The peer, if it is up. Continuous integration must have it.
pub async fn peer() -> Option<(String, Turn)> {
    match std::env::var("VE_TEST_CHAIN_RPC") {
        Ok(url) => {
            let in_process = PEER.lock().await;
            let name = format!("test-chain-{}.lock", url.rsplit(':').next().unwrap_or_default());
            let file = std::fs::File::create(std::env::temp_dir().join(name)).unwrap();
            let on_machine = tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await;
            let turn = Turn {
                _in_process: in_process,
                _on_machine: on_machine.unwrap().unwrap(),
            };
            Some((url, turn))
        }
        Err(_) => {
            assert!(
                std::env::var_os("CI").is_none(),
                "VE_TEST_CHAIN_RPC is not set: start the peer with peers/chain/up.sh"
            );
            eprintln!("skipped: chain peer not running (peers/chain/up.sh, VE_TEST_CHAIN_RPC)");
            None
        }
    }
}

macro_rules! scenarios {
    ($($name:ident),* $(,)?) => {
        mod on_devchain {
            $(#[tokio::test]
            async fn $name() {
                let chain = crate::scenarios::devchain().await;
                let stage = crate::stage::Stage::new(&chain.rpc_url(), 2_000_000);
                super::$name(&stage, &crate::scenarios::Cast::new()).await;
            })*
        }
        mod on_peer {
            $(#[tokio::test]
            async fn $name() {
                let Some((url, _turn)) = crate::scenarios::peer().await else { return };
                let cast = crate::scenarios::Cast::new();
                let first = crate::stage::Stage::first_number();
                let real = crate::stage::Stage::new(&url, first);
                super::$name(&real, &cast).await;
                let chain = crate::scenarios::devchain().await;
                let ours = crate::stage::Stage::new(&chain.rpc_url(), first);
                super::$name(&ours, &cast).await;
                for (step, (real, ours)) in real.trace().iter().zip(&ours.trace()).enumerate() {
                    assert_eq!(real, ours, "step {step}: left is the real peer");
                }
                assert_eq!(real.trace().len(), ours.trace().len());
            })*
        }
    };
}
pub(crate) use scenarios;
