//! `alliance status` and `alliance id`

use std::path::PathBuf;

use alliance_core::cloud::CloudId;
use alliance_peer::identity::Identity;
use clap::Args;
use serde::Serialize;

use super::output::Format;
use super::socket::Daemon;
use super::table::card;
use super::{Failure, Output};
use crate::config::Config;
use crate::wire::{Health, InstanceView, StatusView};

/// Print this cloud's id, and the tag that its tokens begin with
///
/// Asks the daemon; with `--config`, reads the key in [cloud] state_dir, daemon or not.
#[derive(Debug, Args)]
pub(super) struct Id {
    /// Read the key that this configuration names, without the daemon
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Serialize)]
struct IdView<'a> {
    cloud_id: &'a CloudId,
    tag: &'a str,
}

impl Id {
    pub(super) async fn run(self, daemon: &Daemon, out: &mut Output) -> Result<(), Failure> {
        let cloud_id = match self.config {
            Some(path) => {
                let config = Config::read(&path).map_err(anyhow::Error::from)?;
                Identity::load(&config.cloud.state_dir)
                    .map_err(anyhow::Error::from)?
                    .cloud_id()
                    .clone()
            }
            None => status(daemon).await?.cloud_id,
        };
        print_id(&cloud_id, out)
    }
}

/// The id and the tag, the id first: `alliance id | head -1` is enough for a script.
pub(super) fn print_id(cloud_id: &CloudId, out: &mut Output) -> Result<(), Failure> {
    let tag = cloud_id.tag();
    match out.format {
        Format::Json => out.json(&IdView {
            cloud_id,
            tag: tag.as_str(),
        })?,
        Format::Table => {
            out.line(cloud_id);
            out.line(tag);
        }
    }
    Ok(())
}

/// What the daemon says of itself.
pub(super) async fn status(daemon: &Daemon) -> Result<StatusView, Failure> {
    Ok(daemon.get(&["status"]).send().await?)
}

pub(super) async fn run(daemon: &Daemon, out: &mut Output) -> Result<(), Failure> {
    let status = status(daemon).await?;
    if out.format == Format::Json {
        return Ok(out.json(&status)?);
    }
    let mut rows = vec![
        ("name", status.name.clone()),
        ("cloud id", status.cloud_id.to_string()),
        ("tag of its tokens", status.cloud_id.tag().to_string()),
        ("partners reach it at", status.peer_url.clone()),
        ("version", status.version.clone()),
        ("Keystone", health(&status.keystone)),
        ("Keystone's plugin", health(&status.doorbell)),
    ];
    if let Some(database) = &status.database {
        rows.push(("database", health(database)));
    }
    if !status.instances.is_empty() {
        let instances = status.instances.iter().map(instance);
        rows.push(("instances", instances.collect::<Vec<_>>().join(", ")));
    }
    out.line(card(rows));
    for warning in &status.warnings {
        out.line(format_args!("warning: {warning}"));
    }
    Ok(())
}

fn instance(one: &InstanceView) -> String {
    let mut words = Vec::new();
    if one.here {
        words.push("asked".to_owned());
    }
    if one.leads {
        words.push("leads".to_owned());
    }
    if one.silent > 15 {
        words.push(format!("silent for {} s", one.silent));
    }
    match words.is_empty() {
        true => one.name.clone(),
        false => format!("{} ({})", one.name, words.join(", ")),
    }
}

/// `ok: detail`, or `NOT ok: detail`.
pub(super) fn health(health: &Health) -> String {
    let word = if health.ok { "ok" } else { "NOT ok" };
    if health.detail.is_empty() {
        word.to_owned()
    } else {
        format!("{word}: {}", health.detail)
    }
}
