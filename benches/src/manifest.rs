//! Manifests with as many services as one may have.

use std::fmt::Write as _;

use virtengine_provider_core::manifest::limits::SERVICES_MAX;

/// A manifest of version 2beta1 in YAML, with [`SERVICES_MAX`] services.
#[must_use]
pub fn v2beta1() -> String {
    let mut text = String::from("version: v2beta1\nservices:\n");
    each(&mut text, |n| {
        format!(
            "  web-{n}:
    image: registry.example.com/shop/web:1.{n}
    command: [/bin/web]
    args: [--listen, ':8080', --workers, '{n}']
    env:
      - LOG_LEVEL=info
      - SHARD={n}
    expose:
      - port: 8080
        as: 80
        accept: [web-{n}.example.com]
        to:
          - global: true
      - port: 9100
        proto: tcp
        to:
          - service: web-0
"
        )
    });
    text.push_str("profiles:\n  compute:\n");
    each(&mut text, |n| {
        format!(
            "    web-{n}:
      resources:
        cpu:
          units: 0.5
        memory:
          size: 512Mi
        storage:
          size: 1Gi
"
        )
    });
    text.push_str(
        "  placement:
    us-east:
      attributes:
        region: us-east
      pricing:
",
    );
    each(&mut text, |n| {
        format!("        web-{n}:\n          denom: uve\n          amount: 1000\n")
    });
    text.push_str("deployment:\n");
    each(&mut text, |n| {
        format!("  web-{n}:\n    us-east:\n      profile: web-{n}\n      count: 2\n")
    });
    text
}

/// A manifest of version 1 in YAML, with [`SERVICES_MAX`] services.
#[must_use]
pub fn v1() -> String {
    let mut text = String::from("version: v1\nname: shop\nservices:\n");
    each(&mut text, |n| {
        format!(
            "  - name: web-{n}
    type: container
    image: registry.example.com/shop/web
    tag: '1.{n}'
    command: [/bin/web]
    args: [--listen, ':8080', --workers, '{n}']
    env: {{LOG_LEVEL: info, SHARD: '{n}'}}
    resources: {{cpu: 0.5, memory: 512Mi, storage: 1Gi}}
    ports:
      - {{name: http, container_port: 8080, protocol: tcp, expose: true, external_port: 80}}
      - {{name: metrics, container_port: 9100, protocol: tcp}}
    replicas: 2
    restart_policy: on-failure
    health_check:
      http: {{path: /healthz, port: 8080}}
      period_seconds: 10
      timeout_seconds: 2
"
        )
    });
    text
}

fn each(text: &mut String, of: impl Fn(usize) -> String) {
    for number in 0..SERVICES_MAX {
        let _ = write!(text, "{}", of(number));
    }
}
