//! Zigzag variable-length integers, as Kafka's record format (and Protocol Buffers' `sint`) has them.

/// Appends a 64-bit number in 1 to 10 bytes. A 32-bit number is written alike, in at most 5.
pub(super) fn put(bytes: &mut Vec<u8>, value: i64) {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        bytes.push((rest as u8) | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

/// How many bytes [`put`] writes.
pub(super) fn width(value: i64) -> usize {
    // Each byte carries seven bits; zero takes one byte too.
    (70 - (zigzag(value) | 1).leading_zeros() as usize) / 7
}

/// Takes a number off the front of `bytes`; `None` when they end early or the number has more than 64 bits.
pub(super) fn take(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0u64;
    for (at, byte) in bytes.iter().enumerate() {
        let bits = u64::from(byte & 0x7f);
        if at == 9 && bits > 1 {
            return None;
        }
        value |= bits << (7 * at);
        if byte & 0x80 == 0 {
            *bytes = &bytes[at + 1..];
            return Some(((value >> 1) as i64) ^ -((value & 1) as i64));
        }
        if at == 9 {
            return None;
        }
    }
    None
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_read_back_and_have_the_width_foretold(value in any::<i64>(), shift in 0..64u32) {
            let value = value >> shift;
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            prop_assert_eq!(bytes.len(), width(value));
            let mut rest = bytes.as_slice();
            prop_assert_eq!(take(&mut rest), Some(value));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            let _ = take(&mut bytes.as_slice());
        }
    }

    #[test]
    fn the_encoding_is_protocol_buffers() {
        for (value, expected) in [
            (0, vec![0]),
            (-1, vec![1]),
            (1, vec![2]),
            (63, vec![126]),
            (-64, vec![127]),
            (64, vec![128, 1]),
            (150, vec![172, 2]),
        ] {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            assert_eq!(bytes, expected);
        }
        assert_eq!(take(&mut [0x80u8; 11].as_slice()), None);
        assert_eq!(take(&mut [0x80u8].as_slice()), None);
    }
}
