//! What a workload goes through, seen from outside.

use std::time::Duration;

use rustix::process::Signal;
use virtengine_adapters::local::{CgroupMode, PortRange};
use virtengine_provider_core::ports::adapter::{Adapter, ErrorKind, LogQuery, Phase, WorkloadEndpoint};
use virtengine_provider_core::units::Resources;
use virtengine_provider_core::workload::{HealthCheck, Hook, Probe, RestartPolicy, VolumeSpec, WorkloadSpec};

use super::fixture::{Local, get, is_alive, kill, script};
use crate::support::{exposed, observe_until, phase, service, web, workload};

fn one(name: &str, text: &str) -> WorkloadSpec {
    workload(name, vec![script("main", text)])
}

fn exec(command: &[&str]) -> Probe {
    Probe::Exec {
        command: command.iter().map(|&word| word.to_owned()).collect(),
    }
}

#[tokio::test]
async fn a_service_is_reachable_and_its_data_outlive_a_stop() {
    let host = Local::new(CgroupMode::Auto);
    let spec = web("data");
    let endpoints = host.running(&spec).await;
    assert!(get(&endpoints[0], "/").unwrap().contains("visit 1"));
    host.local().stop(&spec.id).await.unwrap();
    assert_eq!(host.processes(), Vec::<i32>::new());
    assert!(get(&endpoints[0], "/").is_err());
    let again = host.running(&spec).await;
    assert_eq!(again, endpoints, "the address is kept");
    assert!(get(&again[0], "/").unwrap().contains("visit 2"));
    host.end(&spec.id).await;
}

#[tokio::test]
async fn replicas_share_a_port_outside_and_not_inside() {
    let host = Local::new(CgroupMode::Auto);
    let mut spec = web("replicas");
    spec.services[0].count = 3;
    let endpoints = host.running(&spec).await;
    assert_eq!(endpoints.len(), 1);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..6 {
        let answer = get(&endpoints[0], "/").unwrap();
        let replica = answer.split("replica ").nth(1).unwrap().chars().next().unwrap();
        seen.insert(replica);
    }
    assert_eq!(seen, ['0', '1', '2'].into());
    host.end(&spec.id).await;
}

#[tokio::test]
async fn a_killed_replica_is_started_again_and_counted() {
    let host = Local::new(CgroupMode::Auto);
    let spec = web("killed");
    host.running(&spec).await;
    let first = host.main_process(&spec.id).unwrap();
    kill(first, Signal::KILL);
    let seen = observe_until(host.local(), &spec.id, |seen| {
        seen.phase == Phase::Running && seen.services[0].restarts == 1
    })
    .await;
    assert_eq!(seen.services[0].ready, 1);
    assert_ne!(host.main_process(&spec.id), Some(first));
    host.end(&spec.id).await;
}

#[tokio::test]
async fn a_crash_loop_is_a_failure_that_a_tenant_understands() {
    let host = Local::new(CgroupMode::Auto);
    let spec = one("loop", "echo no database configured >&2; exit 3");
    host.deploy(&spec).await;
    let seen = phase(host.local(), &spec.id, Phase::Failed).await;
    for part in ["main", "exit code 3", "in a row", "no database configured"] {
        assert!(seen.message.contains(part), "{}", seen.message);
    }
    assert!(seen.services[0].restarts >= 2);
    host.end(&spec.id).await;
}

#[tokio::test]
async fn the_restart_policy_is_kept() {
    let host = Local::new(CgroupMode::Auto);
    let check = async |name: &str, policy, text: &str, expected: Phase, says: &str| {
        let mut spec = one(name, text);
        spec.services[0].restart = policy;
        host.deploy(&spec).await;
        let seen = phase(host.local(), &spec.id, expected).await;
        assert!(seen.message.contains(says), "{}", seen.message);
        assert_eq!(seen.services[0].restarts, 0);
        host.local().terminate(&spec.id).await.unwrap();
    };
    check(
        "done",
        RestartPolicy::OnFailure,
        "exit 0",
        Phase::Stopped,
        "exit code 0",
    )
    .await;
    check(
        "broken",
        RestartPolicy::Never,
        "exit 9",
        Phase::Failed,
        "exit code 9",
    )
    .await;
    check(
        "signal",
        RestartPolicy::Never,
        "kill -6 $$",
        Phase::Failed,
        "signal 6",
    )
    .await;
    assert_eq!(host.processes(), Vec::<i32>::new());
}

#[tokio::test]
async fn deploying_again_tries_again_what_had_given_up() {
    let host = Local::new(CgroupMode::Auto);
    let mut spec = one(
        "retry",
        "test -e ready || { touch ready; exit 1; }; exec sleep 100",
    );
    spec.services[0].restart = RestartPolicy::Never;
    host.deploy(&spec).await;
    phase(host.local(), &spec.id, Phase::Failed).await;
    host.running(&spec).await;
    host.end(&spec.id).await;
}

#[tokio::test]
async fn a_program_that_cannot_be_run_says_so() {
    let mut host = Local::with(CgroupMode::Auto, |config| {
        config
            .images
            .push(super::fixture::image("missing", &["no-such-program-here"]));
    });
    let spec = workload("missing", vec![service("main", "missing:1")]);
    host.deploy(&spec).await;
    let seen = phase(host.local(), &spec.id, Phase::Failed).await;
    assert!(
        seen.message.contains("cannot run no-such-program-here"),
        "{}",
        seen.message
    );
    host.close();
    host.open();
    assert_eq!(host.local().observe(&spec.id).await.unwrap().phase, Phase::Failed);
    host.end(&spec.id).await;
}

#[tokio::test]
async fn a_service_hears_the_request_to_end_and_its_hook_runs_before() {
    let host = Local::new(CgroupMode::Auto);
    let mut spec = one(
        "polite",
        "trap 'echo bye; exit 0' TERM; echo up; while true; do sleep 0.05; done",
    );
    spec.services[0].hooks.pre_stop = Some(Hook {
        probe: exec(&["sh", "-c", "echo hook > hook; sleep 0.2"]),
        timeout_seconds: 5,
    });
    host.running(&spec).await;
    host.local().stop(&spec.id).await.unwrap();
    let log = host.log(&spec.id).await;
    // The shell also reports its child, which heard the request, too.
    assert_eq!(
        (log.first().unwrap().as_str(), log.last().unwrap().as_str()),
        ("up", "bye")
    );
    let hook = host.workload_dir(&spec.id).join("data/main/0/hook");
    assert_eq!(std::fs::read_to_string(hook).unwrap(), "hook\n");
    host.end(&spec.id).await;
}

async fn deaf(mode: CgroupMode) {
    let host = Local::with(mode, |config| config.stop_grace_ms = 300);
    let mut spec = one("deaf", "trap '' TERM; while true; do sleep 0.05; done");
    spec.services[0].hooks.pre_stop = Some(Hook {
        probe: exec(&["sleep", "100"]),
        timeout_seconds: 1,
    });
    host.running(&spec).await;
    let began = std::time::Instant::now();
    host.end(&spec.id).await;
    assert!(
        began.elapsed() >= Duration::from_millis(1300),
        "hook and grace had their time"
    );
    assert!(began.elapsed() < Duration::from_secs(8), "and no more");
}

#[tokio::test]
async fn a_service_that_does_not_listen_is_ended_after_the_grace() {
    deaf(CgroupMode::Auto).await;
    deaf(CgroupMode::Off).await;
}

async fn daemon(mode: CgroupMode) {
    let host = Local::new(mode);
    // A child in a session of its own whose parent is gone: only the supervisor knows it.
    let text = "(setsid sh -c 'echo $$ > orphan; exec sleep 1000' &) ; sleep 0.3; echo up; exec sleep 1000";
    let spec = one("daemon", text);
    host.running(&spec).await;
    let file = host.workload_dir(&spec.id).join("data/main/0/orphan");
    observe_until(host.local(), &spec.id, |_| file.exists()).await;
    let orphan: i32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    assert!(is_alive(orphan));
    kill(host.main_process(&spec.id).unwrap(), Signal::KILL);
    observe_until(host.local(), &spec.id, |seen| seen.services[0].restarts == 1).await;
    assert!(!is_alive(orphan), "the orphan ended with its replica");
    observe_until(host.local(), &spec.id, |_| {
        std::fs::read_to_string(&file)
            .is_ok_and(|text| text.trim().parse::<i32>().is_ok_and(|pid| pid != orphan))
    })
    .await;
    let orphan: i32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    host.end(&spec.id).await;
    assert!(!is_alive(orphan));
}

#[tokio::test]
async fn a_process_that_left_its_parents_is_ended_too() {
    daemon(CgroupMode::Auto).await;
    daemon(CgroupMode::Off).await;
}

#[tokio::test]
async fn readiness_waits_for_the_port() {
    let host = Local::new(CgroupMode::Auto);
    let mut late = script("main", "sleep 0.6; exec \"$SUPERVISOR\" demo-service --idle");
    late.env
        .insert("SUPERVISOR".to_owned(), host.config.supervisor[0].clone());
    late.exposes = vec![exposed(8080)];
    let spec = workload("late", vec![late]);
    host.deploy(&spec).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(
        host.local().observe(&spec.id).await.unwrap().phase,
        Phase::Starting
    );
    let seen = phase(host.local(), &spec.id, Phase::Running).await;
    assert!(get(&seen.endpoints[0], "/healthz").unwrap().ends_with("ok\n"));
    host.end(&spec.id).await;
}

fn health(probe: Probe) -> Option<HealthCheck> {
    Some(HealthCheck {
        probe,
        initial_delay_seconds: 0,
        period_seconds: 1,
        timeout_seconds: 1,
        failure_threshold: 1,
        success_threshold: 1,
    })
}

#[tokio::test]
async fn a_replica_is_ready_when_its_check_says_so_and_restarted_when_it_does_not_any_more() {
    let host = Local::new(CgroupMode::Auto);
    let mut spec = one("checked", "rm -f well; echo up; exec sleep 1000");
    spec.services[0].health = health(exec(&["test", "-e", "well"]));
    host.deploy(&spec).await;
    let seen = observe_until(host.local(), &spec.id, |seen| !seen.message.is_empty()).await;
    assert_eq!(seen.phase, Phase::Starting);
    assert!(seen.message.contains("health check"), "{}", seen.message);
    let well = host.workload_dir(&spec.id).join("data/main/0/well");
    std::fs::write(&well, "").unwrap();
    phase(host.local(), &spec.id, Phase::Running).await;
    std::fs::remove_file(&well).unwrap();
    observe_until(host.local(), &spec.id, |seen| seen.services[0].restarts == 1).await;
    host.end(&spec.id).await;
}

#[tokio::test]
async fn http_checks_and_hooks_ask_the_replicas_own_port() {
    let host = Local::new(CgroupMode::Auto);
    let mut spec = web("asked");
    let path = |path: &str| Probe::Http {
        path: path.to_owned(),
        port: 80,
        https: false,
    };
    spec.services[0].count = 2;
    spec.services[0].health = health(path("/healthz"));
    host.running(&spec).await;
    spec.services[0].health = health(path("/nothing-here"));
    host.deploy(&spec).await;
    let seen = observe_until(host.local(), &spec.id, |seen| seen.message.contains("404")).await;
    assert_eq!(seen.phase, Phase::Starting);
    host.end(&spec.id).await;
}

#[tokio::test]
async fn a_failing_start_hook_fails_the_replica() {
    let host = Local::new(CgroupMode::Auto);
    let mut spec = one("hook", "exec sleep 1000");
    spec.services[0].restart = RestartPolicy::Never;
    spec.services[0].hooks.post_start = Some(Hook {
        probe: exec(&["false"]),
        timeout_seconds: 1,
    });
    host.deploy(&spec).await;
    let seen = phase(host.local(), &spec.id, Phase::Failed).await;
    assert!(seen.message.contains("post_start hook"), "{}", seen.message);
    spec.services[0].hooks.post_start = Some(Hook {
        probe: exec(&["true"]),
        timeout_seconds: 1,
    });
    host.running(&spec).await;
    host.end(&spec.id).await;
}

#[tokio::test]
async fn a_service_is_told_where_it_is_and_nothing_of_the_daemon() {
    let host = Local::new(CgroupMode::Auto);
    let mut main = script("main", "env; exec sleep 1000");
    main.env.insert("GREETING".to_owned(), "hello there".to_owned());
    main.health = None;
    main.volumes = vec![VolumeSpec {
        name: "cache-1".to_owned(),
        bytes: 1 << 30,
        mount: None,
        persistent: true,
        class: None,
        read_only: false,
    }];
    let mut demo = service("other-web", virtengine_adapters::local::DEMO_IMAGE);
    demo.exposes = vec![exposed(80)];
    let spec = workload("env", vec![main, demo]);
    host.running(&spec).await;
    let query = LogQuery {
        service: Some("main".to_owned()),
        ..LogQuery::default()
    };
    let lines = host.local().logs(&spec.id, &query).await.unwrap();
    let lines: Vec<String> = lines.into_iter().map(|line| line.text).collect();
    let value = |name: &str| {
        let found = lines
            .iter()
            .find_map(|line| line.strip_prefix(&format!("{name}=")));
        found
            .unwrap_or_else(|| panic!("{name} is missing in {lines:?}"))
            .to_owned()
    };
    assert_eq!(
        (value("GREETING").as_str(), value("VE_SERVICE").as_str()),
        ("hello there", "main")
    );
    assert_eq!(
        (value("VE_REPLICA"), value("VE_WORKLOAD")),
        ("0".to_owned(), spec.id.to_string())
    );
    let data = host.workload_dir(&spec.id).join("data/main/0");
    assert_eq!(value("VE_DATA_DIR"), data.to_str().unwrap());
    assert_eq!(value("PWD"), data.to_str().unwrap());
    assert!(std::path::Path::new(&value("VE_VOLUME_CACHE_1")).is_dir());
    let address = value("VE_ADDR_OTHER_WEB_80");
    let (address, port) = address.rsplit_once(':').unwrap();
    let endpoint = WorkloadEndpoint {
        service: String::new(),
        port: 80,
        protocol: virtengine_provider_core::workload::Protocol::Tcp,
        host: address.to_owned(),
        external_port: port.parse().unwrap(),
    };
    assert!(get(&endpoint, "/healthz").is_ok());
    // Cargo sets this for the test; the daemon has worse in its environment.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    let allowed = [
        "PATH", "LANG", "TZ", "PWD", "OLDPWD", "SHLVL", "_", "GREETING", "PORT",
    ];
    for line in &lines {
        let name = line.split('=').next().unwrap();
        assert!(name.starts_with("VE_") || allowed.contains(&name), "{line}");
    }
    host.end(&spec.id).await;
}

#[tokio::test]
async fn a_changed_workload_replaces_the_old_one_and_keeps_its_data() {
    let host = Local::new(CgroupMode::Auto);
    let mut spec = web("changed");
    let endpoints = host.running(&spec).await;
    get(&endpoints[0], "/").unwrap();
    let before = host.local().usage(&spec.id).await.unwrap();
    spec.services[0].count = 2;
    spec.services[0].env.insert("NEW".to_owned(), "1".to_owned());
    let endpoints = host.running(&spec).await;
    let seen = host.local().observe(&spec.id).await.unwrap();
    assert_eq!((seen.services[0].wanted, seen.services[0].ready), (2, 2));
    let answers: Vec<String> = (0..2).map(|_| get(&endpoints[0], "/").unwrap()).collect();
    assert!(
        answers.iter().any(|answer| answer.contains("visit 2")),
        "{answers:?}"
    );
    let after = host.local().usage(&spec.id).await.unwrap();
    assert!(after.epoch == before.epoch && after.cpu_milli_seconds >= before.cpu_milli_seconds);
    host.end(&spec.id).await;
}

#[tokio::test]
async fn long_logs_are_rotated_and_positions_stay() {
    let host = Local::with(CgroupMode::Auto, |config| config.log_bytes_max = 64 * 1024);
    let text = "i=0; while [ $i -lt 4000 ]; do i=$((i+1)); echo \"line $i ..............................\"; done; echo done; exec sleep 1000";
    let spec = one("chatty", text);
    host.deploy(&spec).await;
    let query = LogQuery {
        tail: Some(1),
        ..LogQuery::default()
    };
    for _ in 0..500 {
        let last = host.local().logs(&spec.id, &query).await.unwrap();
        if last.first().is_some_and(|line| line.text == "done") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let lines = host.local().logs(&spec.id, &LogQuery::default()).await.unwrap();
    assert_eq!(lines.last().unwrap().text, "done");
    let kept: usize = lines.iter().map(|line| line.text.len() + 1).sum();
    assert!((32 * 1024..96 * 1024).contains(&kept), "{kept}");
    let middle = &lines[lines.len() / 2];
    let after = LogQuery {
        after: Some(middle.position),
        ..LogQuery::default()
    };
    let rest = host.local().logs(&spec.id, &after).await.unwrap();
    assert_eq!(rest.as_slice(), &lines[lines.len() / 2 + 1..]);
    host.end(&spec.id).await;
}

#[tokio::test]
async fn what_others_and_the_ceiling_leave_is_the_capacity() {
    let host = Local::with(CgroupMode::Auto, |config| {
        config.capacity = Some(Resources {
            cpu_millis: 500,
            memory_bytes: 200 << 20,
            storage_bytes: u64::MAX,
            gpus: 0,
        });
    });
    let inventory = host.local().inventory().await.unwrap();
    assert_eq!(
        (inventory.capacity.cpu_millis, inventory.capacity.memory_bytes),
        (500, 200 << 20)
    );
    assert!(inventory.capacity.storage_bytes > inventory.foreign_use.storage_bytes);
    let sized = |name: &str, cpu| {
        let mut spec = one(name, "exec sleep 1000");
        spec.services[0].cpu_millis = cpu;
        spec
    };
    let (first, second) = (sized("first", 400), sized("second", 200));
    host.running(&first).await;
    assert_eq!(
        host.local().deploy(&second).await.unwrap_err().kind,
        ErrorKind::Exhausted
    );
    // A stopped workload holds its data but no compute.
    host.local().stop(&first.id).await.unwrap();
    host.running(&second).await;
    assert_eq!(
        host.local().deploy(&first).await.unwrap_err().kind,
        ErrorKind::Exhausted
    );
    host.local().terminate(&first.id).await.unwrap();
    host.end(&second.id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn deploys_at_the_same_time_share_neither_room_nor_ports() {
    let host = Local::with(CgroupMode::Auto, |config| {
        config.capacity = Some(Resources {
            cpu_millis: 300,
            memory_bytes: u64::MAX,
            storage_bytes: u64::MAX,
            gpus: 0,
        });
        config.ports = Some(PortRange {
            first: 21_000,
            last: 21_099,
        });
    });
    let specs: Vec<WorkloadSpec> = (0..5).map(|number| web(&format!("together-{number}"))).collect();
    let [a, b, c, d, e] = [0, 1, 2, 3, 4].map(|number| host.local().deploy(&specs[number]));
    let (a, b, c, d, e) = tokio::join!(a, b, c, d, e);
    let refused: Vec<_> = [a, b, c, d, e].into_iter().filter_map(Result::err).collect();
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert!(refused.iter().all(|error| error.kind == ErrorKind::Exhausted));
    let ids = host.local().list().await.unwrap();
    assert_eq!(ids.len(), 3);
    let mut ports = std::collections::BTreeSet::new();
    for id in &ids {
        let seen = phase(host.local(), id, Phase::Running).await;
        ports.insert(seen.endpoints[0].external_port);
        assert!(get(&seen.endpoints[0], "/").unwrap().contains(id.as_str()));
    }
    assert!(ports.len() == 3 && ports.iter().all(|port| (21_000..21_100).contains(port)));
    for id in &ids {
        host.local().terminate(id).await.unwrap();
    }
    assert_eq!(host.processes(), Vec::<i32>::new());
}
