//! How much room is left.

use std::path::Path;

use nix::sys::statvfs::statvfs;

/// Less is worth a warning, in bytes: some hours of a busy cloud.
pub(crate) const LEAST: u64 = 256 << 20;

/// What to say if less than `least` bytes are left where this folder is. Nothing where nobody can tell.
pub(crate) fn warning(folder: &Path, least: u64) -> Option<String> {
    let found = statvfs(folder).ok()?;
    let left = found
        .blocks_available()
        .saturating_mul(found.fragment_size());
    (left < least).then(|| {
        format!(
            "{} MiB are left for {}: when nothing is, what ends here is told to no partner until there is room; make some",
            left >> 20,
            folder.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_nearly_full_is_named() {
        let folder = std::env::temp_dir();
        assert_eq!(warning(&folder, 0), None);
        let text = warning(&folder, u64::MAX).unwrap_or_default();
        assert!(text.contains(" MiB are left for "), "{text}");
        assert_eq!(warning(Path::new("/nowhere/at/all"), u64::MAX), None);
    }
}
