//! What a touch change does to the best prices.
//!
//! Owns: the draw from the touch rows of a model, shared by the market and by the fit that tunes
//! those rows. Does not: choose a direction or change a book.

use super::profile::{
    Model, OUTCOME_SAME, OUTCOME_SHIFT, gap_class, spread_class, taker_class, touch_row,
};
use super::random::Random;

/// What happens to the best prices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TouchMove {
    /// Prices stay.
    Resize,
    /// Both move the same way by so many ticks.
    Shift(i64),
    /// The spread grows by so many ticks.
    Widen(i64),
    /// The spread shrinks by so many ticks.
    Narrow(i64),
}

/// Draws the next move of a touch with this spread that then rests for `rest_us`.
pub(super) fn next_move(
    model: &Model,
    random: &mut Random,
    spread_ticks: i64,
    rest_us: u64,
    fill_count: usize,
) -> TouchMove {
    let row = touch_row(
        spread_class(spread_ticks),
        gap_class(rest_us),
        taker_class(fill_count),
    );
    let outcome = random
        .weighted(model.touch_rows[row].into_iter())
        .expect("rows have weight");
    if outcome == OUTCOME_SAME {
        return TouchMove::Resize;
    }
    if outcome == OUTCOME_SHIFT {
        return TouchMove::Shift(model.shift_ticks.at(random.uniform()));
    }
    let class = outcome - OUTCOME_SHIFT - 1;
    let change = model.spread_ticks[class].at(random.uniform()) - spread_ticks;
    match change {
        1.. => TouchMove::Widen(change),
        0 => TouchMove::Resize,
        _ => TouchMove::Narrow(-change),
    }
}
