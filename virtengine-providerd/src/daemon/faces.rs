//! The faces of the daemon: health and metrics, the operator's socket, the tenants' API.

use std::sync::Arc;

use virtengine_gateway::health::{HealthBoard, HealthServer, HealthServerOptions};
use virtengine_gateway::operator::{OperatorServer, OperatorServerOptions};
use virtengine_gateway::tenant::{TenantServer, TenantServerOptions, TlsChoice};
use virtengine_provider_core::ports::clock::Clock;

use super::build::Shared;
use super::{carry, operator, tenants};
use crate::config::Config;

/// The servers.
#[derive(Debug)]
pub(super) struct Faces {
    pub(super) health: HealthServer,
    pub(super) operator: OperatorServer,
    pub(super) tenants: TenantServer,
}

/// Opens them all, or none.
pub(super) async fn open(shared: &Arc<Shared>) -> anyhow::Result<Faces> {
    let gateway = &shared.config.gateway;
    let clock = || -> Arc<dyn Clock> { Arc::<dyn carry::ClockDebug>::clone(&shared.clock) };
    let source = Arc::clone(&shared.board);
    let options = HealthServerOptions {
        listen: gateway.metrics_listen,
        ..HealthServerOptions::default()
    };
    let health = HealthServer::start(options, source, Arc::clone(&shared.metrics), clock())?;
    let options = OperatorServerOptions::new(&gateway.operator_socket);
    let api = Arc::new(operator::Operator::new(Arc::clone(shared)));
    let operator =
        OperatorServer::start(options, api, Arc::<HealthBoard>::clone(&shared.board), clock()).await?;
    let tls = tls(&shared.config);
    let mut options = TenantServerOptions::new(
        gateway.listen,
        tls,
        shared.provider.clone(),
        shared.config.chain.chain_id.clone(),
    );
    options.nonce_file = Some(shared.config.storage.dir.join("nonces"));
    let api = Arc::new(tenants::Tenants::new(Arc::clone(shared)));
    let tenants = match TenantServer::start(options, api, Arc::clone(&shared.metrics), clock()).await {
        Ok(tenants) => tenants,
        Err(error) => {
            operator.stop().await;
            return Err(error.into());
        }
    };
    Ok(Faces {
        health,
        operator,
        tenants,
    })
}

/// Plain HTTP never leaves this host: away from loopback there is a certificate, if need be one that we sign ourselves.
fn tls(config: &Config) -> TlsChoice {
    match &config.gateway.tls {
        Some(tls) => TlsChoice::Files {
            certificate: tls.cert.clone(),
            key: tls.key.clone(),
        },
        None if config.gateway.listen.ip().is_loopback() => TlsChoice::Off,
        None => TlsChoice::SelfSigned {
            directory: config.storage.dir.join("tls"),
            names: config
                .provider
                .host_uri
                .iter()
                .filter_map(|uri| host_of(uri))
                .collect(),
        },
    }
}

/// The host of an address such as `https://provider.example:8443`.
fn host_of(uri: &str) -> Option<String> {
    let authority = uri.split_once("://")?.1.split('/').next()?;
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    (!host.is_empty()).then(|| host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_are_served_in_the_clear_on_loopback_only() {
        let of = |gateway: &str| {
            let text =
                format!("provider: {{host_uri: 'https://cloud.example:8443'}}\ngateway: {{{gateway}}}\n");
            tls(&crate::config::parse(text.as_bytes(), &|_| None).unwrap())
        };
        assert!(matches!(of(""), TlsChoice::Off));
        assert!(matches!(of("listen: '127.0.0.2:1'"), TlsChoice::Off));
        assert!(matches!(of("listen: '[::1]:1'"), TlsChoice::Off));
        for listen in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1"] {
            let TlsChoice::SelfSigned { names, .. } = of(&format!("listen: '{listen}'")) else {
                panic!("{listen} is served in the clear");
            };
            assert_eq!(names, ["cloud.example"]);
        }
        let files = of("listen: '127.0.0.1:1', tls: {cert: /c, key: /k}");
        assert!(matches!(files, TlsChoice::Files { .. }));
    }
}
