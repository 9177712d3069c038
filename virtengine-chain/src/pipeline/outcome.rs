//! What became of a transaction.

use prost::Message as _;
use virtengine_provider_core::id::Height;
use virtengine_provider_core::ports::chain::{ChainError, RejectKind, Rejection, SignedTx, TxOutcome};

use super::Pipeline;
use super::sequence::Overtaken;
use crate::config::TIMEOUT_BLOCKS_MAX;
use crate::proto::cosmos::auth::v1beta1::{QueryAccountInfoRequest, QueryAccountInfoResponse};
use crate::proto::cosmos::authz::v1beta1::{MsgExec, MsgExecResponse};
use crate::proto::cosmos::base::abci::v1beta1::TxMsgData;
use crate::proto::virtengine::settlement::v1 as settlement;
use crate::rejection::classify;
use crate::rpc::{Rpc, RpcError, TxAnswer};
use crate::tx::messages_of;
use crate::wire;

/// Blocks that an endpoint's index may be behind its head: it is written after the block.
const INDEX_LAG_BLOCKS: u64 = 2;

/// What one endpoint knows of a transaction.
enum Knowledge {
    InBlock(TxAnswer),
    /// It can no longer land, and has not.
    Gone,
    /// Its sequence is used in the state of this block; by whom, the index will tell.
    SequenceUsed(Height),
    /// Another transaction has used its sequence.
    Displaced,
    Nothing,
}

impl Pipeline {
    /// Looks for the transaction once. "It can no longer land" is said only by an endpoint whose state is past the timeout
    /// height, and only when the account's sequence proves it or the index covers every height at which it could have landed. A
    /// transaction of whose sequence a node has said that it is taken is not waited for so long: the account is read again, and once
    /// the index has come to a block in whose state the sequence is used, and has it not, another one has used it.
    pub(super) async fn find(&self, tx: &SignedTx) -> Result<TxOutcome, ChainError> {
        let question = QueryAccountInfoRequest {
            address: self.signing_address.to_string(),
        };
        let question = &question.encode_to_vec();
        let overtaken = self.state().sequences.overtaken(&tx.hash);
        let overtaken = overtaken.as_ref();
        let look = |rpc: Rpc| async move { ask(&rpc, tx, question, overtaken).await };
        Ok(match self.client.pool().call(look).await? {
            Knowledge::Nothing => TxOutcome::Unknown,
            Knowledge::SequenceUsed(height) => {
                self.state().sequences.used_at(&tx.hash, height);
                TxOutcome::Unknown
            }
            Knowledge::Displaced => TxOutcome::Rejected(Rejection {
                kind: RejectKind::SequenceMismatch,
                codespace: "client".to_owned(),
                code: 1,
                log: format!("another transaction has used sequence {}", tx.sequence),
            }),
            Knowledge::Gone => TxOutcome::Rejected(Rejection {
                kind: RejectKind::TimedOut,
                codespace: "client".to_owned(),
                code: 1,
                log: format!("in no block up to its timeout height {}", tx.timeout_height),
            }),
            Knowledge::InBlock(answer) if answer.result.code == 0 => TxOutcome::Landed {
                height: answer.height,
                gas_used: answer.result.gas_used,
                response_ids: response_ids(&tx.tx_raw, &answer.result.data),
            },
            Knowledge::InBlock(answer) => {
                let result = answer.result;
                TxOutcome::Rejected(classify(&result.codespace, result.code, &result.log))
            }
        })
    }
}

async fn ask(
    rpc: &Rpc,
    tx: &SignedTx,
    question: &[u8],
    overtaken: Option<&Overtaken>,
) -> Result<Knowledge, RpcError> {
    // The head first: what is asked afterwards is at least as new.
    let status = rpc.status().await?;
    if let Some(answer) = rpc.tx(&tx.hash).await? {
        return Ok(Knowledge::InBlock(answer));
    }
    let covers = |height: Height| {
        let indexed = status.height.0 >= height.0.saturating_add(INDEX_LAG_BLOCKS);
        let from_the_start = status.earliest_height.0 <= 1
            || status.earliest_height.plus(TIMEOUT_BLOCKS_MAX) <= tx.timeout_height;
        status.indexing && indexed && from_the_start
    };
    let used_at = overtaken.and_then(|overtaken| overtaken.used_at);
    if used_at.is_some_and(covers) {
        return Ok(Knowledge::Displaced);
    }
    if status.height <= tx.timeout_height && (overtaken.is_none() || used_at.is_some()) {
        return Ok(Knowledge::Nothing);
    }
    let account = rpc
        .abci_query("/cosmos.auth.v1beta1.Query/AccountInfo", question, Height(0))
        .await?;
    let sequence = wire::decode::<QueryAccountInfoResponse>(&account.value)
        .ok()
        .and_then(|answer| answer.info)
        .map(|info| info.sequence);
    let sequence = sequence.filter(|_| account.code == 0 && account.height.0 > 0);
    if status.height <= tx.timeout_height {
        let used = sequence.is_some_and(|sequence| sequence > tx.sequence);
        return Ok(if used {
            Knowledge::SequenceUsed(account.height)
        } else {
            Knowledge::Nothing
        });
    }
    let unused =
        account.height > tx.timeout_height && sequence.is_some_and(|sequence| sequence <= tx.sequence);
    if unused || covers(tx.timeout_height) {
        return Ok(Knowledge::Gone);
    }
    Ok(Knowledge::Nothing)
}

/// One id per message, in message order; empty where the answer has none or cannot be read.
fn response_ids(tx_raw: &[u8], data: &[u8]) -> Vec<String> {
    let messages = messages_of(tx_raw).unwrap_or_default();
    let Ok(data) = TxMsgData::decode(data) else {
        tracing::warn!("the answers of a landed transaction cannot be read");
        return vec![String::new(); messages.len()];
    };
    let mut ids = Vec::new();
    for (position, message) in messages.iter().enumerate() {
        let answer = data.msg_responses.get(position);
        let bytes = answer.map_or(&[][..], |answer| &answer.value);
        if message.type_url == "/cosmos.authz.v1beta1.MsgExec" {
            let inner = MsgExec::decode(message.value.as_slice()).unwrap_or_default().msgs;
            let answers = MsgExecResponse::decode(bytes).unwrap_or_default().results;
            let each = inner.iter().enumerate().map(|(position, message)| {
                response_id(
                    &message.type_url,
                    answers.get(position).map_or(&[][..], Vec::as_slice),
                )
            });
            ids.extend(each);
        } else {
            ids.push(response_id(&message.type_url, bytes));
        }
    }
    ids
}

fn response_id(message_type: &str, answer: &[u8]) -> String {
    match message_type {
        "/virtengine.settlement.v1.MsgRecordUsage" => settlement::MsgRecordUsageResponse::decode(answer)
            .map(|answer| answer.usage_id)
            .unwrap_or_default(),
        "/virtengine.settlement.v1.MsgSettleOrder" => settlement::MsgSettleOrderResponse::decode(answer)
            .map(|answer| answer.settlement_id)
            .unwrap_or_default(),
        "/virtengine.settlement.v1.MsgCreateEscrow" => settlement::MsgCreateEscrowResponse::decode(answer)
            .map(|answer| answer.escrow_id)
            .unwrap_or_default(),
        _ => String::new(),
    }
}
