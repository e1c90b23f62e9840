//! What a canceller tells, as values and as lines.

use super::requests::OpenOrder;
use std::fmt;

/// What somebody should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The venue took the order back.
    Cancelled(OpenOrder),
    /// The order was over before the cancel came.
    Gone(OpenOrder),
    /// The venue would not cancel it.
    Refused {
        /// Which order.
        order: OpenOrder,
        /// The venue's words.
        words: String,
    },
    /// Whether the cancel was carried out is unknown; the next list tells.
    Unknown {
        /// Which order.
        order: OpenOrder,
        /// Why.
        words: String,
    },
    /// Something else went wrong and is tried again.
    Trouble(String),
    /// No order is left; so many were cancelled.
    Clean {
        /// How many.
        cancelled: usize,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled(order) => write!(f, "cancelled {order}"),
            Self::Gone(order) => write!(f, "already over {order}"),
            Self::Refused { order, words } => write!(f, "refused {order}: {words}"),
            Self::Unknown { order, words } => write!(f, "unknown {order}: {words}"),
            Self::Trouble(words) => write!(f, "trouble: {words}"),
            Self::Clean { cancelled } => write!(f, "none left, {cancelled} cancelled"),
        }
    }
}

impl fmt::Display for OpenOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {} at {} ({} filled), order {}, {}",
            self.symbol,
            self.side,
            self.qty,
            self.price,
            self.executed_qty,
            self.order_id,
            self.client_order_id
        )
    }
}
