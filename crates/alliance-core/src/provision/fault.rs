//! What is wrong with a plan.

use std::fmt;

/// How many mistakes are told at once.
const MAX_TOLD: usize = 20;

/// One mistake, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The resource, or the section of the template; empty: the template itself.
    pub resource: String,
    /// The property, as a path; empty: the resource itself.
    pub property: String,
    /// What is wrong, and what is expected.
    pub why: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.resource, &self.property] {
            if !part.is_empty() {
                write!(f, "{part}: ")?;
            }
        }
        f.write_str(&self.why)
    }
}

/// A plan that cannot be carried out as it stands: every mistake that was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BadPlan(pub Vec<Fault>);

impl BadPlan {
    pub(super) fn one(resource: &str, property: &str, why: impl Into<String>) -> Self {
        let mut found = Self::default();
        found.note(resource, property, why);
        found
    }

    pub(super) fn note(&mut self, resource: &str, property: &str, why: impl Into<String>) {
        self.0.push(Fault {
            resource: short(resource),
            property: short(property),
            why: why.into(),
        });
    }

    pub(super) fn or<T>(self, fine: T) -> Result<T, Self> {
        if self.0.is_empty() {
            Ok(fine)
        } else {
            Err(self)
        }
    }
}

impl fmt::Display for BadPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().take(MAX_TOLD).enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{fault}")?;
        }
        match self.0.len().saturating_sub(MAX_TOLD) {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl std::error::Error for BadPlan {}

/// What a mistaken plan says, fit for a message.
pub(super) fn short(text: &str) -> String {
    match text {
        "" => String::new(),
        text => crate::label::clean(text, 100),
    }
}
