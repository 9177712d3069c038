//! Logs. A line's position is the time at which the runtime wrote it, in nanoseconds since the epoch; it survives restarts of
//! the container and another pod in its place. The end of what a workload wrote before it was paused or stopped is kept in its
//! namespace, as its pods and their logs are gone.

mod kept;

use futures_util::AsyncReadExt;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::ResourceExt;
use kube::api::{LogParams, ObjectMeta};
use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::adapter::{ErrorKind, LogLine, LogQuery};

use super::adapter::Cluster;
use super::error::{Effect, Failure, Outcome};
use super::name;

/// Most bytes that are read of one replica's log at once.
const BYTES_MAX: i64 = 8 << 20;

/// Most lines of one replica when the caller names no number.
const LINES_MAX: usize = 10_000;

/// Where lines of pods that are gone are kept.
const KEPT: &str = "virtengine-log";
const KEY: &str = "lines";

/// The container that is the service.
const CONTAINER: &str = "service";

impl Cluster {
    pub(super) async fn logs(&self, id: &WorkloadId, query: &LogQuery) -> Outcome<Vec<LogLine>> {
        self.existing(id).await?;
        // Read first what is kept: lines move from the pods to there, never back.
        let kept = self.kept(id).await?;
        Ok(kept::select(
            kept::merge(kept, self.live(id, query).await?),
            query,
        ))
    }

    /// Lines of the pods that are there.
    async fn live(&self, id: &WorkloadId, query: &LogQuery) -> Outcome<Vec<LogLine>> {
        let mut pods: Vec<Pod> = self
            .calls
            .list(&name::namespace(&self.config, id), &name::ours(&self.config))
            .await?;
        pods.sort_by_key(order);
        let mut next = std::collections::BTreeMap::<String, u32>::new();
        let mut lines = Vec::new();
        for pod in &pods {
            let Some(service) = pod.labels().get(name::SERVICE) else {
                continue;
            };
            let number = next.entry(service.clone()).or_default();
            let replica = ordinal(pod).unwrap_or(*number);
            *number = number.saturating_add(1);
            let wanted = query.service.as_ref().is_none_or(|wanted| wanted == service)
                && query.replica.is_none_or(|wanted| wanted == replica);
            if wanted {
                lines.extend(self.replica_logs(pod, service, replica, query).await?);
            }
        }
        Ok(lines)
    }

    /// Keeps the end of what the pods have written, before they go. Best effort: nobody waits for a log to stop.
    pub(super) async fn keep_logs(&self, id: &WorkloadId) {
        let keep = async {
            let live = self.live(id, &LogQuery::default()).await?;
            if live.is_empty() {
                return Ok(());
            }
            let lines = kept::bounded(kept::merge(self.kept(id).await?, live));
            let text = serde_json::to_string(&lines)
                .map_err(|error| Failure::bug(format!("cannot write the log of workload {id}: {error}")))?;
            let mut labels = name::owner_labels(&self.config);
            labels.insert(name::WORKLOAD.to_owned(), id.to_string());
            let object = ConfigMap {
                metadata: ObjectMeta {
                    name: Some(KEPT.to_owned()),
                    namespace: Some(self.namespace_name(id)),
                    labels: Some(labels),
                    ..ObjectMeta::default()
                },
                data: Some([(KEY.to_owned(), text)].into()),
                ..ConfigMap::default()
            };
            self.calls.apply(&object).await.map(drop)
        };
        let kept: Outcome<()> = keep.await;
        if let Err(failure) = kept {
            tracing::warn!(workload = %id, why = %failure.message, "its log is not kept");
        }
    }

    async fn kept(&self, id: &WorkloadId) -> Outcome<Vec<LogLine>> {
        let doing = format!("read the kept log of workload {id}");
        let api = self.calls.api::<ConfigMap>(&self.namespace_name(id));
        let object = self.calls.answer(&doing, Effect::Read, api.get_opt(KEPT)).await?;
        let text = object
            .and_then(|object| object.data?.remove(KEY))
            .unwrap_or_else(|| "[]".to_owned());
        Ok(serde_json::from_str(&text).unwrap_or_else(|error| {
            tracing::error!(workload = %id, %error, "its kept log cannot be understood");
            Vec::new()
        }))
    }

    async fn replica_logs(
        &self,
        pod: &Pod,
        service: &str,
        replica: u32,
        query: &LogQuery,
    ) -> Outcome<Vec<LogLine>> {
        let restarted = pod.status.as_ref().is_some_and(|status| {
            status
                .container_statuses
                .iter()
                .flatten()
                .any(|container| container.restart_count > 0)
        });
        let mut read = Vec::new();
        if restarted {
            // Why it fell is in the log of the one before.
            read.extend(parse(&self.container_log(pod, true, query).await?));
        }
        read.extend(parse(&self.container_log(pod, false, query).await?));
        let mut position = 0;
        let mut lines: Vec<LogLine> = Vec::new();
        for (at, text) in read {
            position = at.max(position + 1);
            if query.after.is_none_or(|after| position > after) && lines.len() < LINES_MAX {
                lines.push(LogLine {
                    service: service.to_owned(),
                    replica,
                    position,
                    text,
                });
            }
        }
        Ok(lines)
    }

    async fn container_log(&self, pod: &Pod, previous: bool, query: &LogQuery) -> Outcome<String> {
        let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
        let doing = format!("read the log of {namespace}/{name}");
        let since = query
            .after
            .and_then(|after| i64::try_from(after / 1_000_000_000).ok());
        let tail = query.tail.unwrap_or(LINES_MAX).min(LINES_MAX);
        let params = LogParams {
            container: Some(CONTAINER.to_owned()),
            previous,
            timestamps: true,
            limit_bytes: Some(BYTES_MAX),
            since_time: since.and_then(|since| k8s_openapi::jiff::Timestamp::from_second(since).ok()),
            // With a beginning given, the end of what follows may not cut it away.
            tail_lines: if query.after.is_none() {
                i64::try_from(tail).ok()
            } else {
                None
            },
            ..LogParams::default()
        };
        let api = self.calls.api::<Pod>(&namespace);
        let read = async {
            let mut bytes = Vec::new();
            let log = api.log_stream(&name, &params).await?;
            let read = log.take(BYTES_MAX.unsigned_abs()).read_to_end(&mut bytes).await;
            read.map_err(kube::Error::ReadEvents)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        match self.calls.answer(&doing, Effect::Read, read).await {
            Ok(text) => Ok(text),
            // It never started, or it has just gone: there is no log.
            Err(Failure {
                kind: ErrorKind::Invalid | ErrorKind::NotFound,
                ..
            }) => Ok(String::new()),
            Err(failure) => Err(failure),
        }
    }
}

/// Replicas have the order in which they were born.
fn order(pod: &Pod) -> (Option<k8s_openapi::jiff::Timestamp>, String) {
    (
        pod.metadata.creation_timestamp.as_ref().map(|time| time.0),
        pod.name_any(),
    )
}

/// The number of a replica that keeps its data.
fn ordinal(pod: &Pod) -> Option<u32> {
    pod.labels().get("apps.kubernetes.io/pod-index")?.parse().ok()
}

/// Lines with their times. What has no time is the end of a line that was cut.
fn parse(text: &str) -> impl Iterator<Item = (u64, String)> {
    text.lines().filter_map(|line| {
        let (time, words) = line.split_once(' ').unwrap_or((line, ""));
        let time: k8s_openapi::jiff::Timestamp = time.parse().ok()?;
        Some((u64::try_from(time.as_nanosecond()).ok()?, words.to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_time_at_which_they_were_written() {
        let text = "2026-11-25T03:00:00.000000001Z hello world\n2026-11-25T03:00:00.5Z \nnonsense\n";
        let lines: Vec<(u64, String)> = parse(text).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].1, "hello world");
        assert_eq!(lines[1].0 - lines[0].0, 499_999_999);
    }
}
