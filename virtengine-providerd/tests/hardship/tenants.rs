//! A thousand tenants at once: each from a network address of its own, each with a lease, all uploading and following logs.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpSocket;
use tokio::sync::{Barrier, Semaphore};
use tokio::task::JoinSet;
use virtengine_devchain::CHAIN_ID;
use virtengine_gateway::tenant::{RequestToSign, SignedRequest};
use virtengine_provider_core::id::{Address, LeaseId, OrderId, WorkloadId};
use virtengine_provider_core::money::Price;
use virtengine_provider_core::ports::chain::Message;
use virtengine_provider_core::ports::clock::Clock as _;

use crate::account::{StageClock, land};
use crate::key::AccountKey;
use crate::pulse::{Pulse, resident_mib};
use crate::support::{Life, MANIFEST, Set, Stage, coin, shop, until};

/// A thousand leases. Accounts hold ten each: an account for each lease would only make the setting longer, and with ten the
/// limit of streams per account is met as well as that of all.
const TENANTS: usize = 1_000;
const ACCOUNTS: usize = 100;
const LEASES: u64 = 10;
/// Streams that the tenant API holds open at once.
const STREAMS_MAX: usize = 256;
/// What a thousand tenants may cost in memory: daemon, chain and the tenants themselves, unoptimised.
const TENANTS_MIB_MAX: u64 = 250;
/// The longest that anybody waits for an answer.
const PATIENCE: Duration = Duration::from_secs(25);

/// One tenant: a lease, its account and its network address.
#[derive(Clone)]
struct Visitor {
    number: usize,
    key: AccountKey,
    lease: LeaseId,
    provider: Address,
    at: SocketAddr,
    clock: Arc<StageClock>,
}

/// Statuses of all answers, and what was wrong with any of them.
#[derive(Default)]
struct Answers {
    upload: BTreeMap<u16, usize>,
    logs: BTreeMap<u16, usize>,
    wrong: Vec<String>,
    slowest: Duration,
}

impl Visitor {
    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: &str,
        nonce: &str,
    ) -> Result<Response<Incoming>, String> {
        let signed = RequestToSign {
            method: method.as_str(),
            path_and_query: path,
            body: body.as_bytes(),
            provider: &self.provider,
            chain_id: CHAIN_ID,
            at: self.clock.now(),
            nonce,
        };
        let signed = SignedRequest::sign(&signed, &self.key, "ve").await.unwrap();
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "provider");
        for (name, value) in signed.headers() {
            request = request.header(*name, value);
        }
        let request = request
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
            .unwrap();
        let socket = TcpSocket::new_v4().map_err(|error| error.to_string())?;
        let number = u16::try_from(self.number).unwrap().to_be_bytes();
        let from = Ipv4Addr::new(127, 1, number[0], number[1]);
        socket.bind((from, 0).into()).map_err(|error| error.to_string())?;
        let asked = async {
            let stream = socket.connect(self.at).await.map_err(|error| error.to_string())?;
            let io = TokioIo::new(stream);
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io)
                .await
                .map_err(|error| error.to_string())?;
            tokio::spawn(connection);
            sender
                .send_request(request)
                .await
                .map_err(|error| error.to_string())
        };
        tokio::time::timeout(PATIENCE, asked)
            .await
            .map_err(|_| "no answer".to_owned())?
    }

    /// Uploads until the manifest is taken.
    async fn upload(&self, answers: &Mutex<Answers>) {
        let path = format!("/deployment/{}/manifest", self.lease.deployment().dseq);
        for attempt in 0.. {
            let nonce = format!("upload-{}-{attempt}-0123456789", self.number);
            let begun = Instant::now();
            let answer = self.ask(Method::PUT, &path, MANIFEST, &nonce).await;
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) => return answers.lock().unwrap().wrong.push(format!("upload: {error}")),
            };
            let status = answer.status().as_u16();
            let body = answer
                .into_body()
                .collect()
                .await
                .map(http_body_util::Collected::to_bytes);
            {
                let mut answers = answers.lock().unwrap();
                *answers.upload.entry(status).or_default() += 1;
                answers.slowest = answers.slowest.max(begun.elapsed());
                match (status, body) {
                    (200, Ok(_)) => return,
                    (429 | 503, Ok(body)) if is_refusal(&body) => {}
                    (status, body) => return answers.wrong.push(format!("upload: {status} {body:?}")),
                }
            }
            // As they are told, and spread as independent tenants are.
            let pause = 1000 + u64::try_from(self.number * 2).unwrap();
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    /// Follows the log; `Some` is the open stream.
    async fn follow(&self, answers: &Mutex<Answers>) -> Option<Incoming> {
        let path = format!("/lease/{}/1/1/logs?follow=true", self.lease.deployment().dseq);
        let answer = self
            .ask(
                Method::GET,
                &path,
                "",
                &format!("follow-{}-0123456789", self.number),
            )
            .await;
        let note = |wrong: String| answers.lock().unwrap().wrong.push(wrong);
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                note(format!("logs: {error}"));
                return None;
            }
        };
        let status = answer.status().as_u16();
        *answers.lock().unwrap().logs.entry(status).or_default() += 1;
        if status == 200 {
            return Some(answer.into_body());
        }
        let body = answer
            .into_body()
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes);
        if !(matches!(status, 429 | 503) && body.as_ref().is_ok_and(|body| is_refusal(body))) {
            note(format!("logs: {status} {body:?}"));
        }
        None
    }
}

/// A refusal says what it is and what to do.
fn is_refusal(body: &[u8]) -> bool {
    let Ok(body) = serde_json::from_slice::<serde_json::Value>(body) else {
        return false;
    };
    let text = |key: &str| body["error"][key].as_str().is_some_and(|text| !text.is_empty());
    text("code") && text("message")
}

/// Reads until a line with `word` comes.
async fn hears(mut stream: Incoming, word: &str) -> bool {
    let mut read = String::new();
    while let Some(Ok(frame)) = stream.frame().await {
        if let Some(data) = frame.data_ref() {
            read.push_str(&String::from_utf8_lossy(data));
        }
        if read.contains(word) {
            return true;
        }
    }
    false
}

/// Deployments, bids and leases, by few large transactions.
async fn thousand_leases(stage: &Stage) -> Vec<(AccountKey, LeaseId)> {
    let provider = stage.provider();
    let mut leases = Vec::new();
    for number in 0..ACCOUNTS {
        let key = AccountKey::numbered(number);
        for index in 0..LEASES {
            let dseq = u64::try_from(number).unwrap() * LEASES + index + 1;
            let order = OrderId::new(key.address(), dseq, 1, 1);
            leases.push((key.clone(), LeaseId::new(order, provider.clone())));
        }
    }
    let of = |number: usize| leases.chunks(10).nth(number).unwrap();
    let each = |step: &dyn Fn(&LeaseId) -> Message| -> Vec<Vec<Message>> {
        let messages = |number| of(number).iter().map(|(_, lease)| step(lease)).collect();
        (0..ACCOUNTS).map(messages).collect()
    };
    let deploy =
        |lease: &LeaseId| stage.deployment(lease.owner(), lease.deployment().dseq, shop().group_specs());
    all_land(stage, each(&deploy)).await;
    let bob = stage.provider_account();
    let price = Price::new(
        coin(0).denom,
        virtengine_provider_core::money::Decimal::from_integer(15).unwrap(),
    );
    for some in leases.chunks(100) {
        let bid = |(_, id): &(AccountKey, LeaseId)| Message::CreateBid {
            id: id.clone(),
            price: price.clone(),
            deposit: coin(500_000),
        };
        land(&bob, &some.iter().map(bid).collect::<Vec<_>>()).await;
    }
    all_land(stage, each(&|lease| Message::CreateLease { id: lease.clone() })).await;
    leases
}

/// Sends a transaction of each account, some at once.
async fn all_land(stage: &Stage, messages: Vec<Vec<Message>>) {
    let room = Arc::new(Semaphore::new(20));
    let mut sending = JoinSet::new();
    for (number, messages) in messages.into_iter().enumerate() {
        let (account, room) = (stage.account(number), Arc::clone(&room));
        sending.spawn(async move {
            let _place = room.acquire().await.unwrap();
            land(&account, &messages).await;
        });
    }
    while let Some(sent) = sending.join_next().await {
        sent.unwrap();
    }
}

/// Every tenant uploads, then follows; answers who hears the line that is written once all have asked.
async fn visit(
    stage: &Stage,
    life: &Life,
    leases: &[(AccountKey, LeaseId)],
    answers: &Arc<Mutex<Answers>>,
) -> usize {
    let asked = Arc::new(Barrier::new(leases.len() + 1));
    let mut visits = JoinSet::new();
    for (number, (key, lease)) in leases.iter().cloned().enumerate() {
        let visitor = Visitor {
            number,
            key,
            lease,
            provider: stage.provider(),
            at: life.daemon.tenant_address(),
            clock: Arc::clone(&stage.clock),
        };
        let (answers, asked, backend) = (Arc::clone(answers), Arc::clone(&asked), stage.backend.clone());
        visits.spawn(async move {
            visitor.upload(&answers).await;
            let id = WorkloadId::of_lease(&visitor.lease);
            until("the workload to run", PATIENCE, || async {
                backend.write_log(&id, "web", 0, "open").then_some(())
            })
            .await;
            let stream = visitor.follow(&answers).await;
            asked.wait().await;
            match stream {
                Some(stream) => hears(stream, "the news").await,
                None => false,
            }
        });
    }
    asked.wait().await;
    for (_, lease) in leases {
        stage
            .backend
            .write_log(&WorkloadId::of_lease(lease), "web", 0, "the news");
    }
    let mut heard = 0;
    while let Some(visit) = visits.join_next().await {
        heard += usize::from(visit.unwrap());
    }
    heard
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_tenants_at_once_are_served_or_refused_in_words() {
    let stage = Stage::set(Set {
        tenants: ACCOUNTS,
        // As in production: a thousand workloads are not looked at four times a second.
        look: Duration::from_secs(5),
        ..Set::default()
    })
    .await;
    let begun = Instant::now();
    let leases = thousand_leases(&stage).await;
    println!("{:?}: {} leases on chain", begun.elapsed(), leases.len());
    let life = stage.start().await;
    let pulse = Pulse::feel(life.daemon.health_address());
    until("every lease to be known", PATIENCE, || async {
        let live = life.ask(|provider| provider.live_leases().len()).await;
        (live == TENANTS).then_some(())
    })
    .await;
    let before = resident_mib();
    println!("{:?}: adopted, {before} MiB", begun.elapsed());

    let answers = Arc::new(Mutex::new(Answers::default()));
    let heard = visit(&stage, &life, &leases, &answers).await;
    let after = resident_mib();
    pulse.assert_steady("with a thousand tenants");
    {
        let answers = answers.lock().unwrap();
        println!(
            "{:?}: {before} → {after} MiB, uploads {:?}, logs {:?}, slowest {:?}, {heard} heard the news",
            begun.elapsed(),
            answers.upload,
            answers.logs,
            answers.slowest
        );
        assert!(
            answers.wrong.is_empty(),
            "{} wrong: {:?}",
            answers.wrong.len(),
            answers.wrong.first()
        );
        assert_eq!(answers.upload.get(&200), Some(&TENANTS));
        let following = answers.logs.get(&200).copied().unwrap_or_default();
        assert!(following > 0, "nobody was let in");
        assert_eq!(heard, following, "whoever was let in hears the news");
        assert!(following <= STREAMS_MAX, "{following} streams");
        assert_eq!(answers.logs.values().sum::<usize>(), TENANTS);
    }
    assert!(
        after.saturating_sub(before) <= TENANTS_MIB_MAX,
        "{before} → {after} MiB"
    );
    assert_eq!(stage.backend.workloads().len(), TENANTS);
    let accepted = stage.heard.lock().unwrap().accepted.clone();
    assert!(accepted.len() == TENANTS && accepted.values().all(|times| *times == 1));
    assert_eq!(life.operator.status().await.unwrap().active_leases, 1_000);
    assert_eq!(stage.closes(), 0);
    life.stop().await;
    stage.strike().await;
}
