use alloc::vec;

use super::*;
use crate::market::{Attribute, Endpoint, EndpointKind, ResourceUnit, StorageVolume};
use crate::money::Price;
use crate::workload::{HealthCheck, Probe, Protocol, RestartPolicy, ServiceKind};

/// spec/chain.md D.7.
const RIOT_WEB_JSON: &str = r#"[{"name":"global","services":[{"args":null,"command":null,"count":1,"credentials":null,"env":null,"expose":[{"endpointSequenceNumber":0,"externalPort":0,"global":true,"hosts":["test.localhost"],"httpOptions":{"maxBodySize":1048576,"nextCases":["error","timeout"],"nextTimeout":0,"nextTries":3,"readTimeout":60000,"sendTimeout":60000},"ip":"","port":80,"proto":"TCP","service":""}],"image":"bubuntux/riot-web","name":"web","resources":{"cpu":{"units":{"val":"10"}},"endpoints":[{"sequence_number":0}],"gpu":{"units":{"val":"0"}},"id":1,"memory":{"size":{"val":"134217728"}},"storage":[{"name":"default","size":{"val":"536870912"}}]}}]}]"#;

#[test]
fn the_hash_is_that_of_the_chain() {
    let manifest = valid(&example("riot-web.yaml"));
    assert_eq!(manifest.canonical_json(), RIOT_WEB_JSON);
    assert_eq!(
        hex::encode(manifest.hash()),
        "3181b0aea7c9fa6ed855f3d5ae466d7715642f464197cd640f2ead3ba7dd555e"
    );
}

/// Hashes are announced on chain: a change of the canonical form would orphan every deployment. These were computed by this
/// code; the first one of them is checked against the chain above.
#[test]
fn hashes_never_change() {
    let hashes = VALID.map(|file| (file, hex::encode(valid(&example(file)).hash())));
    for (file, hash) in &hashes {
        let expected = match *file {
            "training-v2beta1.yaml" => "d1e2ce419545ce7506a7c8f27816b037f2460372c156370f6fd1f56103ef9b6e",
            "riot-web.yaml" => "3181b0aea7c9fa6ed855f3d5ae466d7715642f464197cd640f2ead3ba7dd555e",
            "two-placements.yaml" => "e98fc9601c5cf93eeebd8d0dddf618bb5b80bee56fffee3cd27aa975b291dc9b",
            "kubernetes-v1.json" => "6de1161484d6a0af9732d2e93cb663694dab5642fcaa6e01bbfedb84ed8e6d26",
            "openstack-v1.json" => "36127b3db6f3eba38239ba18464d2bf538deb3ea60525f295a9c2b64041600b9",
            "azure-v1.json" => "28c9976ce6696f9902e89313a6c57348f54f7b15f4fc9dd29c4b9496eddb99d5",
            _ => "05af9220edf53f4d0db27d88234565591372b34d882e869b3c14b89d68bdc79f",
        };
        assert_eq!(hash, expected, "{file}");
    }
}

#[test]
fn a_placement_becomes_the_group_that_goes_on_chain() {
    let specs = valid(&example("riot-web.yaml")).group_specs();
    // spec/chain.md D.8, MsgCreateDeployment.
    let unit = ResourceUnit {
        id: 1,
        count: 1,
        cpu_millis: 10,
        memory_bytes: 134_217_728,
        storage: vec![StorageVolume {
            name: "default".into(),
            bytes: 536_870_912,
            attributes: vec![],
        }],
        gpus: 0,
        gpu_attributes: vec![],
        cpu_attributes: vec![],
        memory_attributes: vec![],
        endpoints: vec![Endpoint {
            kind: EndpointKind::SharedHttp,
            sequence_number: 0,
        }],
        price: Price::new("uve".parse().unwrap(), "30".parse().unwrap()),
    };
    let group = GroupSpec {
        name: "global".into(),
        attributes: vec![],
        signed_by_all_of: vec![],
        signed_by_any_of: vec![],
        resources: vec![unit],
    };
    assert_eq!(specs, [group]);
}

#[test]
fn placements_and_services_are_sorted_and_numbered() {
    let manifest = valid(&example("two-placements.yaml"));
    let specs = manifest.group_specs();
    let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
    assert_eq!(names, ["east", "west"]);
    let west = &specs[1];
    assert_eq!(west.attributes[0], attribute("region", "us-west"));
    assert_eq!(west.signed_by_all_of.len(), 1);
    assert_eq!(west.signed_by_any_of.len(), 1);
    let units: Vec<(u32, u32, u64)> = west
        .resources
        .iter()
        .map(|u| (u.id, u.count, u.cpu_millis))
        .collect();
    assert_eq!(units, [(1, 1, 500), (2, 2, 4000)]);
    let web = &west.resources[1];
    let kinds: Vec<(EndpointKind, u32)> = web
        .endpoints
        .iter()
        .map(|e| (e.kind, e.sequence_number))
        .collect();
    let address = web.endpoints[1].sequence_number;
    assert!(address >= 1);
    assert_eq!(
        kinds,
        [
            (EndpointKind::RandomPort, 0),
            (EndpointKind::LeasedIp, address),
            (EndpointKind::SharedHttp, 0)
        ]
    );
    assert_eq!(
        web.gpu_attributes,
        [
            attribute("vendor/amd/model/*", "true"),
            attribute("vendor/nvidia/model/a100/ram/80Gi/interface/sxm", "true"),
            attribute("vendor/nvidia/model/t4", "true"),
        ]
    );
    assert_eq!(manifest.denom().map(Denom::as_str), Some("uve"));
}

fn attribute(key: &str, value: &str) -> Attribute {
    Attribute {
        key: key.into(),
        value: value.into(),
    }
}

#[test]
fn a_service_keeps_what_an_adapter_needs() {
    let manifest = valid(&example("two-placements.yaml"));
    let id: WorkloadId = "w-1".parse().unwrap();
    let workload = manifest.workload("west", id.clone(), None).unwrap();
    assert!(manifest.workload("north", id, None).is_none());
    let db = &workload.services[0];
    assert_eq!(db.env["POSTGRES_PASSWORD"], "a=b<c>&d");
    assert_eq!(db.env["TZ"], "");
    assert_eq!(db.exposes[0].to_services, ["web"]);
    assert!(!db.exposes[0].global);
    let data = db.volumes.iter().find(|volume| volume.name == "data").unwrap();
    assert_eq!(
        (
            data.mount.as_deref(),
            data.persistent,
            data.class.as_deref(),
            data.read_only
        ),
        (Some("/var/lib/postgresql/data"), true, Some("beta2"), false)
    );
    assert_eq!(db.credentials.as_ref().unwrap().username, "bob");
    let web = &workload.services[1];
    assert_eq!((web.exposes[0].port, web.exposes[0].external_port), (8080, 80));
    assert_eq!(web.exposes[1].protocol, Protocol::Udp);
    assert_eq!(web.exposes[1].ip.as_deref(), Some("dns"));
    assert_eq!(web.args, ["-g", "daemon off;"]);
}

#[test]
fn a_v1_service_keeps_its_probes_hooks_and_mounts() {
    let manifest = valid(&example("shop-v1.yaml"));
    let services = manifest.groups()[0].services();
    let api = services[0].spec();
    assert_eq!(api.image, "registry.example.com/shop/api:1.4");
    assert_eq!(
        (api.cpu_millis, api.count, api.restart),
        (500, 3, RestartPolicy::OnFailure)
    );
    assert_eq!(
        api.health,
        Some(HealthCheck {
            probe: Probe::Http {
                path: "/healthz".into(),
                port: 8080,
                https: true
            },
            initial_delay_seconds: 5,
            period_seconds: 10,
            timeout_seconds: 2,
            failure_threshold: 3,
            success_threshold: 1,
        })
    );
    assert_eq!(api.hooks.pre_stop.as_ref().unwrap().timeout_seconds, 30);
    let volumes: Vec<(&str, Option<&str>)> = api
        .volumes
        .iter()
        .map(|v| (v.name.as_str(), v.mount.as_deref()))
        .collect();
    assert_eq!(volumes, [("default", None), ("data", Some("/var/lib/api"))]);
    assert_eq!(api.gpu_models, ["vendor/nvidia/model/a100"]);
    assert_eq!(
        (services[1].spec().kind, services[1].spec().count),
        (ServiceKind::Vm, 1)
    );
    assert_eq!(
        manifest.groups()[0].attributes(),
        [attribute("region", "us-east")]
    );
}

#[test]
fn totals_of_groups_workloads_and_manifest_agree() {
    for file in VALID {
        let manifest = valid(&example(file));
        let mut total = Resources::ZERO;
        for spec in manifest.group_specs() {
            let id: WorkloadId = "w-1".parse().unwrap();
            let workload = manifest.workload(&spec.name, id, None).unwrap();
            assert_eq!(workload.total(), spec.total(), "{file}");
            total = total.checked_add(&spec.total().unwrap()).unwrap();
        }
        assert_eq!(manifest.total(), Ok(total), "{file}");
    }
}

#[test]
fn a_v1_manifest_binds_what_the_chain_has_no_words_for() {
    let text = example("shop-v1.yaml");
    let hash = valid(&text).hash();
    for (from, to) in [
        ("/healthz", "/health"),
        ("on-failure", "never"),
        ("/bin/warm-up", "/bin/false"),
        ("type: vm", "type: container"),
        ("mount_path: /var/lib/api", "mount_path: /var/lib/other"),
    ] {
        assert_ne!(valid(&text.replacen(from, to, 1)).hash(), hash, "{from}");
    }
}

#[test]
fn a_group_on_chain_matches_its_manifest_and_no_other() {
    for file in VALID {
        let manifest = valid(&example(file));
        for spec in manifest.group_specs() {
            assert_eq!(manifest.matches(&spec), Ok(()), "{file}");
        }
    }
    let manifest = valid(&example("two-placements.yaml"));
    let mut turned = manifest.group_specs().remove(1);
    turned.resources.reverse();
    for unit in &mut turned.resources {
        unit.storage.reverse();
        unit.endpoints.reverse();
        unit.gpu_attributes.reverse();
    }
    assert_eq!(
        manifest.matches(&turned),
        Ok(()),
        "the order of lists says nothing"
    );
    let manifest = valid(&example("riot-web.yaml"));
    let spec = manifest.group_specs().remove(0);
    let change = |edit: &dyn Fn(&mut GroupSpec)| {
        let mut changed = spec.clone();
        edit(&mut changed);
        let problems = manifest.matches(&changed).unwrap_err();
        problems.iter().map(|p| p.path.clone()).collect::<Vec<_>>()
    };
    assert_eq!(change(&|g| g.resources[0].cpu_millis += 1), ["global[0].cpu"]);
    assert_eq!(
        change(&|g| g.resources[0].memory_bytes += 1),
        ["global[0].memory"]
    );
    assert_eq!(change(&|g| g.resources[0].gpus += 1), ["global[0].gpu"]);
    assert_eq!(change(&|g| g.resources[0].count += 1), ["global[0].count"]);
    assert_eq!(
        change(&|g| g.resources[0].storage[0].bytes += 1),
        ["global[0].storage"]
    );
    assert_eq!(
        change(&|g| g.resources[0].endpoints.clear()),
        ["global[0].endpoints"]
    );
    assert_eq!(
        change(&|g| g.resources[0].cpu_attributes.push(attribute("arch", "arm64"))),
        ["global[0].attributes"]
    );
    assert_eq!(change(&|g| g.resources.clear()), ["global"]);
    assert_eq!(change(&|g| g.name = "other".into()), [""]);
    let mut cheaper = spec.clone();
    cheaper.resources[0].price = Price::new("uve".parse().unwrap(), "1".parse().unwrap());
    assert_eq!(manifest.matches(&cheaper), Ok(()));
}
