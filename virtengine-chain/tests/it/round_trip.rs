//! Every message survives the way to the wire and back.

use proptest::prelude::*;
use virtengine_chain::message;
use virtengine_provider_core::id::{Address, DeploymentId, GroupId, LeaseId, OrderId};
use virtengine_provider_core::market::{
    Attribute, CloseReason, Endpoint, EndpointKind, GroupSpec, ResourceUnit, StorageVolume,
};
use virtengine_provider_core::money::{Coin, Decimal, Price};
use virtengine_provider_core::ports::chain::{Heartbeat, InventoryCapacity, Message, ProviderRecord};

fn address() -> impl Strategy<Value = Address> {
    prop_oneof![
        any::<[u8; 20]>().prop_map(|bytes| Address::from_bytes("ve", &bytes).unwrap()),
        any::<[u8; 32]>().prop_map(|bytes| Address::from_bytes("ve", &bytes).unwrap()),
    ]
}

fn deployment(owner: Address) -> impl Strategy<Value = DeploymentId> {
    any::<u64>().prop_map(move |dseq| DeploymentId::new(owner.clone(), dseq))
}

fn group(owner: Address) -> impl Strategy<Value = GroupId> {
    (deployment(owner), any::<u32>()).prop_map(|(deployment, gseq)| GroupId { deployment, gseq })
}

fn lease(owner: Address, provider: Address) -> impl Strategy<Value = LeaseId> {
    (group(owner), any::<u32>())
        .prop_map(move |(group, oseq)| LeaseId::new(OrderId { group, oseq }, provider.clone()))
}

fn coin() -> impl Strategy<Value = Coin> {
    ("[a-z][a-z0-9]{2,8}", any::<u128>())
        .prop_map(|(denom, amount)| Coin::new(denom.parse().unwrap(), amount))
}

fn price() -> impl Strategy<Value = Price> {
    ("[a-z][a-z0-9]{2,8}", any::<u128>())
        .prop_map(|(denom, scaled)| Price::new(denom.parse().unwrap(), Decimal::from_scaled(scaled)))
}

fn attributes() -> impl Strategy<Value = Vec<Attribute>> {
    let attribute = (".{0,12}", ".{0,12}").prop_map(|(key, value)| Attribute { key, value });
    prop::collection::vec(attribute, 0..3)
}

fn unit() -> impl Strategy<Value = ResourceUnit> {
    let volume =
        ("[a-z]{0,8}", any::<u64>(), attributes()).prop_map(|(name, bytes, attributes)| StorageVolume {
            name,
            bytes,
            attributes,
        });
    let kinds = vec![
        EndpointKind::SharedHttp,
        EndpointKind::RandomPort,
        EndpointKind::LeasedIp,
    ];
    let endpoint = (prop::sample::select(kinds), any::<u32>()).prop_map(|(kind, sequence_number)| Endpoint {
        kind,
        sequence_number,
    });
    let numbers = (
        any::<u32>(),
        any::<u32>(),
        any::<u64>(),
        any::<u64>(),
        any::<u64>(),
    );
    let lists = (attributes(), attributes(), attributes());
    let storage = prop::collection::vec(volume, 0..3);
    let endpoints = prop::collection::vec(endpoint, 0..3);
    (numbers, lists, storage, endpoints, price()).prop_map(
        |((id, count, cpu_millis, memory_bytes, gpus), (a, b, c), storage, endpoints, price)| ResourceUnit {
            id,
            count,
            cpu_millis,
            memory_bytes,
            storage,
            gpus,
            gpu_attributes: a,
            cpu_attributes: b,
            memory_attributes: c,
            endpoints,
            price,
        },
    )
}

fn group_spec() -> impl Strategy<Value = GroupSpec> {
    let signers = || prop::collection::vec(address(), 0..2);
    let resources = prop::collection::vec(unit(), 0..3);
    (".{0,20}", attributes(), signers(), signers(), resources).prop_map(
        |(name, attributes, signed_by_all_of, signed_by_any_of, resources)| GroupSpec {
            name,
            attributes,
            signed_by_all_of,
            signed_by_any_of,
            resources,
        },
    )
}

fn reason() -> impl Strategy<Value = CloseReason> {
    prop::sample::select(vec![
        CloseReason::Owner,
        CloseReason::Unstable,
        CloseReason::Decommission,
        CloseReason::Unspecified,
        CloseReason::ManifestTimeout,
        CloseReason::InsufficientFunds,
    ])
}

/// Of the provider `me`, on its bids and leases.
fn lease_message(me: Address, other: Address) -> BoxedStrategy<Message> {
    let lease = || lease(other.clone(), me.clone());
    prop_oneof![
        (lease(), price(), coin()).prop_map(|(id, price, deposit)| Message::CreateBid { id, price, deposit }),
        (lease(), reason()).prop_map(|(id, reason)| Message::CloseBid { id, reason }),
        lease().prop_map(|id| Message::WithdrawLease { id }),
    ]
    .boxed()
}

fn usage_message() -> impl Strategy<Value = Message> {
    let usage = (
        any::<[String; 3]>(),
        any::<(u64, i64, i64)>(),
        price(),
        any::<Vec<u8>>(),
    );
    usage.prop_map(
        |([order_id, lease_id, usage_type], numbers, unit_price, signature)| {
            let (usage_units, period_start, period_end) = numbers;
            Message::RecordUsage {
                order_id,
                lease_id,
                usage_units,
                usage_type,
                period_start,
                period_end,
                unit_price,
                signature,
            }
        },
    )
}

fn heartbeat_message() -> impl Strategy<Value = Message> {
    let capacity = || {
        any::<[i64; 4]>().prop_map(|[cpu_cores, memory_gb, storage_gb, gpus]| InventoryCapacity {
            cpu_cores,
            memory_gb,
            storage_gb,
            gpus,
        })
    };
    let heartbeat = (
        any::<[String; 2]>(),
        0..i32::MAX as u32,
        capacity(),
        capacity(),
        any::<u64>(),
    );
    heartbeat.prop_map(
        |([inventory_id, region], resource_class, total, available, sequence)| {
            Message::Heartbeat(Heartbeat {
                inventory_id,
                resource_class,
                total,
                available,
                sequence,
                region,
            })
        },
    )
}

/// Of the provider `me`, on anything else.
fn provider_message(me: Address) -> BoxedStrategy<Message> {
    let record = || {
        let owner = me.clone();
        (any::<[String; 3]>(), attributes()).prop_map(move |([host_uri, email, website], attributes)| {
            ProviderRecord {
                owner: owner.clone(),
                host_uri,
                attributes,
                email,
                website,
            }
        })
    };
    prop_oneof![
        usage_message(),
        heartbeat_message(),
        any::<(String, Vec<String>, bool)>().prop_map(|(order_id, usage_record_ids, is_final)| {
            Message::SettleOrder {
                order_id,
                usage_record_ids,
                is_final,
            }
        }),
        record().prop_map(Message::CreateProvider),
        record().prop_map(Message::UpdateProvider),
    ]
    .boxed()
}

/// Of the tenant `me`.
fn tenant_message(me: Address, other: Address) -> BoxedStrategy<Message> {
    let own = || deployment(me.clone());
    let group = || group(me.clone());
    let lease = || lease(me.clone(), other.clone());
    let groups = prop::collection::vec(group_spec(), 0..3);
    prop_oneof![
        (own(), groups, any::<[u8; 32]>(), coin()).prop_map(|(id, groups, hash, deposit)| {
            Message::CreateDeployment {
                id,
                groups,
                hash,
                deposit,
            }
        }),
        (own(), any::<[u8; 32]>()).prop_map(|(id, hash)| Message::UpdateDeployment { id, hash }),
        own().prop_map(|id| Message::CloseDeployment { id }),
        group().prop_map(|id| Message::PauseGroup { id }),
        group().prop_map(|id| Message::StartGroup { id }),
        group().prop_map(|id| Message::CloseGroup { id }),
        lease().prop_map(|id| Message::CreateLease { id }),
        lease().prop_map(|id| Message::CloseLease { id }),
        (deployment(other.clone()), coin())
            .prop_map(|(id, deposit)| Message::DepositDeployment { id, deposit }),
        (any::<String>(), coin(), any::<u64>()).prop_map(|(order_id, amount, expires_in)| {
            Message::CreateEscrow {
                order_id,
                amount,
                expires_in,
            }
        }),
        (any::<[String; 2]>(), address()).prop_map(|([escrow_id, lease_id], recipient)| {
            Message::ActivateEscrow {
                escrow_id,
                lease_id,
                recipient,
            }
        }),
        (address(), coin()).prop_map(|(to, amount)| Message::BankSend { to, amount }),
    ]
    .boxed()
}

proptest! {
    #[test]
    fn every_message_comes_back_as_it_went(
        (me, sent) in (address(), address()).prop_flat_map(|(me, other)| {
            let messages = prop_oneof![
                lease_message(me.clone(), other.clone()),
                provider_message(me.clone()),
                tenant_message(me.clone(), other),
            ];
            (Just(me), messages)
        })
    ) {
        let any = message::encode(&sent, &me).unwrap();
        prop_assert_eq!(message::decode(&any).unwrap(), (me, sent));
    }
}

#[test]
fn a_message_of_somebody_else_is_not_sent() {
    let [alice, bob]: [Address; 2] =
        [[1; 20], [2; 20]].map(|bytes| Address::from_bytes("ve", &bytes).unwrap());
    let id = LeaseId::new(OrderId::new(alice.clone(), 1, 1, 1), bob.clone());
    assert!(message::encode(&Message::WithdrawLease { id: id.clone() }, &bob).is_ok());
    let error = message::encode(&Message::WithdrawLease { id }, &alice).unwrap_err();
    assert_eq!(
        error,
        message::EncodeError::WrongSender {
            signer: bob,
            sender: alice
        }
    );
}
