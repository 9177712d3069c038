//! Where the money went, from the chain's own answers: what was there before, what came in, what it cost, what is there now.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, bail};
use prost::Message as _;
use virtengine_chain::event::AbciEvent;
use virtengine_chain::proto::virtengine::settlement::v1 as settlement;
use virtengine_chain::rpc::{Rpc, TxResult};
use virtengine_provider_core::id::Height;
use virtengine_provider_core::ports::chain::ChainQuery;

use super::round::Told;
use super::world::World;

/// The account before the rounds.
#[derive(Debug)]
pub(super) struct Before {
    balance: u128,
    height: Height,
}

impl Before {
    pub(super) async fn take(world: &World) -> anyhow::Result<Self> {
        let height = world.client().head().await?.height;
        Ok(Self {
            balance: balance(world).await?,
            height,
        })
    }
}

async fn balance(world: &World) -> anyhow::Result<u128> {
    let denom = &world.client().config().denom;
    Ok(world.client().balance(world.provider(), denom).await?.amount)
}

/// The money of the rounds, in base units.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(super) struct Audit {
    /// Before the rounds.
    pub(super) before: u128,
    /// Paid by the settlement module to us: Σ provider share of every settlement of our orders.
    pub(super) settlements: u128,
    /// Paid by the leases to us, after the chain's take: what the withdrawals and the closings moved.
    pub(super) leases: u128,
    /// Taken for bids, and given back.
    pub(super) deposits_out: u128,
    /// Given back.
    pub(super) deposits_back: u128,
    /// Fees of our transactions.
    pub(super) fees: u128,
    /// After the rounds.
    pub(super) after: u128,
    /// What the settlement module says it charged for usage, fees of the chain included.
    pub(super) usage_charged: u128,
}

impl Audit {
    pub(super) async fn make(world: &World, before: &Before, told: &[Told]) -> anyhow::Result<Self> {
        let rpc = rpc(world)?;
        // Nothing of ours may be under way any more: a block after the last settlement tells.
        let end = world.client().head().await?.height;
        let mut flows = Flows::default();
        let us = world.provider().as_str();
        for height in before.height.plus(1).0..=end.0 {
            let results = rpc.block_results(Height(height)).await?;
            results.txs_results.iter().for_each(|tx| flows.add(tx, us));
        }
        let (mut settlements, mut usage_charged) = (0, 0);
        for round in told {
            for record in settlements_of(&rpc, &round.lease.order.to_string()).await? {
                if record.provider == us {
                    settlements += sum(record.provider_share.iter().map(|coin| coin.amount.as_str()))?;
                    usage_charged += sum(record.total_amount.iter().map(|coin| coin.amount.as_str()))?;
                }
            }
        }
        Ok(Self {
            before: before.balance,
            settlements,
            leases: flows.leases,
            deposits_out: flows.deposits_out,
            deposits_back: flows.deposits_back,
            fees: flows.fees,
            after: balance_at(&rpc, world, end).await?,
            usage_charged,
        })
    }

    /// What must be there now.
    pub(super) const fn expected(&self) -> u128 {
        (self.before + self.settlements + self.leases + self.deposits_back) - self.deposits_out - self.fees
    }

    /// The books must close to the last coin, and each source of income must have given something.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if self.expected() != self.after {
            bail!(
                "step money: {} expected, {} there: {self:?}",
                self.expected(),
                self.after
            );
        }
        if self.settlements == 0 {
            bail!("step money: nothing came in from settlements: {self:?}");
        }
        if self.leases == 0 {
            bail!("step money: nothing came in from leases: {self:?}");
        }
        if self.deposits_out != self.deposits_back {
            bail!("step money: deposits are still out: {self:?}");
        }
        Ok(())
    }
}

/// What transactions moved.
#[derive(Debug, Default)]
struct Flows {
    leases: u128,
    deposits_out: u128,
    deposits_back: u128,
    fees: u128,
}

/// What a bid locks up; the chain's default (spec/chain.md B.4).
const BID_DEPOSIT: u128 = 500_000;

impl Flows {
    /// Fees are charged for failed transactions too; everything else moves only when a transaction succeeds.
    fn add(&mut self, tx: &TxResult, us: &str) {
        let events = |kind: &'static str| tx.events.iter().filter(move |event| event.kind == kind);
        let paid_by_us = events("tx").any(|event| attribute(event, "fee_payer") == Some(us));
        if paid_by_us {
            self.fees += events("tx")
                .filter_map(|event| attribute(event, "fee"))
                .map(amount)
                .sum::<u128>();
        }
        if tx.code != 0 {
            return;
        }
        let actions: BTreeSet<&str> = events("message")
            .filter_map(|event| attribute(event, "action"))
            .collect();
        let acts = |name: &str| actions.iter().any(|action| action.ends_with(name));
        let transfers = |role: &'static str| {
            let of_messages = events("transfer").filter(|event| attribute(event, "msg_index").is_some());
            of_messages
                .filter(move |event| attribute(event, role) == Some(us))
                .filter_map(|event| attribute(event, "amount"))
                .map(amount)
        };
        if acts(".MsgCreateBid") {
            self.deposits_out += transfers("sender").sum::<u128>();
        }
        if acts(".MsgWithdrawLease") {
            self.leases += transfers("recipient").sum::<u128>();
        }
        if acts(".MsgCloseDeployment") || acts(".MsgCloseBid") || acts(".MsgCloseLease") {
            for received in transfers("recipient") {
                if received == BID_DEPOSIT {
                    self.deposits_back += received;
                } else {
                    self.leases += received;
                }
            }
        }
    }
}

fn attribute<'a>(event: &'a AbciEvent, key: &str) -> Option<&'a str> {
    event
        .attributes
        .iter()
        .find(|attribute| attribute.key == key)
        .map(|attribute| attribute.value.as_str())
}

/// The digits of `1000uve`.
fn amount(coin: &str) -> u128 {
    let digits = coin.find(|c: char| !c.is_ascii_digit()).unwrap_or(coin.len());
    coin.get(..digits)
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

fn sum<'a>(amounts: impl Iterator<Item = &'a str>) -> anyhow::Result<u128> {
    let mut sum = 0;
    for amount in amounts {
        sum += amount
            .parse::<u128>()
            .with_context(|| format!("{amount:?} is not an amount"))?;
    }
    Ok(sum)
}

fn rpc(world: &World) -> anyhow::Result<Rpc> {
    let http = reqwest::Client::builder()
        .tls_backend_preconfigured(super::round::no_tls()?)
        .no_proxy()
        .build()?;
    Ok(Rpc::new(
        http,
        world.rpc_url().parse()?,
        Duration::from_secs(10),
        32 << 20,
    ))
}

async fn settlements_of(rpc: &Rpc, order_id: &str) -> anyhow::Result<Vec<settlement::SettlementRecord>> {
    let request = settlement::QuerySettlementsByOrderRequest {
        order_id: order_id.to_owned(),
    };
    let path = "/virtengine.settlement.v1.Query/SettlementsByOrder";
    let answer = rpc.abci_query(path, &request.encode_to_vec(), Height(0)).await?;
    Ok(settlement::QuerySettlementsByOrderResponse::decode(&answer.value[..])?.settlements)
}

/// The balance as of the block up to which the flows were added up.
async fn balance_at(rpc: &Rpc, world: &World, height: Height) -> anyhow::Result<u128> {
    use virtengine_chain::proto::cosmos::bank::v1beta1 as bank;
    let denom = world.client().config().denom.to_string();
    let request = bank::QueryBalanceRequest {
        address: world.provider().to_string(),
        denom,
    };
    let path = "/cosmos.bank.v1beta1.Query/Balance";
    let answer = rpc.abci_query(path, &request.encode_to_vec(), height).await?;
    let answer = bank::QueryBalanceResponse::decode(&answer.value[..])?;
    sum(answer.balance.iter().map(|coin| coin.amount.as_str()))
}
