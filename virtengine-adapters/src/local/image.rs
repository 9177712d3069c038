//! From an image name to the command that stands for it on this host.

use super::config::ImageCommand;
use super::error::{Failure, Outcome};

/// The first entry of `images` that matches `image`.
pub(crate) fn find<'c>(images: &'c [ImageCommand], service: &str, image: &str) -> Outcome<&'c ImageCommand> {
    images
        .iter()
        .find(|entry| matches(&entry.image, image))
        .ok_or_else(|| {
            Failure::invalid(format!(
                "service {service}: image {image} is not offered here; no images are pulled on this host: map it to a \
                 command in the `images` of the local adapter's settings"
            ))
        })
}

/// Whether `image` is meant by `pattern`, as written or without its tag and digest.
fn matches(pattern: &str, image: &str) -> bool {
    glob(pattern.as_bytes(), image.as_bytes()) || glob(pattern.as_bytes(), without_tag(image).as_bytes())
}

fn without_tag(image: &str) -> &str {
    let image = image.split_once('@').map_or(image, |(name, _)| name);
    match image.rsplit_once(':') {
        // A colon before a slash belongs to the port of a registry.
        Some((name, tag)) if !tag.contains('/') => name,
        _ => image,
    }
}

/// `*` is any text, `?` one byte. Linear: only the last `*` is ever returned to.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((star_p, star_t)) = star else {
                    return false;
                };
                star = Some((star_p, star_t + 1));
                p = star_p + 1;
                t = star_t + 1;
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names_and_tags() {
        let check = |pattern: &str, image: &str, expected| {
            assert_eq!(matches(pattern, image), expected, "{pattern} {image}");
        };
        check("nginx", "nginx:latest", true);
        check("nginx", "nginx@sha256:00", true);
        check("nginx", "nginx-unprivileged", false);
        check("nginx:1.?", "nginx:1.2", true);
        check("nginx:1.?", "nginx:1", false);
        check("*/demo-*", "virtengine/demo-web:2", true);
        check("localhost:5000/a", "localhost:5000/a", true);
        check("localhost", "localhost:5000/a", false);
        check("*", "", true);
        check("a*b*c", "axxbxxbyc", true);
        check("a*b*c", "axxbxxby", false);
    }
}
