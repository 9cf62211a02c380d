//! How much room is left.

use std::collections::BTreeSet;
use std::path::Path;

use nix::sys::statvfs::{FsFlags, statvfs};

use crate::config::Config;

/// Less is worth a warning, in bytes: some hours of a busy cloud.
const LEAST: u64 = 256 << 20;
/// And so many files.
const LEAST_FILES: u64 = 1000;

/// What to say of the folders that a daemon with this configuration writes to.
pub(crate) fn warnings(config: &Config) -> BTreeSet<String> {
    let folders = config.written_folders();
    let warnings = folders
        .iter()
        .map(|folder| warning(folder, LEAST, LEAST_FILES));
    warnings.flatten().collect()
}

/// What to say if less than `least` bytes, or fewer than `files` files, are left where this folder is, or
/// nobody may write there. Nothing where nobody can tell.
fn warning(folder: &Path, least: u64, files: u64) -> Option<String> {
    let found = statvfs(folder).ok()?;
    let shown = folder.display();
    if found.flags().contains(FsFlags::ST_RDONLY) {
        return Some(format!(
            "nothing can be written to {shown}, whose file system is read-only: what ends here is told to no partner; see the kernel's log, then: mount -o remount,rw"
        ));
    }
    // Where files are not counted there are 0 in all.
    if found.files() > 0 && found.files_available() < files {
        return Some(format!(
            "{} files more can be made where {shown} is, whatever room there is (df -i): when none can, what ends here is told to no partner; remove some",
            found.files_available()
        ));
    }
    let left = found
        .blocks_available()
        .saturating_mul(found.fragment_size());
    (left < least).then(|| {
        format!(
            "{} MiB are left for {shown}: when nothing is, what ends here is told to no partner until there is room; make some: du -xh --max-depth=2 \"$(df --output=target {shown} | tail -1)\" | sort -h | tail names what takes it",
            left >> 20,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_nearly_full_is_named() {
        let folder = std::env::temp_dir();
        assert_eq!(warning(&folder, 0, 0), None);
        let text = warning(&folder, u64::MAX, 0).unwrap_or_default();
        assert!(text.contains(" MiB are left for "), "{text}");
        assert_eq!(warning(Path::new("/nowhere/at/all"), u64::MAX, 0), None);
    }

    #[test]
    fn one_on_which_no_file_can_be_made_is_named() {
        let folder = std::env::temp_dir();
        let counted = statvfs(&folder).is_ok_and(|found| found.files() > 0);
        let text = warning(&folder, 0, u64::MAX).unwrap_or_default();
        assert_eq!(text.contains("df -i"), counted, "{text}");
        // Linux mounts it so.
        let text = warning(Path::new("/sys"), 0, 0).unwrap_or_default();
        let is_fixed = statvfs("/sys").is_ok_and(|at| at.flags().contains(FsFlags::ST_RDONLY));
        assert_eq!(text.contains("read-only"), is_fixed, "{text}");
    }
}
