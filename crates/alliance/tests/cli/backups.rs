use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use anyhow::Result;
use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::run::{Ran, command, run};

/// A cloud's folder, with a configuration, and keys if it has any.
struct Cloud(TempDir);

impl Cloud {
    fn new() -> Result<Self> {
        let cloud = Self(tempfile::tempdir()?);
        let sets = [
            format!("cloud.state_dir={}", cloud.path("state")),
            format!("delegate.socket={}", cloud.path("sock")),
            format!("keystone.password_file={}", cloud.path("password")),
        ];
        let mut words = vec!["init", "--name", "west"];
        words.extend(sets.iter().flat_map(|set| ["--set", set]));
        let made = cloud.alliance(&words)?;
        assert_eq!(made.code, Some(0), "{made}");
        Ok(cloud)
    }

    /// One that has no keys yet.
    fn without_keys() -> Result<Self> {
        let cloud = Self::new()?;
        fs::remove_dir_all(cloud.path("state"))?;
        Ok(cloud)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn alliance(&self, words: &[&str]) -> Result<Ran> {
        let (socket, config) = (self.0.path().join("sock"), self.path("a.toml"));
        let words = [words, &["--config", &config]].concat();
        run(command(&socket).args(words), "", &socket)
    }

    fn key(&self, name: &str) -> Result<String> {
        Ok(fs::read_to_string(self.0.path().join("state").join(name))?)
    }

    fn id(&self) -> Result<String> {
        let id = self.alliance(&["id"])?;
        Ok(id.out.lines().next().unwrap_or_default().to_owned())
    }

    /// A backup of this cloud, as the first version of the database had it, with this in it.
    fn backup(&self, id: &str, tables: &[Value]) -> Result<String> {
        let keys = json!({
            "identity.key": self.key("identity.key")?,
            "signing.key": self.key("signing.key")?,
        });
        let first = json!({
            "alliance-backup": 1, "cloud_id": id, "schema": 1, "made_at": 1_764_400_000, "made_by": "a test"
        });
        let lines = [&[first, keys], tables].concat();
        let mut text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let sha256 = HEXLOWER.encode(&Sha256::digest(&text));
        text.push_str(&format!("{}\n", json!({"sha256": sha256})));
        let path = self.path("backup");
        fs::write(&path, text)?;
        Ok(path)
    }
}

fn mode(path: impl AsRef<Path>) -> Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o777)
}

fn counters() -> [Value; 2] {
    let heading = json!({"table": "counters", "columns": ["name", "value"]});
    [heading, json!(["generation", 7])]
}

#[test]
fn a_cloud_moves_with_its_keys_and_its_database() -> Result<()> {
    let west = Cloud::new()?;
    let backup = west.backup(&west.id()?, &counters())?;
    let restored = west.alliance(&["restore", "--from", &backup])?;
    assert_eq!(restored.code, Some(0), "{restored}");
    assert!(restored.out.contains(&west.id()?), "{restored}");
    assert!(restored.err.contains("log in once more"), "{restored}");
    // Once is enough.
    let again = west.alliance(&["restore", "--from", &backup])?;
    assert_eq!(again.code, Some(1), "{again}");
    assert!(again.err.contains("is not empty"), "{again}");

    let file = west.path("today");
    let taken = west.alliance(&["backup", "--to", &file])?;
    assert_eq!((taken.code, mode(&file)?), (Some(0), 0o600), "{taken}");
    assert!(taken.err.contains("private keys"), "{taken}");
    let kept = west.alliance(&["backup", "--to", &file])?;
    assert_eq!(kept.code, Some(1), "{kept}");
    assert!(kept.err.contains("is there already"), "{kept}");

    let elsewhere = Cloud::without_keys()?;
    let moved = elsewhere.alliance(&["--format", "json", "restore", "--from", &file])?;
    assert_eq!(moved.code, Some(0), "{moved}");
    let said: Value = serde_json::from_str(&moved.out)?;
    assert_eq!(said["cloud_id"], json!(west.id()?), "{said}");
    assert_eq!(said["partners_suspended"], json!([]), "{said}");
    assert_eq!(elsewhere.id()?, west.id()?);
    for key in ["identity.key", "signing.key"] {
        assert_eq!(elsewhere.key(key)?, west.key(key)?);
        let path = elsewhere.0.path().join("state").join(key);
        assert_eq!(mode(path)?, 0o600);
    }
    Ok(())
}

#[test]
fn a_backup_goes_through_a_pipe() -> Result<()> {
    let west = Cloud::new()?;
    let backup = west.backup(&west.id()?, &counters())?;
    west.alliance(&["restore", "--from", &backup])?;
    let taken = west.alliance(&["backup", "--to", "-", "--format", "json"])?;
    assert_eq!(taken.code, Some(0), "{taken}");
    assert!(taken.out.starts_with(r#"{"alliance-backup":1,"#), "{taken}");
    let said = taken.err.lines().next().unwrap_or_default();
    let said: Value = serde_json::from_str(said)?;
    assert_eq!(said["cloud_id"], json!(west.id()?));
    let elsewhere = Cloud::without_keys()?;
    let (socket, config) = (elsewhere.0.path().join("sock"), elsewhere.path("a.toml"));
    let words = ["restore", "--from", "-", "--config", &config];
    let restored = run(command(&socket).args(words), &taken.out, &socket)?;
    assert_eq!(restored.code, Some(0), "{restored}");
    Ok(())
}

#[test]
fn what_must_not_be_restored_is_not() -> Result<()> {
    let west = Cloud::new()?;
    let id = west.id()?;
    let backup = west.backup(&id, &counters())?;
    let refused = |cloud: &Cloud, from: &str, why: &str| -> Result<()> {
        let ran = cloud.alliance(&["restore", "--from", from])?;
        assert_eq!(ran.code, Some(1), "{ran}");
        assert!(ran.err.contains(why), "{why} in {ran}");
        Ok(())
    };
    let other = Cloud::new()?;
    refused(&other, &backup, "another key than the backup's")?;
    assert!(!Path::new(&other.path("state/alliance.db")).exists());
    let listener = UnixListener::bind(west.path("sock"))?;
    refused(&west, &backup, "a daemon runs")?;
    drop(listener);
    refused(&west, &west.path("a.toml"), "no backup of Alliance")?;
    refused(&west, &west.path("nothing"), "opening ")?;
    // Its keys are somebody else's.
    let stolen = west.backup(&other.id()?, &counters())?;
    refused(&west, &stolen, "identity.key is that of cloud")?;
    // Damaged ones leave neither keys nor a database that a daemon would take for its own.
    let nobody = Cloud::without_keys()?;
    let damaged = fs::read_to_string(west.backup(&id, &counters())?)?.replace(",7]", ",8]");
    fs::write(&backup, damaged)?;
    refused(&nobody, &backup, "not those that were written")?;
    assert!(nobody.key("identity.key").is_err());
    let good = west.backup(&id, &counters())?;
    let ran = nobody.alliance(&["restore", "--from", &good])?;
    assert_eq!(ran.code, Some(0), "{ran}");
    Ok(())
}
