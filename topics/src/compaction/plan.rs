//! When a partition is compacted, and which of its segments become one.

use std::ops::Range;

use weir_base::Offset;

/// A closed segment that may be compacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) base: Offset,
    pub(crate) end: Offset,
    pub(crate) bytes: u64,
}

/// Whether enough of the candidates, in percent of their bytes, is behind `compacted`, up to where a pass has come.
pub(crate) fn is_due(candidates: &[Candidate], compacted: Offset, dirty_percent: u8) -> bool {
    let bytes = |from: Offset| -> u128 {
        let those = candidates.iter().filter(|candidate| candidate.end > from);
        those.map(|candidate| u128::from(candidate.bytes)).sum()
    };
    let (dirty, all) = (bytes(compacted), bytes(Offset(i64::MIN)));
    dirty > 0 && dirty * 100 >= all * u128::from(dirty_percent)
}

/// Cuts the candidates into runs of neighbours, each of which becomes one segment of at most `bytes_max`.
pub(crate) fn groups(candidates: &[Candidate], bytes_max: u64) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    let (mut base, mut bytes) = (Offset::ZERO, 0_u64);
    for (at, candidate) in candidates.iter().enumerate() {
        let sum = bytes.saturating_add(candidate.bytes);
        // An index says offsets in 32 bits.
        let span = candidate.end.0.saturating_sub(base.0);
        match groups.last_mut() {
            Some(group) if sum <= bytes_max && span <= i64::from(u32::MAX) => {
                group.end = at + 1;
                bytes = sum;
            }
            _ => {
                groups.push(at..at + 1);
                (base, bytes) = (candidate.base, candidate.bytes);
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn candidates(bytes: &[u64]) -> Vec<Candidate> {
        let numbered = bytes.iter().zip((0..).step_by(10));
        numbered
            .map(|(bytes, base)| Candidate {
                base: Offset(base),
                end: Offset(base + 10),
                bytes: *bytes,
            })
            .collect()
    }

    #[test]
    fn it_is_due_when_enough_is_new() {
        let found = candidates(&[60, 20, 20]);
        assert!(is_due(&found, Offset(0), 100));
        assert!(is_due(&found, Offset(10), 40));
        assert!(!is_due(&found, Offset(10), 41));
        assert!(is_due(&found, Offset(15), 40), "a part counts as the whole");
        assert!(!is_due(&found, Offset(30), 0));
        assert!(!is_due(&[], Offset(0), 0));
    }

    proptest! {
        #[test]
        fn groups_are_neighbours_and_as_large_as_can_be(
            bytes in proptest::collection::vec(0..100u64, 0..30),
            bytes_max in 1..300u64,
        ) {
            let found = candidates(&bytes);
            let groups = groups(&found, bytes_max);
            let all: Vec<usize> = groups.iter().cloned().flatten().collect();
            prop_assert_eq!(all, (0..found.len()).collect::<Vec<_>>());
            let sum = |group: &Range<usize>| bytes[group.clone()].iter().sum::<u64>();
            for group in &groups {
                prop_assert!(group.len() == 1 || sum(group) <= bytes_max);
            }
            for two in groups.windows(2) {
                prop_assert!(sum(&two[0]) + bytes[two[1].start] > bytes_max);
            }
        }
    }

    #[test]
    fn a_group_has_no_more_offsets_than_an_index_can_say() {
        let half = i64::from(u32::MAX) / 2;
        let found: Vec<_> = (0..4)
            .map(|at| Candidate {
                base: Offset(at * half),
                end: Offset((at + 1) * half),
                bytes: 1,
            })
            .collect();
        assert_eq!(groups(&found, 100), [0..2, 2..4]);
    }
}
