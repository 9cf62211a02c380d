//! Finding projects.

use alliance_core::statement::Project;

use super::{Keystone, KeystoneError};

/// Which projects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProjectQuery<'a> {
    /// The one of this id.
    Id(&'a str),
    /// Those of this name.
    Name {
        /// The name, exactly.
        name: &'a str,
        /// The id or name of their domain; any if none.
        domain: Option<&'a str>,
    },
}

impl Keystone {
    /// The enabled projects that match, in enabled domains; no domains, no shadows of partners'
    /// projects.
    ///
    /// # Errors
    /// If Keystone does not say.
    pub async fn projects(
        &self,
        _query: ProjectQuery<'_>,
        _request_id: &str,
    ) -> Result<Vec<Project>, KeystoneError> {
        self.unwritten()
    }
}
