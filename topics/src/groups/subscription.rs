//! Which topics a consumer says that it reads: the front of Kafka's `ConsumerProtocolSubscription`, big-endian.
//!
//! ```text
//! version i16 │ topic count i32 │ for each: length i16, name │ what else there is
//! ```

/// Whether the member may read the topic. Metadata that is not understood may mean any.
pub(super) fn subscribes(metadata: &[u8], topic: &str) -> bool {
    topics(metadata).is_none_or(|topics| topics.contains(&topic.as_bytes()))
}

fn topics(metadata: &[u8]) -> Option<Vec<&[u8]>> {
    let (_version, rest) = metadata.split_first_chunk::<2>()?;
    let (count, mut rest) = rest.split_first_chunk::<4>()?;
    let mut topics = Vec::new();
    for _ in 0..i32::from_be_bytes(*count) {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let length = usize::try_from(i16::from_be_bytes(*length)).ok()?;
        let (name, after) = after.split_at_checked(length)?;
        topics.push(name);
        rest = after;
    }
    Some(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_found_in_a_subscription() {
        let metadata = b"\0\x03\0\0\0\x02\0\x04bids\0\x01a\xff\xff\xff\xff";
        assert!(subscribes(metadata, "bids"));
        assert!(subscribes(metadata, "a"));
        assert!(!subscribes(metadata, "bid"));
        assert!(!subscribes(b"\0\0\0\0\0\0", "bids"));
    }

    #[test]
    fn what_is_not_understood_may_be_any_topic() {
        let cut_off: [&[u8]; 4] = [b"", b"\0", b"\0\0\0\0\0\x01", b"\0\0\0\0\0\x01\0\x09bids"];
        for metadata in cut_off {
            assert!(subscribes(metadata, "bids"), "{metadata:?}");
        }
    }
}
