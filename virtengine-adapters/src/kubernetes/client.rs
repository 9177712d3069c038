//! Requests to the API: each has an end, each failure says what was being done.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use virtengine_provider_core::ports::adapter::{ErrorKind, Retry};

use super::config::{Config, ConfigError};
use super::error::{Effect, Failure, Outcome};
use super::name::MANAGER;

/// Longest time until a connection stands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Most objects of one kind that a list is read for.
const OBJECTS_MAX: usize = 100_000;

/// Objects per page of a list.
const PAGE: u32 = 500;

/// An object of a namespace whose kind is known here.
pub(crate) trait Object:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned
{
}

impl<K> Object for K where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
{
}

/// The API of one cluster.
#[derive(Clone)]
pub(crate) struct Calls {
    pub(crate) client: Client,
    timeout: Duration,
}

/// Reads how to reach the cluster.
pub(crate) async fn connect(config: &Config) -> Result<Calls, ConfigError> {
    let bad = |message: String| ConfigError {
        field: "kubeconfig",
        message,
    };
    let mut access = match &config.kubeconfig {
        Some(path) => {
            let file =
                Kubeconfig::read_from(path).map_err(|error| bad(format!("{}: {error}", path.display())))?;
            kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                .await
                .map_err(|error| bad(format!("{}: {error}", path.display())))?
        }
        None => kube::Config::incluster()
            .map_err(|error| bad(format!("is not set, and this is no pod of a cluster: {error}")))?,
    };
    access.connect_timeout = Some(CONNECT_TIMEOUT);
    access.default_retry = false;
    // Somebody else of this process may have chosen already; then that is good enough.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::try_from(access).map_err(|error| bad(error.to_string()))?;
    Ok(Calls {
        client,
        timeout: config.call_timeout,
    })
}

impl Calls {
    /// Waits for an answer, but not for ever.
    pub(crate) async fn answer<T>(
        &self,
        doing: &str,
        effect: Effect,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Outcome<T> {
        match tokio::time::timeout(self.timeout, call).await {
            Ok(answer) => answer.map_err(|error| Failure::of(doing, effect, &error)),
            Err(_) => {
                let message = format!("{doing}: no answer within {:?}", self.timeout);
                Err(Failure::new(ErrorKind::Unavailable, effect.retry(), message))
            }
        }
    }

    pub(crate) fn api<K: Object>(&self, namespace: &str) -> Api<K> {
        Api::namespaced(self.client.clone(), namespace)
    }

    pub(crate) fn namespaces(&self) -> Api<Namespace> {
        Api::all(self.client.clone())
    }

    pub(crate) async fn namespace(&self, name: &str) -> Outcome<Option<Namespace>> {
        let doing = format!("read namespace {name}");
        self.answer(&doing, Effect::Read, self.namespaces().get_opt(name))
            .await
    }

    pub(crate) async fn create_namespace(&self, namespace: &Namespace) -> Outcome<Namespace> {
        let doing = format!("create namespace {}", namespace.name_any());
        let params = PostParams {
            dry_run: false,
            field_manager: Some(MANAGER.to_owned()),
        };
        let api = self.namespaces();
        self.answer(&doing, Effect::Write, api.create(&params, namespace))
            .await
    }

    /// Makes the object be as it is given here, whoever changed it meanwhile.
    pub(crate) async fn apply<K: Object>(&self, object: &K) -> Outcome<K> {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let doing = format!("apply {} {namespace}/{name}", K::kind(&()));
        let api: Api<K> = self.api(&namespace);
        let params = PatchParams::apply(MANAGER).force();
        let patch = Patch::Apply(object);
        self.answer(&doing, Effect::Write, api.patch(&name, &params, &patch))
            .await
    }

    pub(crate) async fn apply_namespace(&self, namespace: &Namespace) -> Outcome<Namespace> {
        let name = namespace.name_any();
        let doing = format!("apply namespace {name}");
        let api = self.namespaces();
        let params = PatchParams::apply(MANAGER).force();
        let patch = Patch::Apply(namespace);
        self.answer(&doing, Effect::Write, api.patch(&name, &params, &patch))
            .await
    }

    /// Changes some fields of an object.
    pub(crate) async fn merge<K: Object>(&self, namespace: &str, name: &str, change: &Value) -> Outcome<K> {
        let doing = format!("change {} {namespace}/{name}", K::kind(&()));
        let api: Api<K> = self.api(namespace);
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(change);
        self.answer(&doing, Effect::Write, api.patch(name, &params, &patch))
            .await
    }

    pub(crate) async fn merge_namespace(&self, name: &str, change: &Value) -> Outcome<Namespace> {
        let doing = format!("change namespace {name}");
        let api = self.namespaces();
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(change);
        self.answer(&doing, Effect::Write, api.patch(name, &params, &patch))
            .await
    }

    /// Deletes an object and what belongs to it; a missing one is deleted already.
    pub(crate) async fn delete<K: Object>(&self, namespace: &str, name: &str) -> Outcome<()> {
        let doing = format!("delete {} {namespace}/{name}", K::kind(&()));
        let api: Api<K> = self.api(namespace);
        let params = DeleteParams::background();
        missing_is_fine(
            self.answer(&doing, Effect::Write, api.delete(name, &params))
                .await,
        )
    }

    pub(crate) async fn delete_namespace(&self, name: &str, uid: Option<String>) -> Outcome<()> {
        let doing = format!("delete namespace {name}");
        let api = self.namespaces();
        let mut params = DeleteParams::background();
        // Never another one that took the name meanwhile.
        params.preconditions = Some(kube::api::Preconditions {
            uid,
            resource_version: None,
        });
        missing_is_fine(
            self.answer(&doing, Effect::Write, api.delete(name, &params))
                .await,
        )
    }

    /// All objects of one namespace that `labels` selects.
    pub(crate) async fn list<K: Object>(&self, namespace: &str, labels: &str) -> Outcome<Vec<K>> {
        let params = ListParams::default().labels(labels);
        self.pages(self.api(namespace), params).await
    }

    /// Reads a list page by page.
    pub(crate) async fn pages<K>(&self, api: Api<K>, params: ListParams) -> Outcome<Vec<K>>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let doing = format!("list {}", K::plural(&()));
        let mut params = params.limit(PAGE);
        let mut all = Vec::new();
        loop {
            let page = self.answer(&doing, Effect::Read, api.list(&params)).await?;
            all.extend(page.items);
            if all.len() > OBJECTS_MAX {
                let message = format!("{doing}: there are more than {OBJECTS_MAX}");
                return Err(Failure::new(ErrorKind::Exhausted, Retry::Later, message));
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(all),
            }
        }
    }
}

fn missing_is_fine<T>(answer: Outcome<T>) -> Outcome<()> {
    match answer {
        Err(failure) if failure.kind == ErrorKind::NotFound => Ok(()),
        answer => answer.map(drop),
    }
}
