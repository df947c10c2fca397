//! "Did you mean": the nearest known name.

/// The candidate nearest to `name` (Damerau-Levenshtein distance, case ignored), when it is near enough to be meant.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.to_lowercase();
    let near_enough = (wanted.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&wanted, &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, _)| *distance <= near_enough)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn names_a_typing_slip_and_nothing_far_fetched() {
        assert_eq!(nearest("prise", ["auction", "price", "at"]), Some("price"));
        assert_eq!(nearest("PRICE", ["price"]), Some("price"));
        assert_eq!(nearest("colour", ["auction", "price"]), None);
    }
}
