//! Which fields each message has. The chain refuses a transaction that holds a field it does not know, at any depth
//! (spec/chain.md A.0, spec/chain-node.md 2.7), and protobuf libraries drop such fields silently; so the bytes are walked here.

/// The type of an embedded `Any`: its type URL says what its value is.
const ANY: &str = "google.protobuf.Any";

/// The fields of a message: number and, for an embedded message, its name (else empty).
type Fields = &'static [(u32, &'static str)];

const COIN: &str = "cosmos.base.v1beta1.Coin";
const DEC_COIN: &str = "cosmos.base.v1beta1.DecCoin";
const TIME: &str = "google.protobuf.Timestamp";
const BID_ID: &str = "virtengine.market.v1.BidID";
const LEASE_ID: &str = "virtengine.market.v1.LeaseID";
const DEPLOYMENT_ID: &str = "virtengine.deployment.v1.DeploymentID";
const GROUP_ID: &str = "virtengine.deployment.v1.GroupID";
const DEPOSIT: &str = "virtengine.base.deposit.v1.Deposit";
const ATTRIBUTE: &str = "virtengine.base.attributes.v1.Attribute";
const RESOURCES: &str = "virtengine.base.resources.v1beta4.Resources";
const VALUE: &str = "virtengine.base.resources.v1beta4.ResourceValue";
const CAPACITY: &str = "virtengine.resources.v1.ResourceCapacity";

const ID6: Fields = &[(1, ""), (2, ""), (3, ""), (4, ""), (5, ""), (6, "")];
const ID2: Fields = &[(1, ""), (2, "")];

const TABLE: &[(&str, Fields)] = &[
    (ANY, ID2),
    (TIME, ID2),
    (COIN, ID2),
    (DEC_COIN, ID2),
    (BID_ID, ID6),
    (LEASE_ID, ID6),
    (DEPLOYMENT_ID, ID2),
    (GROUP_ID, &[(1, ""), (2, ""), (3, "")]),
    (DEPOSIT, &[(1, COIN), (5, "")]),
    (ATTRIBUTE, ID2),
    (VALUE, &[(1, "")]),
    (CAPACITY, ID6),
    ("cosmos.tx.v1beta1.TxRaw", &[(1, ""), (2, ""), (3, "")]),
    (
        "cosmos.tx.v1beta1.TxBody",
        &[
            (1, ANY),
            (2, ""),
            (3, ""),
            (4, ""),
            (5, TIME),
            (1023, ANY),
            (2047, ANY),
        ],
    ),
    (
        "cosmos.tx.v1beta1.AuthInfo",
        &[
            (1, "cosmos.tx.v1beta1.SignerInfo"),
            (2, "cosmos.tx.v1beta1.Fee"),
            (3, "cosmos.tx.v1beta1.Tip"),
        ],
    ),
    (
        "cosmos.tx.v1beta1.SignerInfo",
        &[(1, ANY), (2, "cosmos.tx.v1beta1.ModeInfo"), (3, "")],
    ),
    (
        "cosmos.tx.v1beta1.ModeInfo",
        &[
            (1, "cosmos.tx.v1beta1.ModeInfo.Single"),
            (2, "cosmos.tx.v1beta1.ModeInfo.Multi"),
        ],
    ),
    ("cosmos.tx.v1beta1.ModeInfo.Single", &[(1, "")]),
    (
        "cosmos.tx.v1beta1.ModeInfo.Multi",
        &[
            (1, "cosmos.crypto.multisig.v1beta1.CompactBitArray"),
            (2, "cosmos.tx.v1beta1.ModeInfo"),
        ],
    ),
    ("cosmos.crypto.multisig.v1beta1.CompactBitArray", ID2),
    ("cosmos.tx.v1beta1.Fee", &[(1, COIN), (2, ""), (3, ""), (4, "")]),
    ("cosmos.tx.v1beta1.Tip", &[(1, COIN), (2, "")]),
    ("cosmos.crypto.secp256k1.PubKey", &[(1, "")]),
    ("cosmos.crypto.ed25519.PubKey", &[(1, "")]),
    ("cosmos.crypto.secp256r1.PubKey", &[(1, "")]),
    ("cosmos.bank.v1beta1.MsgSend", &[(1, ""), (2, ""), (3, COIN)]),
    ("cosmos.authz.v1beta1.MsgExec", &[(1, ""), (2, ANY)]),
    (
        "cosmos.authz.v1beta1.MsgGrant",
        &[(1, ""), (2, ""), (3, "cosmos.authz.v1beta1.Grant")],
    ),
    ("cosmos.authz.v1beta1.Grant", &[(1, ANY), (2, TIME)]),
    ("cosmos.authz.v1beta1.GenericAuthorization", &[(1, "")]),
    ("cosmos.authz.v1beta1.MsgRevoke", &[(1, ""), (2, ""), (3, "")]),
    (
        "cosmos.feegrant.v1beta1.MsgGrantAllowance",
        &[(1, ""), (2, ""), (3, ANY)],
    ),
    ("cosmos.feegrant.v1beta1.MsgRevokeAllowance", ID2),
    ("cosmos.feegrant.v1beta1.BasicAllowance", &[(1, COIN), (2, TIME)]),
    (
        "virtengine.market.v1beta5.MsgCreateBid",
        &[
            (1, BID_ID),
            (2, DEC_COIN),
            (3, DEPOSIT),
            (4, "virtengine.market.v1beta5.ResourceOffer"),
        ],
    ),
    (
        "virtengine.market.v1beta5.ResourceOffer",
        &[(1, RESOURCES), (2, "")],
    ),
    ("virtengine.market.v1beta5.MsgCloseBid", &[(1, BID_ID), (2, "")]),
    ("virtengine.market.v1beta5.MsgCreateLease", &[(1, BID_ID)]),
    ("virtengine.market.v1beta5.MsgWithdrawLease", &[(1, LEASE_ID)]),
    (
        "virtengine.market.v1beta5.MsgCloseLease",
        &[(1, LEASE_ID), (2, "")],
    ),
    (
        "virtengine.deployment.v1beta4.MsgCreateDeployment",
        &[
            (1, DEPLOYMENT_ID),
            (2, "virtengine.deployment.v1beta4.GroupSpec"),
            (3, ""),
            (4, DEPOSIT),
        ],
    ),
    (
        "virtengine.deployment.v1beta4.GroupSpec",
        &[
            (1, ""),
            (2, "virtengine.base.attributes.v1.PlacementRequirements"),
            (3, "virtengine.deployment.v1beta4.ResourceUnit"),
        ],
    ),
    (
        "virtengine.base.attributes.v1.PlacementRequirements",
        &[(1, "virtengine.base.attributes.v1.SignedBy"), (2, ATTRIBUTE)],
    ),
    ("virtengine.base.attributes.v1.SignedBy", ID2),
    (
        "virtengine.deployment.v1beta4.ResourceUnit",
        &[(1, RESOURCES), (2, ""), (3, DEC_COIN)],
    ),
    (
        RESOURCES,
        &[
            (1, ""),
            (2, "virtengine.base.resources.v1beta4.CPU"),
            (3, "virtengine.base.resources.v1beta4.Memory"),
            (4, "virtengine.base.resources.v1beta4.Storage"),
            (5, "virtengine.base.resources.v1beta4.GPU"),
            (6, "virtengine.base.resources.v1beta4.Endpoint"),
        ],
    ),
    (
        "virtengine.base.resources.v1beta4.CPU",
        &[(1, VALUE), (2, ATTRIBUTE)],
    ),
    (
        "virtengine.base.resources.v1beta4.Memory",
        &[(1, VALUE), (2, ATTRIBUTE)],
    ),
    (
        "virtengine.base.resources.v1beta4.GPU",
        &[(1, VALUE), (2, ATTRIBUTE)],
    ),
    (
        "virtengine.base.resources.v1beta4.Storage",
        &[(1, ""), (2, VALUE), (3, ATTRIBUTE)],
    ),
    ("virtengine.base.resources.v1beta4.Endpoint", ID2),
    (
        "virtengine.deployment.v1beta4.MsgUpdateDeployment",
        &[(1, DEPLOYMENT_ID), (3, "")],
    ),
    (
        "virtengine.deployment.v1beta4.MsgCloseDeployment",
        &[(1, DEPLOYMENT_ID)],
    ),
    ("virtengine.deployment.v1beta4.MsgCloseGroup", &[(1, GROUP_ID)]),
    ("virtengine.deployment.v1beta4.MsgPauseGroup", &[(1, GROUP_ID)]),
    ("virtengine.deployment.v1beta4.MsgStartGroup", &[(1, GROUP_ID)]),
    (
        "virtengine.escrow.v1.MsgAccountDeposit",
        &[(1, ""), (2, "virtengine.escrow.id.v1.Account"), (3, DEPOSIT)],
    ),
    ("virtengine.escrow.id.v1.Account", ID2),
    (
        "virtengine.settlement.v1.MsgCreateEscrow",
        &[(1, ""), (2, ""), (3, COIN), (4, "")],
    ),
    (
        "virtengine.settlement.v1.MsgActivateEscrow",
        &[(1, ""), (2, ""), (3, ""), (4, "")],
    ),
    (
        "virtengine.settlement.v1.MsgRecordUsage",
        &[
            (1, ""),
            (2, ""),
            (3, ""),
            (4, ""),
            (5, ""),
            (6, ""),
            (7, ""),
            (8, DEC_COIN),
            (9, ""),
        ],
    ),
    (
        "virtengine.settlement.v1.MsgSettleOrder",
        &[(1, ""), (2, ""), (3, ""), (4, "")],
    ),
    (
        "virtengine.settlement.v1.MsgAcknowledgeUsage",
        &[(1, ""), (2, ""), (3, "")],
    ),
    (
        "virtengine.settlement.v1.MsgRefundEscrow",
        &[(1, ""), (2, ""), (3, "")],
    ),
    (
        "virtengine.resources.v1.MsgProviderHeartbeat",
        &[
            (1, ""),
            (2, ""),
            (3, ""),
            (4, CAPACITY),
            (5, CAPACITY),
            (6, "virtengine.resources.v1.Locality"),
            (7, ""),
        ],
    ),
    (
        "virtengine.resources.v1.Locality",
        &[(1, ""), (2, ""), (3, ""), (4, "")],
    ),
];

/// Embedding deeper than this is refused, to bound the walk.
const DEPTH_MAX: u32 = 32;

fn fields_of(name: &str) -> Option<Fields> {
    TABLE.iter().find(|(n, _)| *n == name).map(|(_, fields)| *fields)
}

/// Whether a message of this name is known.
pub(crate) fn is_known(name: &str) -> bool {
    fields_of(name).is_some()
}

/// Walks the fields of a message. `on_field` is told number, wire type and, for a length-delimited field, its bytes.
pub(crate) fn walk<'a>(
    mut bytes: &'a [u8],
    mut on_field: impl FnMut(u32, u8, &'a [u8]) -> Result<(), String>,
) -> Result<(), String> {
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let wire = u8::try_from(key & 7).unwrap_or(7);
        let number = u32::try_from(key >> 3).map_err(|_| "proto: invalid field number".to_owned())?;
        if number == 0 {
            return Err("invalid length; proto: invalid field number".to_owned());
        }
        let value = match wire {
            0 => {
                varint(&mut bytes)?;
                &[][..]
            }
            1 => take(&mut bytes, 8)?,
            2 => {
                let len = varint(&mut bytes)?;
                take(&mut bytes, usize::try_from(len).unwrap_or(usize::MAX))?
            }
            5 => take(&mut bytes, 4)?,
            _ => return Err("proto: wrong wireType".to_owned()),
        };
        on_field(number, wire, value)?;
    }
    Ok(())
}

fn take<'a>(bytes: &mut &'a [u8], n: usize) -> Result<&'a [u8], String> {
    let (head, tail) = bytes
        .split_at_checked(n)
        .ok_or_else(|| "unexpected EOF".to_owned())?;
    *bytes = tail;
    Ok(head)
}

fn varint(bytes: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().ok_or_else(|| "unexpected EOF".to_owned())?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("proto: integer overflow".to_owned())
}

/// Refuses unknown fields in `bytes`, a message called `name`, at any depth. With `lenient` a field whose number has bit 11 set
/// is let through.
pub(crate) fn refuse_unknown(name: &str, bytes: &[u8], lenient: bool) -> Result<(), String> {
    refuse_at(name, bytes, lenient, 0)
}

fn refuse_at(name: &str, bytes: &[u8], lenient: bool, depth: u32) -> Result<(), String> {
    if depth > DEPTH_MAX {
        return Err("message is nested too deeply".to_owned());
    }
    let Some(fields) = fields_of(name) else {
        return Err(format!("unable to resolve type URL /{name}"));
    };
    if name == ANY {
        return refuse_any(bytes, lenient, depth);
    }
    walk(bytes, |number, wire, value| {
        match fields.iter().find(|(n, _)| *n == number) {
            Some((_, "")) => Ok(()),
            Some((_, inner)) => refuse_at(inner, value, lenient, depth + 1),
            None if lenient && (number >> 10) & 1 == 1 => Ok(()),
            None => Err(format!(
                "errUnknownField \"*{}\": {{TagNum: {number}, WireType:\"{}\"}}",
                go_name(name),
                wire_name(wire)
            )),
        }
    })
}

fn refuse_any(bytes: &[u8], lenient: bool, depth: u32) -> Result<(), String> {
    let (mut url, mut inner) = (&[][..], &[][..]);
    walk(bytes, |number, _, value| {
        match number {
            1 => url = value,
            2 => inner = value,
            _ => {}
        }
        Ok(())
    })?;
    let url = String::from_utf8_lossy(url);
    let name = url.strip_prefix('/').unwrap_or(&url);
    if !is_known(name) {
        return Err(format!("unable to resolve type URL {url}"));
    }
    refuse_at(name, inner, lenient, depth + 1)
}

/// The Go type that the node's errors name.
fn go_name(name: &str) -> String {
    let mut parts = name.split('.');
    let (first, second) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let message = name.rsplit('.').next().unwrap_or_default();
    let package = name.rsplit('.').nth(1).unwrap_or_default();
    match (first, second) {
        ("cosmos", "bank" | "base") => format!("types.{message}"),
        ("cosmos", module) => format!("{module}.{message}"),
        _ => format!("{package}.{message}"),
    }
}

const fn wire_name(wire: u8) -> &'static str {
    match wire {
        0 => "varint",
        1 => "fixed64",
        2 => "bytes",
        5 => "fixed32",
        _ => "group",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_message_is_in_the_table() {
        for (name, fields) in TABLE {
            for (_, inner) in *fields {
                assert!(inner.is_empty() || is_known(inner), "{name} embeds {inner}");
            }
        }
    }

    #[test]
    fn an_unknown_field_is_named_as_the_node_names_it() {
        let refused = refuse_unknown("cosmos.bank.v1beta1.MsgSend", &[0x78, 1], true).unwrap_err();
        assert_eq!(
            refused,
            "errUnknownField \"*types.MsgSend\": {TagNum: 15, WireType:\"varint\"}"
        );
        let body = refuse_unknown("cosmos.tx.v1beta1.TxBody", &[0x48, 1], true).unwrap_err();
        assert_eq!(
            body,
            "errUnknownField \"*tx.TxBody\": {TagNum: 9, WireType:\"varint\"}"
        );
    }

    #[test]
    fn a_field_that_is_not_critical_passes_only_where_that_is_allowed() {
        let field_1025 = [0x88, 0x40, 1];
        assert!(refuse_unknown("cosmos.tx.v1beta1.TxBody", &field_1025, true).is_ok());
        assert!(refuse_unknown("cosmos.tx.v1beta1.TxBody", &field_1025, false).is_err());
    }
}
