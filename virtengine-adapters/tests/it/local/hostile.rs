//! What a tenant must not be able to do. There is no isolation here, but there is no help either.

use virtengine_adapters::local::CgroupMode;
use virtengine_provider_core::ports::adapter::{Adapter, ErrorKind};
use virtengine_provider_core::workload::{
    Hook, ImageCredentials, Probe, Protocol, ServiceKind, ServiceSpec, VolumeSpec,
};

use super::fixture::{Local, script};
use crate::support::{exposed, service, web, workload};

async fn refused(host: &Local, change: impl FnOnce(&mut ServiceSpec), kind: ErrorKind, says: &str) {
    let mut spec = web("refused");
    change(&mut spec.services[0]);
    let error = host.local().deploy(&spec).await.unwrap_err();
    assert_eq!(error.kind, kind, "{error}");
    assert!(error.message.contains(says), "{error}");
    assert_eq!(host.local().list().await.unwrap(), [], "refused without effect");
    assert!(!host.workload_dir(&spec.id).exists());
}

#[tokio::test]
async fn an_image_that_is_not_offered_is_named_with_what_to_do() {
    let host = Local::new(CgroupMode::Auto);
    let unmapped = |service: &mut ServiceSpec| service.image = "nginx:latest".to_owned();
    refused(&host, unmapped, ErrorKind::Invalid, "nginx:latest").await;
    refused(&host, unmapped, ErrorKind::Invalid, "`images`").await;
}

#[tokio::test]
async fn names_cannot_leave_the_state_directory() {
    let host = Local::new(CgroupMode::Auto);
    for name in ["../../escape", "a/b", "", ".", "Web"] {
        refused(
            &host,
            |s| s.name = name.to_owned(),
            ErrorKind::Invalid,
            "DNS label",
        )
        .await;
    }
    let volume = |name: &str| VolumeSpec {
        name: name.to_owned(),
        bytes: 1,
        mount: None,
        persistent: false,
        class: None,
        read_only: false,
    };
    refused(
        &host,
        |s| s.volumes = vec![volume("../x")],
        ErrorKind::Invalid,
        "DNS label",
    )
    .await;
    let doubled = workload("doubled", vec![service("a", "sh"), service("a", "sh")]);
    assert_eq!(
        host.local().deploy(&doubled).await.unwrap_err().kind,
        ErrorKind::Invalid
    );
    let empty = workload("empty", Vec::new());
    assert_eq!(
        host.local().deploy(&empty).await.unwrap_err().kind,
        ErrorKind::Invalid
    );
}

#[tokio::test]
async fn what_this_host_cannot_do_is_refused() {
    let host = Local::new(CgroupMode::Auto);
    refused(
        &host,
        |s| s.kind = ServiceKind::Vm,
        ErrorKind::Unsupported,
        "virtual machine",
    )
    .await;
    refused(&host, |s| s.gpus = 1, ErrorKind::Unsupported, "gpu").await;
    refused(
        &host,
        |s| s.exposes[0].protocol = Protocol::Udp,
        ErrorKind::Unsupported,
        "udp",
    )
    .await;
    refused(
        &host,
        |s| s.exposes[0].ip = Some("ip".to_owned()),
        ErrorKind::Unsupported,
        "address",
    )
    .await;
    refused(&host, |s| s.count = 1000, ErrorKind::Invalid, "1000 replicas").await;
    refused(&host, |s| s.count = 0, ErrorKind::Invalid, "no replica").await;
    let zero = |s: &mut ServiceSpec| {
        s.env.insert("A".to_owned(), "x\0y".to_owned());
    };
    refused(&host, zero, ErrorKind::Invalid, "cannot be set").await;
    let split = |s: &mut ServiceSpec| {
        s.hooks.post_start = Some(Hook {
            probe: Probe::Http {
                path: "/ HTTP/1.1\r\nx: y".to_owned(),
                port: 80,
                https: false,
            },
            timeout_seconds: 1,
        });
    };
    refused(&host, split, ErrorKind::Invalid, "not a path").await;
}

#[tokio::test]
async fn a_tenants_own_commands_need_the_operators_consent() {
    let host = Local::with(CgroupMode::Auto, |config| config.tenant_commands = false);
    let word = || vec!["rm".to_owned()];
    refused(
        &host,
        |s| s.command = word(),
        ErrorKind::Denied,
        "tenant_commands",
    )
    .await;
    refused(&host, |s| s.args = word(), ErrorKind::Denied, "arguments").await;
    let preload = |s: &mut ServiceSpec| {
        s.env.insert("LD_PRELOAD".to_owned(), "/tmp/x.so".to_owned());
    };
    refused(&host, preload, ErrorKind::Denied, "LD_PRELOAD").await;
    let hook = |s: &mut ServiceSpec| {
        s.hooks.pre_stop = Some(Hook {
            probe: Probe::Exec { command: word() },
            timeout_seconds: 1,
        });
    };
    refused(&host, hook, ErrorKind::Denied, "runs a command").await;
    let plain = web("plain");
    host.running(&plain).await;
    host.end(&plain.id).await;
}

#[tokio::test]
async fn words_of_a_tenant_are_never_read_by_a_shell() {
    let host = Local::with(CgroupMode::Auto, |config| {
        config.images.push(super::fixture::image("echo", &["echo"]));
    });
    let mut spec = workload("quoted", vec![service("main", "echo")]);
    let words = ["$(touch pwned)", "; touch pwned", "a b", "*"];
    spec.services[0].args = words.iter().map(|&word| word.to_owned()).collect();
    spec.services[0].restart = virtengine_provider_core::workload::RestartPolicy::OnFailure;
    host.deploy(&spec).await;
    crate::support::phase(
        host.local(),
        &spec.id,
        virtengine_provider_core::ports::adapter::Phase::Stopped,
    )
    .await;
    assert_eq!(host.log(&spec.id).await, [words.join(" ")]);
    assert!(!host.workload_dir(&spec.id).join("data/main/0/pwned").exists());
    host.end(&spec.id).await;
}

#[tokio::test]
async fn links_in_the_data_lead_nowhere_at_removal() {
    let host = Local::new(CgroupMode::Auto);
    let precious = host.outside().join("precious");
    std::fs::create_dir(&precious).unwrap();
    std::fs::write(precious.join("file"), "keep me").unwrap();
    let text = format!(
        "ln -s {0} link; mkdir d; ln -s {0} d/link; mkdir locked; touch locked/x; chmod 000 locked; echo up; exec sleep 1000",
        precious.display()
    );
    let spec = workload("links", vec![script("main", &text)]);
    host.running(&spec).await;
    host.end(&spec.id).await;
    assert_eq!(std::fs::read_to_string(precious.join("file")).unwrap(), "keep me");
}

#[tokio::test]
async fn open_files_are_bounded() {
    let host = Local::with(CgroupMode::Auto, |config| config.open_files_max = 40);
    let spec = workload(
        "files",
        vec![script("main", "ulimit -n; ulimit -c; exec sleep 1000")],
    );
    host.running(&spec).await;
    assert_eq!(host.log(&spec.id).await, ["40", "0"]);
    host.end(&spec.id).await;
}

#[tokio::test]
async fn a_registry_password_never_reaches_the_disk() {
    let host = Local::new(CgroupMode::Auto);
    let mut spec = web("secret");
    spec.services[0].exposes = vec![exposed(80)];
    spec.services[0].credentials = Some(ImageCredentials {
        host: "registry".to_owned(),
        username: "me".to_owned(),
        email: String::new(),
        password: "hunter2-hunter2".to_owned(),
    });
    host.running(&spec).await;
    host.deploy(&spec).await;
    for entry in std::fs::read_dir(host.workload_dir(&spec.id)).unwrap().flatten() {
        if let Ok(text) = std::fs::read_to_string(entry.path()) {
            assert!(!text.contains("hunter2"), "{:?}", entry.path());
        }
    }
    host.end(&spec.id).await;
}

#[tokio::test]
async fn what_is_kept_is_for_the_operator_alone() {
    use std::os::unix::fs::PermissionsExt;
    let host = Local::new(CgroupMode::Auto);
    let spec = web("modes");
    host.running(&spec).await;
    let dir = host.workload_dir(&spec.id);
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir), mode(&dir.join("intent.json"))), (0o700, 0o600));
    host.end(&spec.id).await;
}
