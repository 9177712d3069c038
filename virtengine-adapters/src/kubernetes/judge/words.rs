//! Sentences that a tenant understands, out of the cluster's own.

use k8s_openapi::api::core::v1::Namespace;

/// Longest part of a message of the cluster, in characters.
const LEN_MAX: usize = 240;

/// One line, not too long.
pub(super) fn tidy(text: &str) -> String {
    let line: Vec<&str> = text.split_whitespace().collect();
    let line = line.join(" ");
    let mut short: String = line.chars().take(LEN_MAX).collect();
    if short.len() < line.len() {
        short.push('…');
    }
    short.trim_end_matches('.').to_owned()
}

/// Why no node takes a pod.
pub(super) fn unschedulable(message: &str) -> String {
    let cause = message.split("preemption:").next().unwrap_or_default();
    let cause = cause
        .split_once("nodes are available:")
        .map_or(cause, |(_, cause)| cause);
    let cause = tidy(cause);
    if cause.is_empty() {
        return "no node of the cluster can take it".to_owned();
    }
    format!("no node of the cluster can take it: {cause}")
}

/// Why the cluster refuses to make a pod.
pub(super) fn refusal(message: &str) -> String {
    match message.split_once("exceeded quota:") {
        Some((_, quota)) => format!("its quota does not allow another replica: {}", tidy(quota)),
        None => format!("the cluster refuses to make a replica: {}", tidy(message)),
    }
}

/// Why there is no volume.
pub(super) fn volume(message: &str) -> String {
    let class = message
        .strip_prefix("storageclass.storage.k8s.io ")
        .and_then(|rest| rest.strip_suffix(" not found"));
    match class {
        Some(class) => format!("its volume cannot be made: there is no storage class {class}"),
        None => format!("its volume cannot be made: {}", tidy(message)),
    }
}

/// Why an image is not there.
pub(super) fn image(reason: &str, image: &str, message: &str) -> String {
    match reason {
        "InvalidImageName" => format!("{image:?} is not the name of an image"),
        "ErrImageNeverPull" => format!("the image {image} is not on the node and is never pulled"),
        _ => {
            let said = tidy(message);
            if said.is_empty() || said.starts_with("Back-off") && !said.contains(": ErrImagePull: ") {
                return format!("the image {image} cannot be pulled");
            }
            let cause = said
                .rsplit_once(": ErrImagePull: ")
                .map_or(said.as_str(), |(_, cause)| cause);
            format!("the image {image} cannot be pulled: {cause}")
        }
    }
}

/// Words behind which a volume or an event may be the real cause.
pub(super) fn may_hide_a_cause(words: &str) -> bool {
    words.starts_with("no node of the cluster") || words.starts_with("it is being created")
}

/// How far the removal of a namespace is.
pub(crate) fn removal(namespace: &Namespace) -> String {
    let conditions = namespace
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let stuck = conditions
        .into_iter()
        .flatten()
        .filter(|condition| condition.status == "True")
        .map(|condition| {
            format!(
                "{}: {}",
                condition.type_,
                tidy(condition.message.as_deref().unwrap_or_default())
            )
        });
    let stuck: Vec<String> = stuck.collect();
    if stuck.is_empty() {
        return "it is being removed".to_owned();
    }
    format!("it is being removed; what keeps it: {}", stuck.join("; "))
}
