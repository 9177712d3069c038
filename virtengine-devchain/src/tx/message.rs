//! Every message that the chain takes: how it is decoded, who must sign it, what is checked without state, and which rule runs it.

use prost::{Message as _, Name as _};
use prost_types::Any;

use crate::rules::{
    authz, bank, deployment, escrow, feegrant, market, resources, settlement, stateless, usage,
};
use crate::state::context::Context;
use crate::state::failure::Failure;
use crate::wire::{authz as pb_authz, bank as pb_bank, dv4, ev1, feegrant as pb_feegrant, mv5, rv1, sv1};

macro_rules! messages {
    ($($name:ident: $type:ty, signer |$m:ident| $signer:expr, basic $basic:expr, run $run:expr;)*) => {
        /// A decoded message.
        #[derive(Debug, Clone, PartialEq)]
        #[allow(clippy::large_enum_variant, reason = "messages are few and short-lived")]
        pub(crate) enum Msg {
            $($name($type),)*
        }

        impl Msg {
            /// Decodes the value of an `Any`. `None`: the chain does not know the type.
            pub(crate) fn decode(any: &Any) -> Option<Result<Self, prost::DecodeError>> {
                $(if any.type_url == <$type>::type_url() {
                    return Some(<$type>::decode(any.value.as_slice()).map(Self::$name));
                })*
                None
            }

            pub(crate) fn type_url(&self) -> String {
                match self {
                    $(Self::$name(_) => <$type>::type_url(),)*
                }
            }

            /// The address that must sign.
            pub(crate) fn signer(&self) -> String {
                match self {
                    $(Self::$name($m) => $signer,)*
                }
            }

            /// The checks that need no state.
            pub(crate) fn check(&self) -> Result<(), Failure> {
                match self {
                    $(Self::$name(m) => ($basic)(m),)*
                }
            }

            /// Runs the rule and answers the response.
            pub(crate) fn run(&self, ctx: &mut Context<'_>) -> Result<Any, Failure> {
                match self {
                    $(Self::$name(m) => respond(($run)(ctx, m)?),)*
                }
            }
        }
    };
}

#[allow(clippy::unnecessary_wraps, reason = "keeps the arms of the table uniform")]
fn respond<M: prost::Message + prost::Name>(response: M) -> Result<Any, Failure> {
    Ok(Any {
        type_url: M::type_url(),
        value: response.encode_to_vec(),
    })
}

#[allow(clippy::unnecessary_wraps, reason = "has the signature of a check")]
const fn nothing<M>(_: &M) -> Result<(), Failure> {
    Ok(())
}

macro_rules! id_field {
    ($m:ident, $id:ident, $who:ident) => {
        $m.$id.as_ref().map(|id| id.$who.clone()).unwrap_or_default()
    };
}

messages! {
    CreateBid: mv5::MsgCreateBid, signer |m| id_field!(m, id, provider),
        basic stateless::create_bid, run market::create_bid;
    CloseBid: mv5::MsgCloseBid, signer |m| id_field!(m, id, provider),
        basic stateless::close_bid, run market::close_bid;
    WithdrawLease: mv5::MsgWithdrawLease, signer |m| id_field!(m, id, provider),
        basic |m: &mv5::MsgWithdrawLease| stateless::lease_id(m.id.as_ref()), run market::withdraw_lease;
    CreateLease: mv5::MsgCreateLease, signer |m| id_field!(m, bid_id, owner),
        basic |m: &mv5::MsgCreateLease| stateless::bid_id(&m.bid_id.clone().unwrap_or_default()), run market::create_lease;
    CloseLease: mv5::MsgCloseLease, signer |m| id_field!(m, id, owner),
        basic |m: &mv5::MsgCloseLease| stateless::lease_id(m.id.as_ref()), run market::close_lease;
    CreateDeployment: dv4::MsgCreateDeployment, signer |m| id_field!(m, id, owner),
        basic stateless::create_deployment, run deployment::create;
    UpdateDeployment: dv4::MsgUpdateDeployment, signer |m| id_field!(m, id, owner),
        basic stateless::update_deployment, run deployment::update;
    CloseDeployment: dv4::MsgCloseDeployment, signer |m| id_field!(m, id, owner),
        basic nothing, run deployment::close;
    CloseGroup: dv4::MsgCloseGroup, signer |m| id_field!(m, id, owner), basic nothing, run deployment::close_group;
    PauseGroup: dv4::MsgPauseGroup, signer |m| id_field!(m, id, owner), basic nothing, run deployment::pause_group;
    StartGroup: dv4::MsgStartGroup, signer |m| id_field!(m, id, owner), basic nothing, run deployment::start_group;
    AccountDeposit: ev1::MsgAccountDeposit, signer |m| m.signer.clone(), basic nothing, run escrow::deposit_more;
    CreateEscrow: sv1::MsgCreateEscrow, signer |m| m.sender.clone(),
        basic stateless::create_escrow, run settlement::create;
    ActivateEscrow: sv1::MsgActivateEscrow, signer |m| m.sender.clone(),
        basic stateless::activate_escrow, run settlement::activate;
    RefundEscrow: sv1::MsgRefundEscrow, signer |m| m.sender.clone(),
        basic stateless::refund_escrow, run settlement::refund;
    SettleOrder: sv1::MsgSettleOrder, signer |m| m.sender.clone(),
        basic stateless::settle_order, run settlement::settle_order;
    RecordUsage: sv1::MsgRecordUsage, signer |m| m.sender.clone(), basic stateless::record_usage, run usage::record;
    AcknowledgeUsage: sv1::MsgAcknowledgeUsage, signer |m| m.sender.clone(),
        basic stateless::acknowledge_usage, run usage::acknowledge;
    Heartbeat: rv1::MsgProviderHeartbeat, signer |m| m.provider_address.clone(),
        basic nothing, run resources::heartbeat;
    Send: pb_bank::MsgSend, signer |m| m.from_address.clone(), basic nothing, run bank::send;
    Exec: pb_authz::MsgExec, signer |m| m.grantee.clone(), basic authz::check_exec, run authz::exec;
    Grant: pb_authz::MsgGrant, signer |m| m.granter.clone(), basic authz::check_grant, run authz::grant;
    Revoke: pb_authz::MsgRevoke, signer |m| m.granter.clone(), basic nothing, run authz::revoke;
    GrantAllowance: pb_feegrant::MsgGrantAllowance, signer |m| m.granter.clone(),
        basic feegrant::check_grant, run feegrant::grant;
    RevokeAllowance: pb_feegrant::MsgRevokeAllowance, signer |m| m.granter.clone(),
        basic nothing, run feegrant::revoke;
}

impl Msg {
    /// The module in the `message` event: the second word of the type URL.
    pub(crate) fn module(type_url: &str) -> String {
        type_url.split('.').nth(1).unwrap_or_default().to_owned()
    }

    /// The amounts of the message as text; each must be an integer, or the node does not decode the transaction.
    pub(crate) fn amounts(&self) -> Vec<String> {
        let deposit = |d: &Option<crate::wire::deposit::Deposit>| {
            d.as_ref()
                .and_then(|d| d.amount.as_ref())
                .map(|c| c.amount.clone())
        };
        match self {
            Self::CreateBid(m) => m
                .price
                .iter()
                .map(|p| p.amount.clone())
                .chain(deposit(&m.deposit))
                .collect(),
            Self::CreateDeployment(m) => {
                let units = m.groups.iter().flat_map(|g| &g.resources);
                let prices = units.filter_map(|u| u.price.as_ref()).map(|p| p.amount.clone());
                prices.chain(deposit(&m.deposit)).collect()
            }
            Self::AccountDeposit(m) => deposit(&m.deposit).into_iter().collect(),
            Self::CreateEscrow(m) => m.amount.iter().map(|c| c.amount.clone()).collect(),
            Self::RecordUsage(m) => m.unit_price.iter().map(|p| p.amount.clone()).collect(),
            Self::Send(m) => m.amount.iter().map(|c| c.amount.clone()).collect(),
            _ => Vec::new(),
        }
    }

    /// Go's text form of the message, as errors of `MsgExec` show it; only messages that are a lease id have one here, the others
    /// show their name.
    pub(crate) fn go_text(&self) -> String {
        let Self::WithdrawLease(mv5::MsgWithdrawLease { id: Some(id) }) = self else {
            return self.type_url();
        };
        format!(
            "id:<owner:{:?} dseq:{} gseq:{} oseq:{} provider:{:?} > ",
            id.owner, id.dseq, id.gseq, id.oseq, id.provider
        )
    }
}
