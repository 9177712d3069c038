//! Amounts as the API writes them: `100m`, `1.5Gi`, `2k`, `1e9`.

/// Thousandths of the amount, rounded down; `None` when it is not an amount, is negative or too large.
pub(crate) fn thousandths(text: &str) -> Option<u64> {
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let digits = format!("{whole}{fraction}");
    let mantissa: u128 = digits.parse().ok()?;
    let decimals = u32::try_from(fraction.len()).ok()?;
    let (numerator, denominator) = scale(suffix)?;
    let value = mantissa.checked_mul(numerator)?.checked_mul(1000)?;
    let divisor = denominator.checked_mul(10_u128.checked_pow(decimals)?)?;
    u64::try_from(value / divisor).ok()
}

/// The amount in whole units, rounded down.
pub(crate) fn whole(text: &str) -> Option<u64> {
    // Bytes of a large cluster in thousandths would not fit.
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    if let (Ok(number), Some((numerator, 1))) = (number.parse::<u128>(), scale(suffix)) {
        return u64::try_from(number.checked_mul(numerator)?).ok();
    }
    thousandths(text).map(|value| value / 1000)
}

/// What a suffix multiplies by, and divides by.
fn scale(suffix: &str) -> Option<(u128, u128)> {
    let binary = |power: u32| Some((1_u128 << (10 * power), 1));
    let decimal = |power: u32| Some((10_u128.pow(power), 1));
    match suffix {
        "" => Some((1, 1)),
        "n" => Some((1, 1_000_000_000)),
        "u" => Some((1, 1_000_000)),
        "m" => Some((1, 1000)),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => {
            let power: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            let size = 10_u128.checked_pow(power.unsigned_abs().min(30))?;
            Some(if power < 0 { (1, size) } else { (size, 1) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_the_cluster_means_them() {
        for (text, value) in [
            ("2", 2000),
            ("100m", 100),
            ("1.5", 1500),
            ("508736n", 0),
            ("1Ki", 1_024_000),
            ("0.5Gi", 536_870_912_000),
            ("2k", 2_000_000),
            ("1e3", 1_000_000),
            ("12E-1", 1200),
        ] {
            assert_eq!(thousandths(text), Some(value), "{text}");
        }
        for text in ["", "-1", "1x", ".", "e3", "1..2", "99999999999999999999Ei"] {
            assert_eq!(thousandths(text), None, "{text}");
        }
        assert_eq!(whole("16Ei"), None);
        assert_eq!(whole("8Ei"), Some(8 << 60));
        assert_eq!(whole("1536Mi"), Some(1536 << 20));
        assert_eq!(whole("1500m"), Some(1));
    }
}
