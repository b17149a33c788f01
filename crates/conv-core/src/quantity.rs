//! How quantities are written for people.

/// `0`, `640 B`, `4.2 MiB`: three digits where there is a fraction.
pub fn format_bytes(bytes: f64) -> String {
    if bytes == 0.0 {
        return "0".into();
    }
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let rounded = |unit: usize| bytes / 1024_f64.powi(unit as i32);
    // 1023.7 KiB reads as 1 MiB.
    let unit = (0..units.len() - 1).find(|&unit| rounded(unit) < 999.5).unwrap_or(units.len() - 1);
    let value = format_value(rounded(unit));
    let value = if value.contains('.') { value.trim_end_matches('0').trim_end_matches('.') } else { &value };
    format!("{value} {}", units[unit])
}

/// Three digits or all of the integer part: `0.52`, `4.10`, `16.0`, `1204`.
pub fn format_value(value: f64) -> String {
    let decimals = match value {
        0.0 => 0,
        value if value < 9.995 => 2,
        value if value < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

/// `60965224` as `60,965,224`.
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_three_digits() {
        let text = [0.0, 0.5, 0.524, 4.1, 9.996, 99.6, 99.96, 1204.0].map(format_value);
        assert_eq!(text, ["0", "0.50", "0.52", "4.10", "10.0", "99.6", "100", "1204"]);
        let text = [0.0, 12.0, 1023.9 * 1024.0, 4_614_144.0].map(format_bytes);
        assert_eq!(text, ["0", "12 B", "1 MiB", "4.4 MiB"]);
    }
}
