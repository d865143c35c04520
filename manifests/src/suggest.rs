//! Finds what was probably meant by a word that is not known.
//!
//! Only a nearness of words: no list of words is kept here.

/// Longest word that is compared; names longer than this are not typed by hand.
const MAX_WORD: usize = 64;

/// The candidate nearest to `word`, if one is near enough to be a typing error. The first of equals wins.
pub(crate) fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = plain(word);
    let bound = match plain.len() {
        0..=2 => 0,
        3..=4 => 1,
        _ => 2,
    };
    let near = |candidate: &'a str| {
        let distance = distance(&plain, &self::plain(candidate), bound)?;
        Some((distance, candidate))
    };
    candidates
        .into_iter()
        .filter_map(near)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Case, dashes and underscores are the commonest slips, and cost nothing.
fn plain(word: &str) -> Vec<char> {
    word.chars().take(MAX_WORD).filter(|c| !matches!(c, '-' | '_')).flat_map(char::to_lowercase).collect()
}

/// Insertions, deletions, replacements and swaps of neighbours from `left` to `right`, if at most `bound`.
fn distance(left: &[char], right: &[char], bound: usize) -> Option<usize> {
    if left.len().abs_diff(right.len()) > bound {
        return None;
    }
    // Three rows of the table: a swap looks two back.
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (row, l) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, r) in right.iter().enumerate() {
            let at = |cells: &[usize], index: usize| cells.get(index).copied().unwrap_or(usize::MAX / 2);
            let replaced = at(&above, column) + usize::from(l != r);
            let mut best = replaced.min(at(&above, column + 1) + 1).min(at(&current, column) + 1);
            let swapped =
                row > 0 && column > 0 && left.get(row - 1) == Some(r) && right.get(column - 1) == Some(l);
            if swapped {
                best = best.min(at(&before, column - 1) + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut above, current);
    }
    above.last().copied().filter(|distance| *distance <= bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_hand_are_near() {
        let fields = ["instances", "spread", "name", "traits"];
        for (typed, meant) in [
            ("instnaces", Some("instances")),
            ("Instances", Some("instances")),
            ("spred", Some("spread")),
            ("nmae", Some("name")),
            ("trait", Some("traits")),
            ("image", None),
            ("", None),
            ("xy", None),
        ] {
            assert_eq!(closest(typed, fields), meant, "{typed}");
        }
        assert_eq!(closest("Applicaton", ["Application"]), Some("Application"));
        assert_eq!(closest("max-parallel", ["max_parallel"]), Some("max_parallel"));
    }
}
