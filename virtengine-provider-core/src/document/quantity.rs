//! Text to exact integers. No float is involved: `0.1` core is 100 thousandths, not 99.

use core::time::Duration;

/// Longest duration that is read: 100 years. Longer ones are mistakes, and they would overflow timestamps.
pub const DURATION_MAX: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Reads `1h30m`, `5s`, `250ms`, `2d`: one or more whole numbers, each with a unit (`ms s m h d w`), largest unit first.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut total, mut unit_before) = (text, 0_u64, u64::MAX);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at_checked(digits)?;
        let letters = after.bytes().take_while(u8::is_ascii_lowercase).count();
        let (unit, after) = after.split_at_checked(letters)?;
        let unit_ms = unit_millis(unit)?;
        if unit_ms >= unit_before {
            return None;
        }
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(unit_ms)?)?;
        (rest, unit_before) = (after, unit_ms);
    }
    let duration = Duration::from_millis(total);
    (!text.is_empty() && duration <= DURATION_MAX).then_some(duration)
}

fn unit_millis(unit: &str) -> Option<u64> {
    match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        "w" => Some(604_800_000),
        _ => None,
    }
}

/// CPU cores in thousandths: `1`, `1.0`, `0.5`, `500m`.
#[must_use]
pub fn cpu_millis(text: &str) -> Option<u64> {
    if let Some(millis) = text.strip_suffix('m') {
        return plain(millis);
    }
    scaled(text, 1000)
}

/// Bytes, plain or with a suffix. A fraction is read when it gives whole bytes: `1.5Gi`.
#[must_use]
pub fn bytes(text: &str) -> Option<u64> {
    let letters = text.bytes().rev().take_while(u8::is_ascii_alphabetic).count();
    let (number, suffix) = text.split_at_checked(text.len().checked_sub(letters)?)?;
    let unit = match suffix {
        "" | "B" => 1,
        "k" | "K" | "kB" | "KB" => 1_000,
        "M" | "MB" => 1_000_000,
        "G" | "GB" => 1_000_000_000,
        "T" | "TB" => 1_000_000_000_000,
        "P" | "PB" => 1_000_000_000_000_000,
        "E" | "EB" => 1_000_000_000_000_000_000,
        "Ki" | "KiB" => 1 << 10,
        "Mi" | "MiB" => 1 << 20,
        "Gi" | "GiB" => 1 << 30,
        "Ti" | "TiB" => 1 << 40,
        "Pi" | "PiB" => 1 << 50,
        "Ei" | "EiB" => 1 << 60,
        _ => return None,
    };
    scaled(number, unit)
}

fn plain(digits: &str) -> Option<u64> {
    let legal = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    legal.then(|| digits.parse().ok()).flatten()
}

/// `text × unit`, when that is a whole number.
fn scaled(text: &str, unit: u64) -> Option<u64> {
    let Some((whole, fraction)) = text.split_once('.') else {
        return plain(text)?.checked_mul(unit);
    };
    let fraction_digits = fraction.trim_end_matches('0');
    if fraction.is_empty() || fraction_digits.len() > 18 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut part = u128::from(unit);
    if fraction_digits.is_empty() {
        part = 0;
    } else {
        part = part.checked_mul(u128::from(plain(fraction_digits)?))?;
    }
    for _ in 0..fraction_digits.len() {
        if part.checked_rem(10)? != 0 {
            return None;
        }
        part = part.checked_div(10)?;
    }
    plain(whole)?
        .checked_mul(unit)?
        .checked_add(u64::try_from(part).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_exactly() {
        for (text, millis) in [
            ("5s", 5_000),
            ("1h30m", 5_400_000),
            ("250ms", 250),
            ("1d", 86_400_000),
            ("0", 0),
        ] {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            "5",
            "s",
            "5 s",
            "-5s",
            "30m1h",
            "1.5h",
            "1h1h",
            "99999999999999w",
            "5x",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn cpu_reads_in_whole_thousandths() {
        for (text, millis) in [
            ("1.0", 1000),
            ("0.5", 500),
            ("500m", 500),
            ("1", 1000),
            ("0.01", 10),
            ("2.250", 2250),
        ] {
            assert_eq!(cpu_millis(text), Some(millis), "{text}");
        }
        for text in [
            "",
            "m",
            "0.0005",
            "-1",
            "1e3",
            ".5",
            "1.",
            "+1",
            "1 ",
            "99999999999999999999",
        ] {
            assert_eq!(cpu_millis(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_read_in_whole_bytes() {
        for (text, size) in [
            ("512Mi", 536_870_912),
            ("1Gi", 1 << 30),
            ("1G", 1_000_000_000),
            ("1024", 1024),
            ("1.5Gi", 1_610_612_736),
            ("0.5Ki", 512),
        ] {
            assert_eq!(bytes(text), Some(size), "{text}");
        }
        for text in [
            "", "Gi", "1gi", "-1", "0.1", "1.0001Ki", "16Ei", "1 Gi", "1.Gi", "1GiGi",
        ] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}
