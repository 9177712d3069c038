//! The questions of [`ChainQuery`], each as `abci_query` (spec/chain.md A.4). Lists are complete and of one height. An item of
//! a list that cannot be read is left out with a warning: one odd order must not hide all the others.

use std::collections::BTreeMap;

use async_trait::async_trait;
use virtengine_provider_core::id::{Address, BidId, DeploymentId, LeaseId, OrderId};
use virtengine_provider_core::market::{Bid, Deployment, Lease, Order, SettlementEscrow};
use virtengine_provider_core::money::{Coin, Denom};
use virtengine_provider_core::ports::chain::{ChainError, ChainQuery, Head, ProviderRecord, UsageOnChain};

use crate::client::{ChainClient, malformed};
use crate::proto::cosmos::bank::v1beta1 as bank;
use crate::proto::virtengine::deployment::v1beta4 as deployment;
use crate::proto::virtengine::market::{v1, v1beta5 as market};
use crate::proto::virtengine::provider::v1beta4 as provider;
use crate::proto::virtengine::settlement::v1 as settlement;
use crate::wire::{self, readable};

impl ChainClient {
    async fn bids(&self, filters: market::BidFilters) -> Result<Vec<Bid>, ChainError> {
        let request = |pagination| market::QueryBidsRequest {
            filters: Some(filters.clone()),
            pagination: Some(pagination),
        };
        let items = |page: market::QueryBidsResponse| (page.bids, page.pagination);
        let found = self
            .list("/virtengine.market.v1beta5.Query/Bids", request, items)
            .await?;
        Ok(readable("bid", &found, |item| wire::bid(item.bid.as_ref())))
    }
}

#[async_trait]
impl ChainQuery for ChainClient {
    async fn head(&self) -> Result<Head, ChainError> {
        self.newest().await
    }

    async fn open_orders(&self) -> Result<Vec<Order>, ChainError> {
        let request = |pagination| market::QueryOrdersRequest {
            filters: Some(market::OrderFilters {
                state: "open".to_owned(),
                ..market::OrderFilters::default()
            }),
            pagination: Some(pagination),
        };
        let items = |page: market::QueryOrdersResponse| (page.orders, page.pagination);
        let found = self
            .list("/virtengine.market.v1beta5.Query/Orders", request, items)
            .await?;
        Ok(readable("order", &found, |item| wire::order(Some(item))))
    }

    async fn order(&self, id: &OrderId) -> Result<Order, ChainError> {
        let request = market::QueryOrderRequest {
            id: Some(wire::order_id_to_wire(id)),
        };
        let answer: market::QueryOrderResponse = self
            .ask("/virtengine.market.v1beta5.Query/Order", &request)
            .await?;
        let order = wire::order(answer.order.as_ref()).map_err(|error| malformed(&error))?;
        same(&order.id, id)?;
        Ok(order)
    }

    async fn bids_of(&self, provider: &Address) -> Result<Vec<Bid>, ChainError> {
        let mut bids = self
            .bids(market::BidFilters {
                provider: provider.to_string(),
                ..market::BidFilters::default()
            })
            .await?;
        bids.retain(|bid| bid.id.provider == *provider);
        Ok(bids)
    }

    async fn bid(&self, id: &BidId) -> Result<Bid, ChainError> {
        let request = market::QueryBidRequest {
            id: Some(wire::bid_id_to_wire(id)),
        };
        let answer: market::QueryBidResponse =
            self.ask("/virtengine.market.v1beta5.Query/Bid", &request).await?;
        let bid = wire::bid(answer.bid.as_ref()).map_err(|error| malformed(&error))?;
        same(&bid.id, id)?;
        Ok(bid)
    }

    async fn bids_on(&self, order: &OrderId) -> Result<Vec<Bid>, ChainError> {
        let mut bids = self
            .bids(market::BidFilters {
                owner: order.owner().to_string(),
                dseq: order.deployment().dseq,
                gseq: order.group.gseq,
                oseq: order.oseq,
                ..market::BidFilters::default()
            })
            .await?;
        bids.retain(|bid| bid.id.order == *order);
        Ok(bids)
    }

    async fn leases_of(&self, provider: &Address) -> Result<Vec<Lease>, ChainError> {
        let request = |pagination| market::QueryLeasesRequest {
            filters: Some(v1::LeaseFilters {
                provider: provider.to_string(),
                state: "active".to_owned(),
                ..v1::LeaseFilters::default()
            }),
            pagination: Some(pagination),
        };
        let items = |page: market::QueryLeasesResponse| (page.leases, page.pagination);
        let found = self
            .list("/virtengine.market.v1beta5.Query/Leases", request, items)
            .await?;
        let mut leases = readable("lease", &found, |item| wire::lease(item.lease.as_ref()));
        leases.retain(|lease| lease.id.provider == *provider);
        Ok(leases)
    }

    async fn lease(&self, id: &LeaseId) -> Result<Lease, ChainError> {
        let request = market::QueryLeaseRequest {
            id: Some(wire::lease_id_to_wire(id)),
        };
        let answer: market::QueryLeaseResponse = self
            .ask("/virtengine.market.v1beta5.Query/Lease", &request)
            .await?;
        let lease = wire::lease(answer.lease.as_ref()).map_err(|error| malformed(&error))?;
        same(&lease.id, id)?;
        Ok(lease)
    }

    async fn deployment(&self, id: &DeploymentId) -> Result<Deployment, ChainError> {
        let request = deployment::QueryDeploymentRequest {
            id: Some(wire::deployment_id_to_wire(id)),
        };
        let answer: deployment::QueryDeploymentResponse = self
            .ask("/virtengine.deployment.v1beta4.Query/Deployment", &request)
            .await?;
        let deployment = wire::deployment(&answer).map_err(|error| malformed(&error))?;
        same(&deployment.id, id)?;
        Ok(deployment)
    }

    async fn escrows_of(&self, order_id: &str) -> Result<Vec<SettlementEscrow>, ChainError> {
        let request = settlement::QueryEscrowsByOrderRequest {
            order_id: order_id.to_owned(),
        };
        let answer: Result<settlement::QueryEscrowsByOrderResponse, _> = self
            .ask("/virtengine.settlement.v1.Query/EscrowsByOrder", &request)
            .await;
        match answer {
            Ok(answer) => Ok(readable("escrow", &answer.escrows, wire::escrow)),
            Err(ChainError::NotFound(_)) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn usage_of(&self, order_id: &str) -> Result<Vec<UsageOnChain>, ChainError> {
        let request = settlement::QueryUsageRecordsByOrderRequest {
            order_id: order_id.to_owned(),
        };
        let answer: Result<settlement::QueryUsageRecordsByOrderResponse, _> = self
            .ask("/virtengine.settlement.v1.Query/UsageRecordsByOrder", &request)
            .await;
        let records = match answer {
            Ok(answer) => readable("usage record", &answer.usage_records, wire::usage),
            Err(ChainError::NotFound(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        // The chain lists a record once per time that it was saved (spec/chain-node.md 2.4).
        let mut seen = BTreeMap::new();
        for (position, record) in records.into_iter().enumerate() {
            seen.entry(record.id.clone()).or_insert((position, record));
        }
        let mut unique: Vec<_> = seen.into_values().collect();
        unique.sort_by_key(|(position, _)| *position);
        Ok(unique.into_iter().map(|(_, record)| record).collect())
    }

    async fn provider(&self, owner: &Address) -> Result<Option<ProviderRecord>, ChainError> {
        let request = provider::QueryProviderRequest {
            owner: owner.to_string(),
        };
        let answer: Result<provider::QueryProviderResponse, _> = self
            .ask("/virtengine.provider.v1beta4.Query/Provider", &request)
            .await;
        match answer {
            Ok(answer) => {
                let record = wire::provider(answer.provider.as_ref()).map_err(|error| malformed(&error))?;
                Ok(Some(record))
            }
            Err(ChainError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn balance(&self, account: &Address, denom: &Denom) -> Result<Coin, ChainError> {
        let request = bank::QueryBalanceRequest {
            address: account.to_string(),
            denom: denom.to_string(),
        };
        let answer: bank::QueryBalanceResponse =
            self.ask("/cosmos.bank.v1beta1.Query/Balance", &request).await?;
        wire::coin("balance", answer.balance.as_ref()).map_err(|error| malformed(&error))
    }

    async fn bid_params(&self) -> Result<(Coin, u32), ChainError> {
        let answer: market::QueryParamsResponse = self
            .ask(
                "/virtengine.market.v1beta5.Query/Params",
                &market::QueryParamsRequest {},
            )
            .await?;
        wire::bid_params(answer.params.as_ref()).map_err(|error| malformed(&error))
    }
}

fn same<T: PartialEq + std::fmt::Display>(got: &T, asked: &T) -> Result<(), ChainError> {
    if got == asked {
        return Ok(());
    }
    Err(ChainError::Malformed(format!("asked for {asked}, got {got}")))
}
