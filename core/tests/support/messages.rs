//! Messages as the venue sends them, and as it might one day: generated from a seed, odd and damaged.

use veloz_core::units::E8;

/// SplitMix64.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound as u64) as usize
    }

    /// True `percent` times in a hundred.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        &from[self.below(from.len())]
    }
}

/// Generates messages; the more `wild`, in percent for each choice, the less like the venue's.
pub(crate) struct Generator {
    pub(crate) dice: Dice,
    pub(crate) wild: usize,
}

pub(crate) type Member = (&'static str, String);

impl Generator {
    /// A whole number of units of this grid, printed as the venue does, or otherwise.
    pub(crate) fn decimal(&mut self, unit: i64, digits_max: u32) -> String {
        if self.dice.chance(self.wild) {
            return self.wild_decimal();
        }
        let digits = 1 + self.dice.below(digits_max as usize) as u32;
        let e8 = self.dice.roll() % (10u64.pow(digits) * 100_000_000);
        E8((e8 / unit as u64 * unit as u64) as i64).to_string()
    }

    fn wild_decimal(&mut self) -> String {
        let forms = [
            "0",
            "1",
            "0.0",
            "00000001.00000000",
            "12345678.00000000",
            "123456789.00000000",
            "92233720368.54775807",
            "92233720368.54775808",
            "1.5",
            "1.123456789",
            "1.000000000",
            "123456789012345678901234567890",
            "-1.00000000",
            "+1.00000000",
            "1e5",
            "1E-5",
            "NaN",
            "inf",
            "",
            ".",
            "1.",
            ".5",
            "1.2.3",
            "1,5",
            " 1.00000000",
            "1.00000000 ",
            "0x10",
            "1.0000000a",
            "1a.00000000",
            "1.00000\\u00300",
            "\\u0031.00000000",
            "1.00000000\\n",
            "1/00000000",
            "1:00000000",
            "61837.63000000",
            "0.00000000",
            "９.00000000",
        ];
        (*self.dice.pick(&forms)).to_owned()
    }

    pub(crate) fn id(&mut self) -> String {
        if self.dice.chance(self.wild) {
            let forms = [
                "0",
                "-1",
                "1.0",
                "1e3",
                "01",
                "00",
                "\"1\"",
                "null",
                "true",
                "[]",
                "{}",
                "18446744073709551615",
                "18446744073709551616",
                "9999999999999999999",
                "123456789012345678901234567890",
                "-",
                "",
                "1 ",
                " 1",
            ];
            return (*self.dice.pick(&forms)).to_owned();
        }
        let digits = 1 + self.dice.below(17) as u32;
        let low = 10u64.pow(digits - 1);
        (low + self.dice.roll() % (low * 9)).to_string()
    }

    pub(crate) fn boolean(&mut self) -> String {
        let wild = self.dice.chance(self.wild);
        let forms: &[&str] = if wild {
            &["1", "0", "null", "\"true\"", "True", "tru", "truefalse"]
        } else {
            &["true", "false"]
        };
        (*self.dice.pick(forms)).to_owned()
    }

    /// An object in the venue's form, or with its keys in another order, doubled, lost, new or spaced.
    pub(crate) fn object(&mut self, mut members: Vec<Member>) -> String {
        if self.dice.chance(self.wild) {
            let (from, to) = (
                self.dice.below(members.len()),
                self.dice.below(members.len()),
            );
            members.swap(from, to);
        }
        if self.dice.chance(self.wild) {
            let unknown = *self.dice.pick(&[
                "{\"a\":[1,{}]}",
                "\"\\\"}\"",
                "null",
                "1e999",
                "\"\\ud800\"",
            ]);
            let at = self.dice.below(members.len() + 1);
            members.insert(at, ("pu", unknown.to_owned()));
        }
        if self.dice.chance(self.wild / 2) {
            let twice = self.dice.below(members.len());
            members.push(members[twice].clone());
        }
        if self.dice.chance(self.wild / 2) {
            let lost = self.dice.below(members.len());
            members.remove(lost);
        }
        let space = if self.dice.chance(self.wild) { " " } else { "" };
        let body: Vec<_> = members
            .iter()
            .map(|(key, value)| format!("{space}\"{key}\":{space}{value}"))
            .collect();
        format!("{{{}{space}}}", body.join(","))
    }

    /// Breaks some bytes of a message; returns what was cut off its end.
    pub(crate) fn damage(&mut self, message: &mut Vec<u8>) -> Vec<u8> {
        const BYTES: &[u8] = b"\"0123456789.,:[]{}\\ -+eEnt\x00\xff\x80/";
        let mut cut = Vec::new();
        for _ in 0..self.dice.below(4) {
            if message.is_empty() {
                break;
            }
            let at = self.dice.below(message.len());
            match self.dice.below(5) {
                0 => message[at] = *self.dice.pick(BYTES),
                1 => message[at] ^= 1 << self.dice.below(8),
                2 => message.insert(at, *self.dice.pick(BYTES)),
                3 => drop(message.remove(at)),
                _ => cut = message.split_off(at),
            }
        }
        cut
    }
}
