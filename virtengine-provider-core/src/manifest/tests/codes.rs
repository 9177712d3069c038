//! Each row changes one thing of a valid manifest and names the problem that must follow, with its place.

#![expect(clippy::too_many_lines, reason = "tables of rules read best in one piece")]

use super::*;

fn check(base: &str, rows: &[(&str, &str, &str)]) {
    let mut wrong = Vec::new();
    for (from, to, expected) in rows {
        assert!(base.contains(from), "the example does not contain {from:?}");
        match read(base.replacen(from, to, 1).as_bytes()) {
            Ok(_) => wrong.push(format!("{from:?} -> {to:?} was accepted")),
            Err(problems) => {
                let found = lines(&problems);
                if !found.iter().any(|line| line.contains(expected)) {
                    wrong.push(format!(
                        "{from:?} -> {to:?}: expected {expected:?}, found {found:#?}"
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_of_v2beta1_has_its_problem() {
    check(
        &example("training-v2beta1.yaml"),
        &[
            (
                "version: \"v2beta1\"",
                "",
                "version: required, but not there [REQUIRED_FIELD]",
            ),
            (
                "v2beta1\"",
                "v3\"",
                "version: version \"v3\" is not known [UNSUPPORTED_VERSION]",
            ),
            (
                "    image: nginx:latest\n",
                "",
                "services.web.image: required, but not there [REQUIRED_FIELD]",
            ),
            (
                "nginx:latest",
                "\"\"",
                "services.web.image: a value is missing [REQUIRED_FIELD]",
            ),
            ("nginx:latest", "\"nginx:\"", "services.web.image: "),
            ("nginx:latest", "NGINX", "services.web.image: "),
            ("nginx:latest", "nginx@sha256:abc", "services.web.image: "),
            ("nginx:latest", "a.b:99999/nginx", "services.web.image: "),
            ("  web:\n    image", "  we_b:\n    image", "services.we_b: "),
            (
                "  web:\n    image",
                "  1web:\n    image",
                "services.1web: 1web begins with a digit [INVALID_NAME]",
            ),
            (
                "image: nginx:latest",
                "image: nginx:latest\n    imagee: x",
                "services.web.imagee: no such key here [UNKNOWN_FIELD] (did you mean image?)",
            ),
            (
                "image: nginx:latest",
                "image: [nginx]",
                "services.web.image: expected a single value, found a list [WRONG_TYPE]",
            ),
            (
                "    count: 3\n    resources",
                "    count: 2\n    resources",
                "services.web.count: count 2 here, but 3 under deployment [CONFLICT]",
            ),
            (
                "    count: 3\n    resources",
                "    count: 2\n    resources",
                "deployment.web.default.count: count 3 here, but 2 at the service [CONFLICT]",
            ),
            (
                "count: 3\n    resources",
                "count: 0\n    resources",
                "services.web.count: \"0\" is not a whole number of at least 1",
            ),
            (
                "count: 3\n    resources",
                "count: 1001\n    resources",
                "services.web.count: 1001 replicas are more than 1000 [MAX_EXCEEDED]",
            ),
            (
                "units: 1.0",
                "units: 2",
                "services.web.resources.cpu.units: cpu 2000 here, but 1000 in the profile [CONFLICT]",
            ),
            (
                "units: 1.0",
                "units: 2",
                "deployment.web.default: cpu 1000 in the profile, but 2000 at the service [CONFLICT]",
            ),
            (
                "size: 512Mi",
                "size: 1Gi",
                "services.web.resources.memory.size: memory 1073741824 here, but 536870912 in the profile [CONFLICT]",
            ),
            (
                "storage:\n        size: 1Gi",
                "storage:\n        size: 2Gi",
                "services.web.resources.storage: storage default: 2147483648 here",
            ),
            (
                "storage:\n        size: 1Gi",
                "storage:\n        size: 2Gi\n      gpu: {units: 1}",
                "services.web.resources.gpu.units: gpu 1 here, but 0 in the profile [CONFLICT]",
            ),
            (
                "- port: 80\n",
                "- port: 0\n",
                "services.web.expose[0].port: \"0\" is not a whole number between 1 and 65535 [INVALID_VALUE]",
            ),
            (
                "as: 80",
                "as: 70000",
                "services.web.expose[0].as: \"70000\" is not a whole number between 0 and 65535",
            ),
            (
                "proto: tcp",
                "proto: icmp",
                "services.web.expose[0].proto: \"icmp\" is not allowed here [INVALID_VALUE]",
            ),
            (
                "proto: tcp",
                "accept: [Bad_Host]",
                "services.web.expose[0].accept[0]: \"Bad_Host\" is not a host name [INVALID_VALUE]",
            ),
            (
                "proto: tcp",
                "accept: [a.b, a.b]",
                "services.web.expose[0]: host a.b is there twice [DUPLICATE_NAME]",
            ),
            (
                "proto: tcp",
                "http_options: {max_body_size: 104857601}",
                "max_body_size: \"104857601\" is not a whole number",
            ),
            (
                "proto: tcp",
                "http_options: {read_timeout: 60001}",
                "read_timeout: \"60001\" is not",
            ),
            (
                "proto: tcp",
                "http_options: {next_cases: [sometimes]}",
                "next_cases[0]: \"sometimes\" is not allowed here",
            ),
            (
                "proto: tcp",
                "http_options: {next_cases: [\"off\", error]}",
                "next_cases: off stands alone [CONFLICT]",
            ),
            (
                "- global: true",
                "- global: maybe",
                "services.web.expose[0].to[0].global: \"maybe\" is not true or false",
            ),
            (
                "- global: true",
                "- service: db",
                "services.web.expose[0].to[0].service: there is no service \"db\" [UNDEFINED_REFERENCE]",
            ),
            (
                "- global: true",
                "- {}",
                "services.web.expose[0].to[0]: does not say who may reach the port [REQUIRED_FIELD]",
            ),
            (
                "- global: true",
                "- {global: true, ip: x}",
                "services.web.expose[0].to[0].ip: there is no endpoint \"x\" [UNDEFINED_REFERENCE]",
            ),
            (
                "      - port: 80\n",
                "      - {port: 80}\n      - port: 80\n",
                "services.web.expose[1]: port 80 is there twice [DUPLICATE_NAME]",
            ),
            (
                "    expose:",
                "    env: [1X=1]\n    expose:",
                "services.web.env[0]: \"1X\" is not a name of a variable [INVALID_NAME]",
            ),
            (
                "    expose:",
                "    env: [A=1, A=2]\n    expose:",
                "services.web.env[1]: variable \"A\" is there twice [DUPLICATE_NAME]",
            ),
            (
                "    expose:",
                "    command: sh\n    expose:",
                "services.web.command: expected a list, found a single value [WRONG_TYPE]",
            ),
            (
                "    expose:",
                "    credentials: {host: a, username: b}\n    expose:",
                "services.web.credentials.password: required, but not there [REQUIRED_FIELD]",
            ),
            (
                "    expose:",
                "    params: {storage: {data: {mount: /d}}}\n    expose:",
                "services.web.params.storage.data: the profile has no volume \"data\" [UNDEFINED_REFERENCE]",
            ),
            (
                "    expose:",
                "    params: {storage: {default: {mount: d}}}\n    expose:",
                "params.storage.default.mount: not an absolute path below the root [INVALID_VALUE]",
            ),
            (
                "    expose:",
                "    params: {storage: {default: {mount: /a/../b}}}\n    expose:",
                "params.storage.default.mount: not an absolute path below the root [INVALID_VALUE]",
            ),
        ],
    );
}

#[test]
fn every_rule_of_profiles_and_placements_has_its_problem() {
    let base = example("riot-web.yaml");
    check(
        &base,
        &[
            (
                "units: \"0.01\"",
                "units: \"0.009\"",
                "cpu.units: 9 thousandths of a core; the chain takes 10 to 384000 for one unit [INVALID_VALUE]",
            ),
            (
                "units: \"0.01\"",
                "units: 384.001",
                "cpu.units: 384001 thousandths of a core",
            ),
            (
                "units: \"0.01\"",
                "units: -1",
                "cpu.units: \"-1\" is not CPU cores",
            ),
            (
                "units: \"0.01\"",
                "units: 1e3",
                "cpu.units: \"1e3\" is not CPU cores",
            ),
            (
                "units: \"0.01\"",
                "units: \"0.01\", attributes: {a b: c}",
                "cpu.attributes.a b: \"a b\" is not a key of an attribute [INVALID_NAME]",
            ),
            (
                "size: 128Mi",
                "size: 1023Ki",
                "memory.size: 1047552 bytes; the chain takes",
            ),
            ("size: 128Mi", "size: 2049Gi", "memory.size: 2200096997376 bytes"),
            (
                "size: 512Mi",
                "size: 4Mi",
                "storage.size: 4194304 bytes; the chain takes",
            ),
            (
                "size: 512Mi",
                "size: 33Ti",
                "storage.size: 36283883716608 bytes; the chain takes",
            ),
            ("size: 512Mi", "size: -1", "storage.size: \"-1\" is not a size"),
            (
                "storage: {size: 512Mi}",
                "storage: []",
                "storage: at least one volume is needed [REQUIRED_FIELD]",
            ),
            (
                "storage: {size: 512Mi}",
                "storage: [{size: 1Gi}, {size: 2Gi}]",
                "storage[1]: volume default is there twice [DUPLICATE_NAME]",
            ),
            (
                "storage: {size: 512Mi}",
                "storage: [{size: 20Ti}, {name: b, size: 20Ti}]",
                "storage: the volumes together are more than",
            ),
            (
                "storage: {size: 512Mi}",
                "storage: {size: 1Gi, attributes: {class: beta2}}",
                "attributes.class: only persistent volumes have a class [CONFLICT]",
            ),
            (
                "storage: {size: 512Mi}",
                "storage: {size: 1Gi, attributes: {class: ram, persistent: true}}",
                "attributes.class: memory cannot be persistent [CONFLICT]",
            ),
            (
                "storage: {size: 512Mi}",
                "storage: {size: 1Gi, attributes: {persistent: true}}",
                "services.web: the persistent volume default has no mount [REQUIRED_FIELD]",
            ),
            (
                "storage: {size: 512Mi}",
                "storage: {size: 1Gi}, gpu: {units: 25}",
                "gpu.units: 25 GPUs; the chain takes 0 to 24",
            ),
            (
                "storage: {size: 512Mi}",
                "storage: {size: 1Gi}, gpu: {units: 0, attributes: {vendor: {nvidia: }}}",
                "gpu.attributes: kinds of GPUs are named, but no GPU is asked for",
            ),
            (
                "storage: {size: 512Mi}",
                "storage: {size: 1Gi}, gpu: {units: 1, attributes: {vendor: {acme: }}}",
                "gpu.attributes.vendor.acme: no such key here [UNKNOWN_FIELD]",
            ),
            (
                "storage: {size: 512Mi}",
                "storage: {size: 1Gi}, gpu: {units: 1, attributes: {vendor: {nvidia: [{model: a100, interface: agp}]}}}",
                "interface: \"agp\" is not allowed here",
            ),
            (
                ", storage: {size: 512Mi}",
                "",
                "profiles.compute.web.resources.storage: required, but not there [REQUIRED_FIELD]",
            ),
            (
                "amount: 30",
                "amount: 10000001",
                "pricing.web.amount: 10000001 is more than 10000000",
            ),
            (
                "amount: 30",
                "amount: -3",
                "pricing.web.amount: \"-3\" is not a decimal",
            ),
            (
                "denom: uve",
                "denom: u",
                "pricing.web.denom: \"u\" is not a denomination [INVALID_VALUE]",
            ),
            (
                "pricing: {web:",
                "pricing: {wbe:",
                "pricing.wbe: there is no compute profile \"wbe\" [UNDEFINED_REFERENCE]",
            ),
            (
                "pricing: {web:",
                "pricing: {wbe:",
                "deployment.web.global.profile: the placement has no price for profile \"web\" [UNDEFINED_REFERENCE]",
            ),
            (
                "    global: {pricing:",
                "    global: {signedBy: {anyOf: [ve1nobody]}, pricing:",
                "signedBy.anyOf[0]: \"ve1nobody\" is not an address [INVALID_VALUE]",
            ),
            (
                "    global: {pricing",
                "    other: {pricing: {web: {denom: uakt, amount: 1}}}\n    global: {pricing",
                "denom: uve, but another price is in uakt [CONFLICT]",
            ),
            (
                "profile: web",
                "profile: wbe",
                "deployment.web.global.profile: there is no compute profile \"wbe\" [UNDEFINED_REFERENCE]",
            ),
            (
                "web: {global: {profile",
                "web: {globe: {profile",
                "deployment.web.globe: there is no placement \"globe\" [UNDEFINED_REFERENCE]",
            ),
            (
                "web: {global: {profile: web, count: 1}}",
                "db: {global: {profile: web, count: 1}}",
                "deployment.db: there is no service \"db\" [UNDEFINED_REFERENCE]",
            ),
            (
                "web: {global: {profile: web, count: 1}}",
                "web: {}",
                "deployment.web: no placement is named [REQUIRED_FIELD]",
            ),
            (
                ", count: 1",
                "",
                "deployment.web.global.count: required, but not there [REQUIRED_FIELD]",
            ),
            (
                "count: 1}}",
                "count: 1}}\nendpoints: {ip1: {kind: ip}}",
                "endpoints: endpoint ip1 is declared, but no service uses it [UNDEFINED_REFERENCE]",
            ),
            (
                "count: 1}}",
                "count: 1}}\nendpoints: {ip1: {kind: dns}}",
                "endpoints.ip1.kind: \"dns\" is not allowed here [UNSUPPORTED_TYPE]",
            ),
            (
                "count: 1}}",
                "count: 1}}\nendpoints: {I: {kind: ip}}",
                "endpoints.I: \"I\" is not a name of an endpoint [INVALID_NAME]",
            ),
            (
                "version:",
                "include: x\nversion:",
                "include: no such key here [UNKNOWN_FIELD]",
            ),
        ],
    );
    let services: String = (0..=100).map(|i| format!("  s{i}: {{image: a}}\n")).collect();
    check(
        &base,
        &[(
            "services:\n",
            &format!("services:\n{services}"),
            "services: 102 services are more than 100 [MAX_EXCEEDED]",
        )],
    );
}

#[test]
fn what_two_services_cannot_share_has_its_problem() {
    let base = example("two-placements.yaml");
    check(
        &base,
        &[
            (
                "      - port: 5432\n",
                "      - port: 5433\n        accept: [shop.example.com]\n",
                "host shop.example.com is taken by service db already [DUPLICATE_NAME]",
            ),
            (
                "          - service: web",
                "          - {global: true, ip: dns}\n      - port: 53\n        proto: udp\n        to:\n          - {global: true, ip: dns}",
                "port 53 of address dns is taken by service db already [CONFLICT]",
            ),
            (
                "            ip: dns",
                "            ip: dns\n          - {service: db, ip: dns}",
                "ip: a leased address needs global: true [INVALID_VALUE]",
            ),
            (
                "      - service: db",
                "      - service: cache",
                "dependencies[0].service: there is no service \"cache\" [UNDEFINED_REFERENCE]",
            ),
            (
                "          mount: /tmp/cache",
                "          mount: /var/lib/postgresql/data",
                "is mounted twice [DUPLICATE_NAME]",
            ),
        ],
    );
}

#[test]
fn every_rule_of_v1_services_has_its_problem() {
    check(
        &example("shop-v1.yaml"),
        &[
            (
                "name: shop\n",
                "",
                "name: required, but not there [REQUIRED_FIELD]",
            ),
            ("name: shop\n", "name: Shop\n", "name: \"Shop\" is not a name"),
            (
                "name: shop\n",
                &format!("name: {}\n", "a".repeat(64)),
                "is not a name",
            ),
            (
                "name: api\n",
                "name: -api\n",
                "services[0].name: \"-api\" is not a name",
            ),
            (
                "name: worker\n",
                "name: api\n",
                "services[1].name: service api is there twice [DUPLICATE_NAME]",
            ),
            (
                "    type: container\n",
                "",
                "services[0].type: required, but not there [REQUIRED_FIELD]",
            ),
            (
                "type: container",
                "type: lambda",
                "services[0].type: \"lambda\" is not allowed here [UNSUPPORTED_TYPE]",
            ),
            (
                "    image: ubuntu\n",
                "",
                "services[1].image: required, but not there [REQUIRED_FIELD]",
            ),
            (
                "image: ubuntu",
                "image: \"u b\"",
                "services[1].image: \"u b\" is not an image [INVALID_VALUE]",
            ),
            ("tag: \"1.4\"", "tag: \"bad tag\"", "services[0].image: "),
            (
                "shop/api\n",
                "shop/api:1\n",
                "services[0].tag: the image states its tag already [CONFLICT]",
            ),
            (
                "env: {LOG_LEVEL",
                "env: {\"LOG LEVEL\"",
                "\"LOG LEVEL\" is not a name of a variable [INVALID_NAME]",
            ),
            (
                "cpu: 0.5",
                "cpu: 0",
                "services[0].resources.cpu: \"0\" is not a whole number of at least 1 [INVALID_VALUE]",
            ),
            (
                "cpu: 0.5",
                "cpu: 0m",
                "services[0].resources.cpu: must be above zero [INVALID_VALUE]",
            ),
            (
                "cpu: 0.5",
                "cpu: 99999999999999999999",
                "services[0].resources.cpu: ",
            ),
            (
                "memory: 512Mi",
                "memory: 0",
                "services[0].resources.memory: must be above zero [INVALID_VALUE]",
            ),
            (
                "storage: 1Gi",
                "storage: -1",
                "services[0].resources.storage: \"-1\" is not a size",
            ),
            (
                "gpu: 1,",
                "gpu: -1,",
                "services[0].resources.gpu: \"-1\" is not a whole number",
            ),
            (
                "gpu_type: nvidia-a100",
                "gpu_type: \"Tesla V100\"",
                "services[0].resources.gpu_type: not a kind of GPU [INVALID_VALUE]",
            ),
            (
                "gpu: 1, gpu_type",
                "gpu_type",
                "services[0].resources.gpu_type: a kind of GPU is named, but no GPU is asked for",
            ),
            (
                "container_port: 8080",
                "container_port: 65536",
                "services[0].ports[0].container_port: ",
            ),
            (
                "protocol: tcp, expose",
                "protocol: TCP, expose",
                "services[0].ports[0].protocol: \"TCP\" is not allowed here [INVALID_VALUE]",
            ),
            (
                "external_port: 80}",
                "external_port: 65536}",
                "services[0].ports[0].external_port: ",
            ),
            (
                "container_port: 9100, protocol: tcp",
                "container_port: 9100, external_port: 90",
                "services[0].ports[1].external_port: an external port needs expose: true",
            ),
            (
                "container_port: 9100",
                "container_port: 8080",
                "services[0].ports[1].container_port: port 8080 is there twice [DUPLICATE_NAME]",
            ),
            (
                "name: metrics",
                "name: http",
                "services[0].ports[1].name: port http is there twice [DUPLICATE_NAME]",
            ),
            (
                "{name: data, mount_path",
                "{name: date, mount_path",
                "services[0].volumes[0].name: volume date is not declared [UNDEFINED_REFERENCE]",
            ),
            (
                "mount_path: /var/lib/api",
                "mount_path: var/lib",
                "services[0].volumes[0].mount_path: not an absolute path below the root [INVALID_VALUE]",
            ),
            (
                "network_refs: [backend]",
                "network_refs: [back]",
                "services[0].network_refs[0]: network \"back\" is not declared [UNDEFINED_REFERENCE]",
            ),
            (
                "replicas: 3",
                "replicas: 1001",
                "services[0].replicas: 1001 replicas are more than 1000 [MAX_EXCEEDED]",
            ),
            (
                "replicas: 3",
                "replicas: -3",
                "services[0].replicas: \"-3\" is not a whole number",
            ),
            (
                "restart_policy: on-failure",
                "restart_policy: onfailure",
                "restart_policy: \"onfailure\" is not allowed here [INVALID_VALUE] (did you mean on-failure?)",
            ),
            (
                "replicas: 3",
                "repliccas: 3",
                "services[0].repliccas: no such key here [UNKNOWN_FIELD] (did you mean replicas?)",
            ),
        ],
    );
    check(
        "version: v1\nname: a\nservices: []\n",
        &[(
            "name",
            "name",
            "services: at least one service is needed [REQUIRED_FIELD]",
        )],
    );
    let services = "{name: a, type: vm, image: a, resources: {cpu: 1, memory: 1}},".repeat(101);
    let text = format!("version: v1\nname: a\nservices: [{services}]\n");
    check(
        &text,
        &[(
            "name",
            "name",
            "services: 101 services are more than 100 [MAX_EXCEEDED]",
        )],
    );
}

#[test]
fn every_rule_of_v1_beside_services_has_its_problem() {
    check(
        &example("shop-v1.yaml"),
        &[
            (
                "{name: edge",
                "{name: backend",
                "networks[1].name: network backend is declared twice [DUPLICATE_NAME]",
            ),
            (
                "{name: edge, ",
                "{",
                "networks[1].name: required, but not there [REQUIRED_FIELD]",
            ),
            (
                "{name: edge",
                "{name: Edge",
                "networks[1].name: \"Edge\" is not a name",
            ),
            (
                "type: public",
                "type: shared",
                "networks[1].type: \"shared\" is not allowed here [INVALID_VALUE]",
            ),
            (
                "cidr: 10.1.0.0/16",
                "cidr: 10.1.0.0/33",
                "networks[0].cidr: \"10.1.0.0/33\" is not a block of addresses [INVALID_VALUE]",
            ),
            (
                "cidr: 10.1.0.0/16",
                "cidr: 10.1.0.1/16",
                "networks[0].cidr: \"10.1.0.1/16\" is not a block of addresses",
            ),
            (
                "cidr: \"fd00::/64\"",
                "cidr: 10.1.128.0/17",
                "networks[1].cidr: \"10.1.128.0/17\" overlaps another network [CONFLICT]",
            ),
            (
                "volumes:\n  - {name: data, ",
                "volumes:\n  - {name: data, type: ephemeral, size: 1}\n  - {name: data, ",
                "volumes[1].name: volume data is declared twice [DUPLICATE_NAME]",
            ),
            (
                "type: persistent",
                "type: lasting",
                "volumes[0].type: \"lasting\" is not allowed here [UNSUPPORTED_TYPE]",
            ),
            (
                "size: 10Gi",
                "size: 0",
                "volumes[0].size: must be above zero [INVALID_VALUE]",
            ),
            (
                "max_latency_ms: 50",
                "max_latency_ms: -1",
                "constraints.max_latency_ms: \"-1\" is not a whole number",
            ),
            (
                "type: zone",
                "type: rack",
                "constraints.affinity[0].type: \"rack\" is not allowed here [INVALID_VALUE]",
            ),
            (
                "  affinity:",
                "  anti_affinity:\n    - {type: moon}\n  affinity:",
                "constraints.anti_affinity[0].type: \"moon\" is not allowed here",
            ),
            (
                "exec: {command: [/bin/warm-up]}, ",
                "",
                "lifecycle.post_start: needs one of exec, http [REQUIRED_FIELD]",
            ),
            (
                "exec: {command: [/bin/warm-up]}",
                "exec: {command: []}",
                "lifecycle.post_start.exec.command: the command is empty [REQUIRED_FIELD]",
            ),
            (
                "exec: {command: [/bin/warm-up]}",
                "exec: {command: [a]}, http: {port: 1}",
                "lifecycle.post_start: only one of exec, http is allowed [INVALID_VALUE]",
            ),
            (
                "timeout_seconds: 60",
                "timeout_seconds: -1",
                "lifecycle.post_start.timeout_seconds: \"-1\" is not a whole number",
            ),
            (
                "timeout_seconds: 60",
                "timeout_seconds: 3601",
                "lifecycle.post_start.timeout_seconds: \"3601\" is not a whole number between 0 and 3600",
            ),
            (
                "{path: /drain, port: 8080}",
                "{path: /drain, port: 0}",
                "lifecycle.pre_stop.http.port: \"0\" is not a whole number between 1 and 65535",
            ),
            (
                "path: /healthz",
                "path: healthz",
                "services[0].health_check.http.path: not a path of a URL [INVALID_VALUE]",
            ),
            (
                "scheme: https",
                "scheme: gopher",
                "services[0].health_check.http.scheme: \"gopher\" is not allowed here [INVALID_VALUE]",
            ),
            (
                "      http: {path: /healthz, port: 8080, scheme: https}\n",
                "",
                "services[0].health_check: needs one of exec, http, tcp [REQUIRED_FIELD]",
            ),
            (
                "      http: {path: /healthz",
                "      tcp: {port: 1}\n      http: {path: /healthz",
                "services[0].health_check: only one of http, tcp is allowed [INVALID_VALUE]",
            ),
            (
                "initial_delay_seconds: 5",
                "initial_delay_seconds: -5",
                "initial_delay_seconds: \"-5\" is not a whole number",
            ),
            (
                "port: 8080, scheme",
                "scheme",
                "services[0].health_check.http.port: required, but not there [REQUIRED_FIELD]",
            ),
        ],
    );
}

#[test]
fn notices_tell_what_is_not_wrong_but_worth_knowing() {
    let notices = |text: &str| lines(valid(text).notices());
    assert_eq!(
        notices(&example("riot-web.yaml")),
        ["1:10 version: version 2.0 is read as v2beta1 [ALIAS]"]
    );
    let closed = example("training-v2beta1.yaml").replace("global: true", "service: web");
    assert!(notices(&closed)[0].contains("no service is reachable from outside [NO_GLOBAL_SERVICE]"));
    let free = example("training-v2beta1.yaml").replace("amount: 1000", "amount: 0");
    assert!(notices(&free)[0].contains("nobody can bid on a price of zero [DEFAULT_USED]"));
    let unused = example("training-v2beta1.yaml").replace("\nprofiles:", "  db: {image: a}\n\nprofiles:");
    assert!(notices(&unused)[0].contains("service db has no place under deployment"));
    let shop = notices(&example("shop-v1.yaml"));
    for expected in ["0 replicas are read as 1 [DEFAULT_USED]", "[NOT_CARRIED_OUT]"] {
        assert!(
            shop.iter().any(|line| line.contains(expected)),
            "{expected}: {shop:#?}"
        );
    }
}

#[test]
fn text_that_is_no_document_is_refused() {
    assert_eq!(
        refused("- a\n"),
        ["1:1 expected a map of keys and values, found a list [WRONG_TYPE]"]
    );
    assert_eq!(
        refused("version: v1\nname: a: b\n")[0].split(' ').next(),
        Some("2:8")
    );
    let twice = example("riot-web.yaml").replace("image: bubuntux", "image: x\n    image: bubuntux");
    assert!(refused(&twice)[0].contains("services.web.image: the key stands twice"));
}
