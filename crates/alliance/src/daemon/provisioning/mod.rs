//! What projects of this cloud are to have at partners, and what partners' projects are to have here.
//!
//! Home signs an order, stores it, and sends it until the host has answered. The host's daemon checks it
//! and writes it down as it was signed; `alliance work` checks it again and carries it out.

mod home;
mod host;
#[cfg(test)]
mod tests;
