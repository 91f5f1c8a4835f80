//! Life cycles as pure rules: which states a deposit and a payment go through, what moves them on, and what must agree.
//!
//! Facts come in, decisions go out. Nothing here reads a chain, a database or a clock.

mod deposit;
mod index;
mod payment;
mod reconcile;

pub use deposit::{Confirmations, DepositFacts, DepositState, Screening, next_deposit_state, screen};
pub use index::AddressIndex;
pub use payment::{PaymentState, bump_rate, is_bump_due};
pub use reconcile::{Difference, Position, reconcile};

/// A text that names no state of the life cycle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no state of this life cycle")]
pub struct UnknownState(pub String);

/// Spells states as texts and tables of moves, once for both life cycles.
macro_rules! life_cycle {
    ($(#[$doc:meta])* $name:ident { $($(#[$state_doc:meta])* $state:ident = $text:literal => [$($next:ident),*],)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$state_doc])* $state,)*
        }

        impl $name {
            /// Every state.
            pub const ALL: &[$name] = &[$($name::$state),*];

            /// The state's name, as it is stored and shown.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$state => $text,)* }
            }

            /// The states that may follow.
            pub const fn next(self) -> &'static [$name] {
                match self { $($name::$state => &[$($name::$next),*],)* }
            }

            /// Whether the state may be followed by that one.
            pub fn may_become(self, next: $name) -> bool {
                self.next().contains(&next)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::UnknownState;

            fn from_str(text: &str) -> Result<$name, crate::UnknownState> {
                let known = $name::ALL.iter().find(|state| state.as_str() == text);
                known.copied().ok_or_else(|| crate::UnknownState(text.to_owned()))
            }
        }
    };
}
pub(crate) use life_cycle;
