//! Decoders by message name, for the recordings.

use prost::{Message, Name};
use virtengine_chain::proto::{cosmos, virtengine};

type Again = fn(&[u8]) -> Result<Vec<u8>, prost::DecodeError>;

fn again<M: Message + Default>(bytes: &[u8]) -> Result<Vec<u8>, prost::DecodeError> {
    Ok(M::decode(bytes)?.encode_to_vec())
}

fn entry<M: Message + Name + Default>() -> (String, Again) {
    (M::full_name(), again::<M>)
}

macro_rules! table {
    ($($message:ty),* $(,)?) => { vec![$(entry::<$message>()),*] };
}

/// Decodes and encodes again a message of this name (without the slash).
pub(crate) fn reencode(name: &str, bytes: &[u8]) -> Option<Result<Vec<u8>, prost::DecodeError>> {
    let found = all().into_iter().find(|(known, _)| known == name);
    found.map(|(_, again)| again(bytes))
}

#[expect(clippy::too_many_lines, reason = "a table")]
pub(crate) fn all() -> Vec<(String, Again)> {
    use cosmos::{auth, authz, bank, base, feegrant, tx};
    use virtengine::{cert, deployment, escrow, market, provider, resources, settlement};
    table![
        auth::v1beta1::QueryAccountInfoRequest,
        auth::v1beta1::QueryAccountInfoResponse,
        auth::v1beta1::BaseAccount,
        authz::v1beta1::MsgExec,
        authz::v1beta1::MsgExecResponse,
        authz::v1beta1::MsgGrant,
        authz::v1beta1::MsgGrantResponse,
        bank::v1beta1::MsgSend,
        bank::v1beta1::MsgSendResponse,
        bank::v1beta1::QueryBalanceRequest,
        bank::v1beta1::QueryBalanceResponse,
        base::node::v1beta1::ConfigRequest,
        base::node::v1beta1::ConfigResponse,
        base::tendermint::v1beta1::GetNodeInfoRequest,
        base::tendermint::v1beta1::GetNodeInfoResponse,
        base::tendermint::v1beta1::GetLatestBlockRequest,
        base::tendermint::v1beta1::GetLatestBlockResponse,
        base::abci::v1beta1::TxMsgData,
        feegrant::v1beta1::MsgGrantAllowance,
        feegrant::v1beta1::MsgGrantAllowanceResponse,
        tx::v1beta1::TxRaw,
        tx::v1beta1::TxBody,
        tx::v1beta1::AuthInfo,
        tx::v1beta1::SignDoc,
        tx::v1beta1::BroadcastTxResponse,
        tx::v1beta1::GetTxRequest,
        tx::v1beta1::GetTxResponse,
        tx::v1beta1::GetTxsEventRequest,
        tx::v1beta1::GetTxsEventResponse,
        tx::v1beta1::SimulateRequest,
        tx::v1beta1::SimulateResponse,
        cert::v1::MsgCreateCertificate,
        cert::v1::MsgCreateCertificateResponse,
        cert::v1::MsgRevokeCertificate,
        cert::v1::MsgRevokeCertificateResponse,
        cert::v1::QueryCertificatesRequest,
        cert::v1::QueryCertificatesResponse,
        deployment::v1beta4::MsgCreateDeployment,
        deployment::v1beta4::MsgCreateDeploymentResponse,
        deployment::v1beta4::MsgUpdateDeployment,
        deployment::v1beta4::MsgUpdateDeploymentResponse,
        deployment::v1beta4::MsgCloseDeployment,
        deployment::v1beta4::MsgCloseDeploymentResponse,
        deployment::v1beta4::MsgCloseGroup,
        deployment::v1beta4::MsgCloseGroupResponse,
        deployment::v1beta4::MsgPauseGroup,
        deployment::v1beta4::MsgPauseGroupResponse,
        deployment::v1beta4::MsgStartGroup,
        deployment::v1beta4::MsgStartGroupResponse,
        deployment::v1beta4::QueryDeploymentRequest,
        deployment::v1beta4::QueryDeploymentResponse,
        deployment::v1beta4::QueryDeploymentsRequest,
        deployment::v1beta4::QueryDeploymentsResponse,
        deployment::v1beta4::QueryParamsRequest,
        deployment::v1beta4::QueryParamsResponse,
        escrow::v1::MsgAccountDeposit,
        escrow::v1::MsgAccountDepositResponse,
        escrow::v1::QueryAccountsRequest,
        escrow::v1::QueryAccountsResponse,
        escrow::v1::QueryPaymentsRequest,
        escrow::v1::QueryPaymentsResponse,
        market::v1beta5::MsgCreateBid,
        market::v1beta5::MsgCreateBidResponse,
        market::v1beta5::MsgCloseBid,
        market::v1beta5::MsgCloseBidResponse,
        market::v1beta5::MsgCreateLease,
        market::v1beta5::MsgCreateLeaseResponse,
        market::v1beta5::MsgCloseLease,
        market::v1beta5::MsgCloseLeaseResponse,
        market::v1beta5::MsgWithdrawLease,
        market::v1beta5::MsgWithdrawLeaseResponse,
        market::v1beta5::QueryOrderRequest,
        market::v1beta5::QueryOrderResponse,
        market::v1beta5::QueryOrdersRequest,
        market::v1beta5::QueryOrdersResponse,
        market::v1beta5::QueryBidRequest,
        market::v1beta5::QueryBidResponse,
        market::v1beta5::QueryBidsRequest,
        market::v1beta5::QueryBidsResponse,
        market::v1beta5::QueryLeaseRequest,
        market::v1beta5::QueryLeaseResponse,
        market::v1beta5::QueryLeasesRequest,
        market::v1beta5::QueryLeasesResponse,
        market::v1beta5::QueryParamsRequest,
        market::v1beta5::QueryParamsResponse,
        provider::v1beta4::MsgCreateProvider,
        provider::v1beta4::QueryProviderRequest,
        provider::v1beta4::QueryProviderResponse,
        provider::v1beta4::QueryProvidersRequest,
        provider::v1beta4::QueryProvidersResponse,
        resources::v1::MsgProviderHeartbeat,
        resources::v1::MsgProviderHeartbeatResponse,
        settlement::v1::MsgCreateEscrow,
        settlement::v1::MsgCreateEscrowResponse,
        settlement::v1::MsgActivateEscrow,
        settlement::v1::MsgActivateEscrowResponse,
        settlement::v1::MsgRefundEscrow,
        settlement::v1::MsgRefundEscrowResponse,
        settlement::v1::MsgRecordUsage,
        settlement::v1::MsgRecordUsageResponse,
        settlement::v1::MsgAcknowledgeUsage,
        settlement::v1::MsgAcknowledgeUsageResponse,
        settlement::v1::MsgSettleOrder,
        settlement::v1::MsgSettleOrderResponse,
        settlement::v1::QueryEscrowRequest,
        settlement::v1::QueryEscrowResponse,
        settlement::v1::QueryEscrowsByOrderRequest,
        settlement::v1::QueryEscrowsByOrderResponse,
        settlement::v1::QueryParamsRequest,
        settlement::v1::QueryParamsResponse,
        settlement::v1::QueryPayoutsByProviderRequest,
        settlement::v1::QueryPayoutsByProviderResponse,
        settlement::v1::QuerySettlementsByOrderRequest,
        settlement::v1::QuerySettlementsByOrderResponse,
        settlement::v1::QueryUsageRecordRequest,
        settlement::v1::QueryUsageRecordResponse,
        settlement::v1::QueryUsageRecordsByOrderRequest,
        settlement::v1::QueryUsageRecordsByOrderResponse,
        settlement::v1::QueryUsageSummaryRequest,
        settlement::v1::QueryUsageSummaryResponse,
    ]
}
