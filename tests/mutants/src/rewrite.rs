//! Puts the edits of mutants into a text, and remembers where each one is, so that what the
//! compiler says leads back to it.

use crate::find::{Edit, Mutant, ON};
use std::ops::Range;

/// The text with these mutants, numbered, in the order in which they were found; and the part of
/// the new text that each one covers.
pub fn rewrite<'m>(text: &str, mutants: impl Iterator<Item = (usize, &'m Mutant)>) -> (String, Vec<(usize, Range<usize>)>) {
    // (place, suffixes before prefixes, order among them, end of what is replaced, what is put
    // there, mutant)
    let mut pieces: Vec<(usize, u8, isize, usize, String, usize)> = Vec::new();
    for (order, (number, mutant)) in (0_isize..).zip(mutants) {
        let on = format!("crate::mutant::on({number})");
        for edit in &mutant.edits {
            let put = |text: &String| text.replace(ON, &on);
            pieces.push(match edit {
                // Of two that begin at one place the outer one, which was found first, comes first;
                // of two that end there, last.
                Edit::Before(at, text) => (*at, 1, order, *at, put(text), number),
                Edit::After(at, text) => (*at, 0, -order, *at, put(text), number),
                Edit::Replace(range, text) => (range.start, 2, order, range.end, put(text), number),
            });
        }
    }
    pieces.sort();
    let (mut new, mut done) = (String::with_capacity(text.len() * 2), 0);
    let mut places: Vec<(usize, Range<usize>)> = Vec::new();
    for (at, _, _, end, piece, number) in pieces {
        new.push_str(&text[done..at]);
        done = end;
        let start = new.len();
        new.push_str(&piece);
        match places.iter_mut().find(|(known, _)| *known == number) {
            Some((_, range)) => range.end = new.len(),
            None => places.push((number, start..new.len())),
        }
    }
    new.push_str(&text[done..]);
    (new, places)
}
