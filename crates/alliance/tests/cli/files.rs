use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Result;

use crate::run::{Ran, command, run};

fn alliance(folder: &Path, arguments: &[&str]) -> Result<Ran> {
    let socket = folder.join("sock");
    let folder = folder.display().to_string();
    let arguments = arguments.iter().map(|text| text.replace("FOLDER", &folder));
    let mut ran = run(command(&socket).args(arguments), "", &socket)?;
    ran.out = ran.out.replace(&folder, "FOLDER");
    ran.err = ran.err.replace(&folder, "FOLDER");
    Ok(ran)
}

const INIT: &[&str] = &[
    "init",
    "--config",
    "FOLDER/a.toml",
    "--name",
    "west",
    "--set",
    "cloud.state_dir=FOLDER/state",
    "--set",
    "keystone.password_file=FOLDER/password",
];

#[test]
fn init_makes_everything_once() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let first = alliance(folder, INIT)?;
    assert_eq!(first.code, Some(0), "{first}");
    insta::assert_snapshot!(first.err);
    let mode =
        |path: &str| fs::metadata(folder.join(path)).map(|data| data.permissions().mode() & 0o777);
    assert_eq!((mode("state")?, mode("a.toml")?), (0o700, 0o640));

    let text = fs::read_to_string(folder.join("a.toml"))?;
    let second = alliance(folder, INIT)?;
    assert_eq!(second.out, first.out);
    assert_eq!(fs::read_to_string(folder.join("a.toml"))?, text);

    let id = alliance(folder, &["id", "--config", "FOLDER/a.toml"])?;
    assert_eq!(id.out, first.out);
    Ok(())
}

#[test]
fn init_with_a_wrong_setting_leaves_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let wrong = alliance(
        folder.path(),
        &[
            "init",
            "--config",
            "FOLDER/a.toml",
            "--set",
            "cloud.state_dir=here",
        ],
    )?;
    insta::assert_snapshot!(wrong);
    assert_eq!(fs::read_dir(folder.path())?.count(), 0);
    let unknown = alliance(
        folder.path(),
        &[
            "init",
            "--config",
            "FOLDER/a.toml",
            "--set",
            "cloud.statedir=/x",
        ],
    )?;
    insta::assert_snapshot!(unknown);
    Ok(())
}

#[test]
fn a_configuration_is_checked_with_its_warnings() -> Result<()> {
    let folder = tempfile::tempdir()?;
    alliance(folder.path(), INIT)?;
    insta::assert_snapshot!(alliance(
        folder.path(),
        &["config", "check", "--config", "FOLDER/a.toml"]
    )?);
    fs::write(folder.path().join("password"), "hunter2\n")?;
    fs::set_permissions(
        folder.path().join("password"),
        fs::Permissions::from_mode(0o644),
    )?;
    insta::assert_snapshot!(alliance(
        folder.path(),
        &["config", "check", "--config", "FOLDER/a.toml"]
    )?);
    Ok(())
}

#[test]
fn serve_refuses_a_wrong_configuration() -> Result<()> {
    let folder = tempfile::tempdir()?;
    fs::write(
        folder.path().join("a.toml"),
        "[cloud]\nname = 5\nstatedir = \"/x\"\n",
    )?;
    insta::assert_snapshot!(alliance(
        folder.path(),
        &["serve", "--config", "FOLDER/a.toml"]
    )?);
    insta::assert_snapshot!(alliance(
        folder.path(),
        &["serve", "--config", "FOLDER/b.toml"]
    )?);
    Ok(())
}
