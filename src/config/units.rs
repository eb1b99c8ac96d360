//! Durations and sizes as people write them: whole numbers with a unit.

/// Units of durations in milliseconds, largest first: the order in which they may follow one another.
const DURATIONS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Units of sizes in bytes. Those in powers of two come first, because they are what a size is printed in where both fit.
const SIZES: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// Reads a duration such as `20s`, `2ms` or `1m30s`, in milliseconds.
///
/// # Errors
///
/// What is wrong with the text, as the second half of a sentence that begins with it.
pub(super) fn read_duration_ms(text: &str) -> Result<u64, String> {
    let mut rest = text;
    let mut total_ms: u64 = 0;
    let mut largest_allowed = 0;
    while !rest.is_empty() || largest_allowed == 0 {
        let (number, after) = split_number(rest)?;
        let unit_end = after.find(|letter: char| letter.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        if unit.is_empty() {
            return Err(format!("has no unit, write for example {number}s"));
        }
        let at = DURATIONS
            .iter()
            .position(|(name, _)| *name == unit)
            .ok_or_else(|| format!("has the unknown unit {unit:?}, write ms, s, m or h"))?;
        if at < largest_allowed {
            return Err("repeats a unit or has a larger one after a smaller one".to_owned());
        }
        let part_ms = number.checked_mul(DURATIONS[at].1).ok_or_else(too_large)?;
        total_ms = total_ms.checked_add(part_ms).ok_or_else(too_large)?;
        largest_allowed = at + 1;
        rest = after;
    }
    Ok(total_ms)
}

/// Writes a duration so that [`read_duration_ms`] reads the same: `90000` is `1m30s`.
pub(super) fn print_duration(ms: u64) -> String {
    let mut text = String::new();
    let mut rest_ms = ms;
    for (unit, unit_ms) in DURATIONS {
        if rest_ms / unit_ms > 0 {
            text.push_str(&format!("{}{unit}", rest_ms / unit_ms));
        }
        rest_ms %= unit_ms;
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Reads a size such as `1MiB` or `500KB`, in bytes.
///
/// # Errors
///
/// What is wrong with the text, as the second half of a sentence that begins with it.
pub(super) fn read_size_bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = split_number(text)?;
    if unit.is_empty() {
        return Err(format!("has no unit, write for example {number}KiB"));
    }
    let (_, unit_bytes) = SIZES
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(|| format!("has the unknown unit {unit:?}, write B, KiB, MiB, GiB, KB, MB or GB"))?;
    number.checked_mul(*unit_bytes).ok_or_else(too_large)
}

/// Writes a size so that [`read_size_bytes`] reads the same, in the largest unit that needs no fraction.
pub(super) fn print_size(bytes: u64) -> String {
    let (unit, unit_bytes) =
        SIZES.into_iter().find(|(_, unit_bytes)| bytes > 0 && bytes.is_multiple_of(*unit_bytes)).unwrap_or(("B", 1));
    format!("{}{unit}", bytes / unit_bytes)
}

/// The whole number at the beginning of `text`, and what follows it.
fn split_number(text: &str) -> Result<(u64, &str), String> {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if digits.is_empty() {
        return Err("is not a whole number with a unit".to_owned());
    }
    Ok((digits.parse().map_err(|_| too_large())?, rest))
}

fn too_large() -> String {
    "is too large".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn durations_survive_their_text(ms: u64) {
            prop_assert_eq!(read_duration_ms(&print_duration(ms)), Ok(ms));
        }

        #[test]
        fn sizes_survive_their_text(bytes: u64) {
            prop_assert_eq!(read_size_bytes(&print_size(bytes)), Ok(bytes));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[0-9a-zA-Z .-]{0,24}|\\PC*") {
            if let Ok(ms) = read_duration_ms(&text) {
                prop_assert_eq!(read_duration_ms(&print_duration(ms)), Ok(ms));
            }
            if let Ok(bytes) = read_size_bytes(&text) {
                prop_assert_eq!(read_size_bytes(&print_size(bytes)), Ok(bytes));
            }
        }
    }

    #[test]
    fn durations_have_units() {
        for (text, ms) in [
            ("5m", 300_000),
            ("20s", 20_000),
            ("2ms", 2),
            ("1m30s", 90_000),
            ("24h", 86_400_000),
            ("0s", 0),
            ("0ms", 0),
        ] {
            assert_eq!(read_duration_ms(text), Ok(ms), "{text}");
        }
        assert_eq!(read_duration_ms("5"), Err("has no unit, write for example 5s".to_owned()));
        assert_eq!(read_duration_ms("1m30"), Err("has no unit, write for example 30s".to_owned()));
        assert_eq!(read_duration_ms("5min"), Err("has the unknown unit \"min\", write ms, s, m or h".to_owned()));
        assert_eq!(read_duration_ms("99999999999999999999s"), Err(too_large()));
        assert_eq!(read_duration_ms("18446744073709551615s"), Err(too_large()));
        assert_eq!(read_duration_ms("18446744073709551s18446744073709551615ms"), Err(too_large()));
        for text in ["", "s", "-5s", "1.5s", " 5s", "5s ", "30s1m", "1s1s", "5 s", "\u{665}s"] {
            assert!(read_duration_ms(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [("1MiB", 1 << 20), ("64KiB", 65_536), ("1GB", 1_000_000_000), ("7B", 7), ("0B", 0)] {
            assert_eq!(read_size_bytes(text), Ok(bytes), "{text}");
        }
        assert_eq!(read_size_bytes("1024"), Err("has no unit, write for example 1024KiB".to_owned()));
        for text in ["", "MiB", "1mib", "1.5MiB", "-1B", "1 MiB", "1MiB1KiB", "18446744073709551615KB"] {
            assert!(read_size_bytes(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn sizes_print_in_the_largest_whole_unit() {
        assert_eq!(print_size(1 << 20), "1MiB");
        assert_eq!(print_size(1_000_000), "1MB");
        assert_eq!(print_size(1_536), "1536B");
        assert_eq!(print_size(0), "0B");
        assert_eq!(print_duration(90_000), "1m30s");
        assert_eq!(print_duration(0), "0s");
    }
}
