//! Decimals as text, exactly.

/// Numbers past this are not exact as a double, which is what most JSON readers make of a number.
pub(super) const EXACT_MAX: u64 = 1 << 53;

/// The decimal `digits` × 10^-`scale`, where `digits` is an integer's text.
pub(super) fn decimal(digits: &str, scale: i8, out: &mut Vec<u8>) {
    let (sign, digits) = digits
        .strip_prefix('-')
        .map_or(("", digits), |rest| ("-", rest));
    out.extend_from_slice(sign.as_bytes());
    if scale <= 0 {
        out.extend_from_slice(digits.as_bytes());
        if digits != "0" {
            out.resize(out.len() + usize::from(scale.unsigned_abs()), b'0');
        }
        return;
    }
    let scale = usize::from(scale.unsigned_abs());
    if digits.len() > scale {
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        out.extend_from_slice(whole.as_bytes());
        out.push(b'.');
        out.extend_from_slice(fraction.as_bytes());
    } else {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + scale - digits.len(), b'0');
        out.extend_from_slice(digits.as_bytes());
    }
}

/// Whether a decimal's text survives a reader that makes a double of it: its digits, read as one integer, are at most 2^53.
pub(super) fn is_exact_as_double(text: &[u8]) -> bool {
    let mut value = 0_u64;
    for digit in text.iter().filter(|byte| byte.is_ascii_digit()) {
        value = match value
            .checked_mul(10)
            .and_then(|value| value.checked_add(u64::from(digit - b'0')))
        {
            Some(value) if value <= EXACT_MAX => value,
            _ => return false,
        };
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_every_digit() {
        let shown = |digits: &str, scale| {
            let mut out = Vec::new();
            decimal(digits, scale, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(shown("12345", 2), "123.45");
        assert_eq!(shown("-5", 3), "-0.005");
        assert_eq!(shown("-123", 3), "-0.123");
        assert_eq!(shown("0", 2), "0.00");
        assert_eq!(shown("12", -3), "12000");
        assert_eq!(shown("0", -3), "0");
        assert_eq!(shown("7", 0), "7");
    }

    #[test]
    fn exact_up_to_two_to_the_53rd() {
        assert!(is_exact_as_double(b"9007199254740992"));
        assert!(!is_exact_as_double(b"9007199254740993"));
        assert!(is_exact_as_double(b"-90071992547.40992"));
        assert!(!is_exact_as_double(b"0.9007199254740993"));
        assert!(!is_exact_as_double(
            b"99999999999999999999999999999999999999"
        ));
    }
}
