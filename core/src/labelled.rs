//! The shape of every closed set that metrics and logs name: an enum with one stable label a variant.
//!
//! Owns: the macro `labelled!`, for this crate and the sidecar. Invariant: labels are part of the contract
//! with dashboards and alerts; a variant may be added, a label never changes.

/// Declares a `repr(u8)` enum whose variants carry a stable label for metrics and logs.
#[macro_export]
macro_rules! labelled {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $( $(#[$variant_meta:meta])* $variant:ident = $label:literal, )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name {
            $( $(#[$variant_meta])* $variant, )+
        }

        impl $name {
            /// All variants, in order of their discriminants.
            pub const ALL: [Self; [$($label),+].len()] = [$(Self::$variant),+];

            /// The stable label of metrics and logs.
            pub const fn label(self) -> &'static str {
                match self {
                    $(Self::$variant => $label,)+
                }
            }

            /// The variant as an array position, `[0, ALL.len())`.
            #[inline]
            pub const fn index(self) -> usize {
                self as usize
            }
        }
    };
}
