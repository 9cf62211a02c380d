//! What this process uses, under the names that every exporter has for it. Looked up when it is printed.

use std::fs;

use alliance_core::Seconds;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// In which Linux tells programs the time of processors.
const TICKS_A_SECOND: f64 = 100.0;

#[derive(Debug)]
pub(super) struct Process {
    pub(super) started: Seconds,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        put(
            &mut encoder,
            "process_start_time",
            "When this process began, since the epoch.",
            Some(Unit::Seconds),
            &ConstGauge::new(self.started),
        )?;
        if let Some(seconds) = cpu_seconds() {
            put(
                &mut encoder,
                "process_cpu",
                "Time of processors, of the program and of the system for it.",
                Some(Unit::Seconds),
                &ConstCounter::new(seconds),
            )?;
        }
        if let Some(bytes) = resident_bytes() {
            put(
                &mut encoder,
                "process_resident_memory",
                "Memory that is not paged out.",
                Some(Unit::Bytes),
                &ConstGauge::new(bytes),
            )?;
        }
        if let Some(count) = open_files() {
            put(
                &mut encoder,
                "process_open_fds",
                "Files and connections that are open.",
                None,
                &ConstGauge::new(count),
            )?;
        }
        if let Some(most) = most_files() {
            put(
                &mut encoder,
                "process_max_fds",
                "How many may be.",
                None,
                &ConstGauge::new(most),
            )?;
        }
        Ok(())
    }
}

fn put(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<Unit>,
    metric: &impl EncodeMetric,
) -> Result<(), std::fmt::Error> {
    let described = encoder.encode_descriptor(name, help, unit.as_ref(), metric.metric_type())?;
    metric.encode(described)
}

fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // In parentheses stands a name that may have spaces.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_A_SECOND)
}

fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let mut lines = status.lines();
    let resident = lines.find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = resident.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

fn open_files() -> Option<u64> {
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    // One of them is that folder.
    u64::try_from(count.saturating_sub(1)).ok()
}

/// `None` too where there is no limit.
fn most_files() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let mut lines = limits.lines();
    let most = lines.find_map(|line| line.strip_prefix("Max open files"))?;
    most.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_something() {
        assert!(cpu_seconds().is_some());
        assert!(resident_bytes().is_some_and(|bytes| bytes > 1024 * 1024));
        let open = open_files().unwrap_or_default();
        assert!(open > 0 && most_files().is_none_or(|most| open < most));
    }
}
