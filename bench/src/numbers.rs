//! The numbers of fixed flows: a generator that never changes, and decimals as the venue prints them.

/// Cents as the venue prints prices.
pub(crate) fn cents(value: i64) -> String {
    format!("{}.{:02}000000", value / 100, value % 100)
}

/// 1e-5 units as the venue prints quantities.
pub(crate) fn lots(value: u64) -> String {
    format!("{}.{:05}000", value / 100_000, value % 100_000)
}

/// Numbers that look random and never change: xorshift64*.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A number in `[0, bound)`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = u128::from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)) * u128::from(bound);
        (high >> 64) as u64
    }
}
