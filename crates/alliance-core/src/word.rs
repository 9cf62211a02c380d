//! Enums that are words in the database, on the wire and on the screen.

/// A word that is none of the expected ones.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected one of {}, found {found:?}", expected.join(", "))]
pub struct UnknownWord {
    pub(crate) expected: &'static [&'static str],
    pub(crate) found: String,
}

macro_rules! words {
    ($type:ty { $($variant:path = $word:literal),+ $(,)? }) => {
        impl $type {
            /// The word in the database, on the wire and on the screen.
            pub fn as_str(self) -> &'static str {
                match self { $($variant => $word),+ }
            }
        }

        impl ::std::fmt::Display for $type {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl ::std::str::FromStr for $type {
            type Err = $crate::word::UnknownWord;

            fn from_str(text: &str) -> Result<Self, $crate::word::UnknownWord> {
                match text {
                    $($word => Ok($variant),)+
                    _ => Err($crate::word::UnknownWord { expected: &[$($word),+], found: text.to_owned() }),
                }
            }
        }
    };
}

pub(crate) use words;
