//! Numbers: PostgreSQL's text of floats, and decimals as text and as base 10,000.

use arrow::datatypes::i256;

/// A decimal value, whatever its width.
pub(super) trait Unscaled: Copy {
    /// Whether it is below zero, and its digits.
    fn digits(self, out: &mut Digits) -> bool;
}

/// Decimal digits, most significant first; `0` is none.
#[derive(Debug, Default)]
pub(super) struct Digits {
    bytes: Vec<u8>,
}

impl Digits {
    fn set(&mut self, mut value: u128) {
        self.bytes.clear();
        // 64-bit division is several times faster than 128-bit.
        const CHUNK: u128 = 10_000_000_000_000_000_000;
        while value > u128::from(u64::MAX) {
            self.push((value % CHUNK) as u64, 19);
            value /= CHUNK;
        }
        self.push(value as u64, 0);
        self.bytes.reverse();
    }

    /// Adds digits from the least on, at least so many.
    fn push(&mut self, mut value: u64, least: usize) {
        let end = self.bytes.len() + least;
        while value > 0 || self.bytes.len() < end {
            self.bytes.push((value % 10) as u8);
            value /= 10;
        }
    }
}

macro_rules! unscaled {
    ($($native:ty),*) => {$(
        impl Unscaled for $native {
            fn digits(self, out: &mut Digits) -> bool {
                out.set(u128::from(self.unsigned_abs()));
                self < 0
            }
        }
    )*};
}
unscaled!(i32, i64);

impl Unscaled for i128 {
    fn digits(self, out: &mut Digits) -> bool {
        out.set(self.unsigned_abs());
        self < 0
    }
}

impl Unscaled for u64 {
    fn digits(self, out: &mut Digits) -> bool {
        out.set(u128::from(self));
        false
    }
}

impl Unscaled for i256 {
    fn digits(self, out: &mut Digits) -> bool {
        let text = self.to_string();
        let digits = text.strip_prefix('-').unwrap_or(&text);
        let digits = digits.trim_start_matches('0').bytes();
        out.bytes.clear();
        out.bytes.extend(digits.map(|digit| digit - b'0'));
        self < Self::ZERO
    }
}

/// A decimal as text, with as many digits after the point as its scale says.
pub(super) fn decimal_text<T: Unscaled>(
    value: T,
    scale: i8,
    digits: &mut Digits,
    out: &mut Vec<u8>,
) {
    let is_negative = value.digits(digits);
    let digits = &digits.bytes;
    if is_negative {
        out.push(b'-');
    }
    let put = |digits: &[u8], out: &mut Vec<u8>| {
        out.extend(digits.iter().map(|digit| b'0' + digit));
    };
    let fraction = usize::from(scale.max(0).unsigned_abs());
    let (whole, rest) = digits.split_at(digits.len().saturating_sub(fraction));
    match whole.is_empty() {
        true => out.push(b'0'),
        false => {
            put(whole, out);
            let zeros = usize::from(scale.min(0).unsigned_abs());
            out.resize(out.len() + zeros, b'0');
        }
    }
    if fraction > 0 {
        out.push(b'.');
        out.resize(out.len() + fraction - rest.len(), b'0');
        put(rest, out);
    }
}

/// A decimal as `numeric` is sent: number of base-10,000 digits, weight of the first, sign, scale, digits.
pub(super) fn decimal_binary<T: Unscaled>(
    value: T,
    scale: i8,
    digits: &mut Digits,
    out: &mut Vec<u8>,
) {
    let is_negative = value.digits(digits);
    let fraction = usize::from(scale.max(0).unsigned_abs());
    let zeros = usize::from(scale.min(0).unsigned_abs());
    let digits = &digits.bytes;
    let digit = |at: i64| -> u16 {
        // Places count from the point to the left.
        let last = digits.len() as i64 - 1;
        let index = last - (at + fraction as i64 - zeros as i64);
        usize::try_from(index)
            .ok()
            .and_then(|index| digits.get(index))
            .map_or(0, |digit| u16::from(*digit))
    };
    let group = |at: i64| -> u16 {
        (0..4)
            .rev()
            .fold(0, |value, place| value * 10 + digit(at * 4 + place))
    };
    let whole = digits.len() as i64 + zeros as i64 - fraction as i64;
    let mut first = (whole + 3).div_euclid(4) - 1;
    let mut last = -((fraction as i64 + 3) / 4);
    while first >= last && group(first) == 0 {
        first -= 1;
    }
    while last <= first && group(last) == 0 {
        last += 1;
    }
    let count = (first - last + 1).max(0);
    let weight = if count == 0 { 0 } else { first };
    out.extend_from_slice(&(count as i16).to_be_bytes());
    out.extend_from_slice(&(weight as i16).to_be_bytes());
    let sign: u16 = if is_negative { 0x4000 } else { 0 };
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&(fraction as u16).to_be_bytes());
    for at in (last..last + count).rev() {
        out.extend_from_slice(&group(at).to_be_bytes());
    }
}

/// A `numeric` as it is sent, as decimal text; none for what is no number, or not finite.
pub(super) fn decimal_of_binary(bytes: &[u8]) -> Option<String> {
    let (head, groups) = bytes.split_at_checked(8)?;
    let field = |at: usize| Some(u16::from_be_bytes([*head.get(at)?, *head.get(at + 1)?]));
    let (count, weight) = (usize::from(field(0)?), field(2)?.cast_signed());
    let (sign, scale) = (field(4)?, usize::from(field(6)?));
    let (groups, []) = groups.as_chunks::<2>() else {
        return None;
    };
    // More digits than any decimal here has.
    const MOST: usize = 200;
    if groups.len() != count || count > MOST || scale > MOST * 4 || i64::from(weight).abs() > 200 {
        return None;
    }
    let mut text = match sign {
        0 => String::new(),
        0x4000 => "-".to_owned(),
        _ => return None,
    };
    let group = |at: i64| -> Option<u16> {
        let index = usize::try_from(i64::from(weight) - at).ok();
        match index.and_then(|index| groups.get(index)) {
            Some(group) => Some(u16::from_be_bytes(*group)).filter(|group| *group < 10_000),
            None => Some(0),
        }
    };
    let mut whole = String::new();
    for at in (0..=i64::from(weight)).rev() {
        whole.push_str(&format!("{:04}", group(at)?));
    }
    let whole = whole.trim_start_matches('0');
    text.push_str(if whole.is_empty() { "0" } else { whole });
    if scale > 0 {
        let mut fraction = String::new();
        for at in 1..=scale.div_ceil(4) as i64 {
            fraction.push_str(&format!("{:04}", group(-at)?));
        }
        text.push('.');
        text.push_str(fraction.get(..scale)?);
    }
    Some(text)
}

/// The shortest text that reads back as the same number, laid out as PostgreSQL does: with an exponent below 10⁻⁴ and from
/// 10^`plain_digits` on.
pub(super) fn float<F: std::fmt::LowerExp + Into<f64> + Copy>(
    value: F,
    plain_digits: i32,
    out: &mut Vec<u8>,
) {
    let wide: f64 = value.into();
    if wide.is_nan() {
        return out.extend_from_slice(b"NaN");
    }
    if wide.is_infinite() {
        let text: &[u8] = if wide > 0.0 {
            b"Infinity"
        } else {
            b"-Infinity"
        };
        return out.extend_from_slice(text);
    }
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < -4 || exponent >= plain_digits {
        out.extend_from_slice(mantissa.as_bytes());
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        let exponent = exponent.unsigned_abs();
        if exponent < 10 {
            out.push(b'0');
        }
        return out.extend_from_slice(exponent.to_string().as_bytes());
    }
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    out.extend_from_slice(sign.as_bytes());
    let digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
    if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + exponent.unsigned_abs() as usize - 1, b'0');
        return out.extend_from_slice(&digits);
    }
    let whole = exponent.unsigned_abs() as usize + 1;
    for at in 0..whole.max(digits.len()) {
        if at == whole {
            out.push(b'.');
        }
        out.push(digits.get(at).copied().unwrap_or(b'0'));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(value: i128, scale: i8) -> String {
        let mut out = Vec::new();
        decimal_text(value, scale, &mut Digits::default(), &mut out);
        String::from_utf8(out).unwrap()
    }

    fn sent(value: i128, scale: i8) -> Vec<u8> {
        let mut out = Vec::new();
        decimal_binary(value, scale, &mut Digits::default(), &mut out);
        out
    }

    #[test]
    fn decimals_as_postgresql_shows_and_sends_them() {
        assert_eq!(shown(12345, 2), "123.45");
        assert_eq!(shown(-5, 3), "-0.005");
        assert_eq!(shown(0, 2), "0.00");
        assert_eq!(shown(12, -3), "12000");
        assert_eq!(shown(i128::MAX, 0), i128::MAX.to_string());
        // 12345.678 is 1, 2345, 6780 with weight 1.
        assert_eq!(
            sent(12_345_678, 3),
            [0, 3, 0, 1, 0, 0, 0, 3, 0, 1, 0x09, 0x29, 0x1a, 0x7c]
        );
        assert_eq!(sent(0, 2), [0, 0, 0, 0, 0, 0, 0, 2]);
    }

    #[test]
    fn floats_as_postgresql_shows_them() {
        let double = |value: f64| {
            let mut out = Vec::new();
            float(value, 15, &mut out);
            String::from_utf8(out).unwrap()
        };
        for (value, text) in [
            (1.0, "1"),
            (0.1, "0.1"),
            (-2.5, "-2.5"),
            (1e15, "1e+15"),
            (123_456_789_012_345.0, "123456789012345"),
            (1e-5, "1e-05"),
            (0.000_12, "0.00012"),
            (1.5e300, "1.5e+300"),
            (f64::NEG_INFINITY, "-Infinity"),
            (-0.0, "-0"),
        ] {
            assert_eq!(double(value), text);
        }
        let mut out = Vec::new();
        float(1e6_f32, 6, &mut out);
        assert_eq!(out, b"1e+06");
    }

    proptest! {
        #[test]
        fn what_is_sent_reads_back(value in any::<i128>(), scale in 0_i8..38) {
            prop_assert_eq!(decimal_of_binary(&sent(value, scale)), Some(shown(value, scale)).filter(|_| true).map(|text| {
                if text == "-0" { "0".to_owned() } else { text }
            }));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = decimal_of_binary(&bytes);
        }

        #[test]
        fn every_float_reads_back(value in any::<f64>()) {
            let mut out = Vec::new();
            float(value, 15, &mut out);
            let read: f64 = String::from_utf8(out).unwrap().parse().unwrap();
            prop_assert!(read == value || (read.is_nan() && value.is_nan()));
        }
    }
}
