//! Sizes and durations as arguments.

use std::time::Duration;

/// `64MiB`, `1.5GiB`, `512KiB`, `100B` or a plain number of bytes.
///
/// # Errors
/// What may be given.
pub fn bytes(text: &str) -> Result<usize, String> {
    const UNITS: [(&str, f64); 5] =
        [("KiB", 1024.0), ("MiB", 1_048_576.0), ("GiB", 1_073_741_824.0), ("B", 1.0), ("", 1.0)];
    let bytes = quantity(text, &UNITS).ok_or("give a number and B, KiB, MiB or GiB, for example 64MiB")?;
    // 64 TiB: beyond any machine's memory, and exact in f64.
    if bytes > 70_368_744_177_664.0 {
        return Err("the most is 65536GiB".into());
    }
    Ok(bytes as usize)
}

/// `60s`, `1.5m`, `500ms`, `20us` or `1h`, of a day at most.
///
/// # Errors
/// What may be given.
pub fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, f64); 5] = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let seconds = quantity(text, &UNITS).ok_or("give a number and us, ms, s, m or h, for example 60s")?;
    if !(1e-6..=86400.0).contains(&seconds) {
        return Err("give 1us to 24h".into());
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// `1e-5`: a number above zero, and at most 1.
///
/// # Errors
/// What may be given.
pub fn error(text: &str) -> Result<f64, String> {
    let error = text.parse().ok().filter(|error| *error > 0.0 && *error <= 1.0);
    error.ok_or_else(|| "give a number above 0 and at most 1, for example 1e-5".into())
}

/// A decimal number and one of `units`.
fn quantity(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| unit.eq_ignore_ascii_case(name))?;
    number.parse::<f64>().ok().map(|number| number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_units() {
        assert_eq!(bytes("0"), Ok(0));
        assert_eq!(bytes("64MiB"), Ok(64 << 20));
        assert_eq!(bytes("1.5kib"), Ok(1536));
        assert_eq!(duration("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        for wrong in ["", "MiB", "64Mb", "-1", "1e9", "1.2.3", "99999999999999999999GiB", "nan", "∞"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "60", "s", "-1s", "0s", "25h", "1d", "99999999999999999999h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!(error("1e-5"), Ok(1e-5));
        for wrong in ["0", "-1", "nan", "inf", "2", "x"] {
            assert!(error(wrong).is_err(), "{wrong}");
        }
    }
}
