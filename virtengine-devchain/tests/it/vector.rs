//! The signed bid of spec/chain.md D.8: a real node accepted these bytes (chain-recordings 031), and so does this chain, with the
//! same events.

use virtengine_devchain::{Config, Devchain};

use crate::messages::*;
use crate::scenarios::Cast;
use crate::stage::Stage;

const BID_TX: &str = "0abf010abc010a272f76697274656e67696e652e6d61726b65742e763162657461352e4d73674372656174654269641290010a5e0a297665316176677968373779636e3939376a6134357135713873733879396d723432346a75386538366610c0843d180120012a29766531366e73326633767271757930767079766b673932647868796d6d72616e3566376370376d6471121a0a037576651213313030303030303030303030303030303030301a120a0d0a0375766512063530303030302a010112650a500a460a1f2f636f736d6f732e63727970746f2e736563703235366b312e5075624b657912230a21031e652a35832290964e9b0cdb70bde5153da7022be44be64cc1587f76dd86d86712040a020801180712110a0b0a0375766512043530303010c09a0c1a408960ac82e060de8b13216ad89a9529867da9cdeef0646617edcd5f15bd619de64767afa2aac82e685fd4a626bdb1368ffa28799e1f78cea4f3afd22ff8bf0ad6";

/// The events of the recording, one a line: type, then attributes. BOB, ALICE, FEES and POOL stand for addresses.
const EVENTS: &str = r#"
coin_spent spender=BOB amount=5000uve
coin_received receiver=FEES amount=5000uve
transfer recipient=FEES sender=BOB amount=5000uve
message sender=BOB
tx fee=5000uve fee_payer=BOB
tx acc_seq=BOB/7
tx signature=iWCsguBg3osTIWrYmpUphn2pze7wZGYX7c1fFb1hneZHZ6+iqsguaF/Upia9sTaP+ih5nh94zqTzr9Iv+L8K1g==
message action=/virtengine.market.v1beta5.MsgCreateBid sender=BOB module=market msg_index=0
virtengine.market.v1.EventBidCreated id={"owner":"ALICE","dseq":"1000000","gseq":1,"oseq":1,"provider":"BOB","bseq":0} price={"denom":"uve","amount":"1.000000000000000000"} msg_index=0
coin_spent spender=BOB amount=500000uve msg_index=0
coin_received receiver=POOL amount=500000uve msg_index=0
transfer recipient=POOL sender=BOB amount=500000uve msg_index=0
message sender=BOB msg_index=0
"#;

#[tokio::test]
async fn the_signed_bid_of_the_specification_is_accepted_byte_for_byte() {
    let chain = Devchain::start(Config::manual()).await.unwrap();
    let (stage, cast) = (Stage::new(&chain.rpc_url(), 1_000_000), Cast::new());
    let mut draft = stage
        .draft(
            &cast.bob,
            vec![any(&send(&cast.bob.address, &cast.alice.address, 1))],
        )
        .await;
    for sequence in 0..7 {
        draft.sequence = sequence;
        assert_eq!(stage.submit(&draft.bytes(&cast.bob, true)).await.unwrap().code, 0);
    }
    let groups = vec![group("global", 30, "uve", &[])];
    let deployment = any(&create_deployment(
        &cast.alice.address,
        1_000_000,
        groups,
        5_000_000,
    ));
    let bytes = stage
        .draft(&cast.alice, vec![deployment])
        .await
        .bytes(&cast.alice, true);
    assert_eq!(stage.submit(&bytes).await.unwrap().code, 0);
    chain.advance().unwrap();

    let bid = hex::decode(BID_TX).unwrap();
    assert_eq!(stage.submit(&bid).await.unwrap().code, 0);
    chain.advance().unwrap();
    let seen = stage.landed(&bid).await.succeeded();
    let named = |text: &str| {
        text.replace(&cast.bob.address, "BOB")
            .replace(&cast.alice.address, "ALICE")
            .replace("ve17xpfvakm2amg962yls6f84z3kell8c5lvyc5y4", "FEES")
            .replace("ve14pphss726thpwws3yc458hggufynm9x70ervuw", "POOL")
    };
    let events: Vec<String> = seen
        .events
        .iter()
        .map(|(kind, attributes)| {
            let attributes: Vec<String> = attributes
                .iter()
                .map(|(k, v)| format!("{k}={}", named(v)))
                .collect();
            format!("{kind} {}", attributes.join(" "))
        })
        .collect();
    assert_eq!(events, EVENTS.trim().lines().collect::<Vec<_>>());
}
