//! The command line: one module for each noun.

mod accept;
mod add_keystone;
mod agreement;
mod ask;
mod backup;
mod cloud;
mod configuration;
mod doctor;
mod explain;
mod failure;
mod init;
mod invite;
mod manual;
mod notice;
mod operator;
mod output;
mod partner;
mod project;
mod provision;
mod reason;
mod region;
mod restore;
mod retirement;
mod serve;
mod session;
mod socket;
mod status;
mod table;
mod token;
mod usage;
mod when;
mod work;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

pub(crate) use failure::Failure;
use output::AnyFormat;
pub(crate) use output::{Format, Output};
use socket::Daemon;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  refused, or failed
  2  the command line is wrong
  3  stored, but Keystone or the partner has not been told yet
  4  the daemon does not answer
  5  explain: a condition does not hold";

/// Where a daemon listens to which nothing else was said.
const DEFAULT_SOCKET: &str = "/run/alliance/delegate.sock";

/// Resource federation between OpenStack clouds
#[derive(Debug, Parser)]
#[command(name = "alliance", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Cli {
    /// The daemon's socket ([delegate] socket in its configuration)
    #[arg(
        long,
        global = true,
        help_heading = "Global options",
        value_name = "PATH",
        env = "ALLIANCE_SOCKET",
        default_value = DEFAULT_SOCKET
    )]
    socket: PathBuf,

    /// How results are printed
    #[arg(
        long,
        global = true,
        help_heading = "Global options",
        value_enum,
        default_value = "table"
    )]
    pub format: AnyFormat,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Work(work::Work),
    Init(init::Init),
    /// Print or check a configuration file
    #[command(subcommand)]
    Config(configuration::ConfigCommand),
    Id(status::Id),
    /// The clouds that this one is paired with
    #[command(subcommand)]
    Partner(partner::PartnerCommand),
    /// What this cloud grants its partners' projects
    #[command(subcommand)]
    Agreement(agreement::AgreementCommand),
    /// Partners' tokens
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Partners' projects, as they are here
    #[command(subcommand)]
    Project(project::ProjectCommand),
    /// What projects of this cloud have at partners: servers, networks, volumes, images
    #[command(subcommand)]
    Provision(provision::ProvisionCommand),
    /// Who of the partners' users is here
    #[command(subcommand)]
    Session(session::SessionCommand),
    /// Partners' regions, as this cloud's users see them
    #[command(subcommand)]
    Region(region::RegionCommand),
    /// What partners' projects use here, and ours there
    #[command(subcommand)]
    Usage(usage::UsageCommand),
    /// What has happened at partners to what our projects have there
    #[command(subcommand)]
    Notice(notice::NoticeCommand),
    /// Partners' projects that are stopped and deleted, for nobody answers for them any more
    #[command(subcommand)]
    Retirement(retirement::RetirementCommand),
    /// Partners' projects here that no agreement covers
    #[command(subcommand)]
    Orphan(retirement::OrphanCommand),
    Explain(explain::Explain),
    /// How the daemon is
    Status,
    Doctor(doctor::Doctor),
    Backup(backup::BackupCommand),
    Restore(restore::Restore),
    Completion(manual::Completion),
    #[command(hide = true)]
    Manual(manual::Manual),
}

impl Cli {
    /// Parses the arguments; help, version and mistakes are printed, the code is the process's.
    pub(crate) fn from_command_line() -> Result<Self, ExitCode> {
        Self::try_parse().map_err(|error| {
            let mut out = Output::new(Format::Table);
            let text = error.render();
            match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                    out.line(text.to_string().trim_end());
                    out.finish(ExitCode::SUCCESS)
                }
                _ => {
                    if token::may_be_an_argument(std::env::args_os()) {
                        // The usual text quotes what it does not understand.
                        out.say(format_args!("error: {}", token::NEVER_AN_ARGUMENT));
                        out.say("See: alliance token validate --help");
                    } else {
                        out.say(text.to_string().trim_end());
                    }
                    out.finish(ExitCode::from(2))
                }
            }
        })
    }

    /// Does what was asked for.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn run(self, out: &mut Output) -> Result<(), Failure> {
        let daemon = Daemon::new(self.socket);
        let is_of_usage = matches!(self.format, AnyFormat::Csv | AnyFormat::Focus);
        if is_of_usage && !matches!(self.command, Command::Usage(_)) {
            return Err(Failure::refused(
                "--format csv and --format focus are for `alliance usage report`",
            ));
        }
        match self.command {
            Command::Serve(serve) => serve.run(),
            Command::Work(work) => work.run(),
            Command::Config(command) => command.run(out),
            Command::Init(init) => init.run(out),
            Command::Id(id) => attend(id.run(&daemon, out)),
            Command::Partner(command) => attend(command.run(&daemon, out)),
            Command::Agreement(command) => attend(command.run(&daemon, out)),
            Command::Token(command) => attend(command.run(&daemon, out)),
            Command::Project(command) => attend(command.run(&daemon, out)),
            Command::Provision(command) => attend(command.run(&daemon, out)),
            Command::Session(command) => attend(command.run(&daemon, out)),
            Command::Region(command) => attend(command.run(&daemon, out)),
            Command::Usage(command) => attend(command.run(&daemon, self.format, out)),
            Command::Notice(command) => attend(command.run(&daemon, out)),
            Command::Retirement(command) => attend(command.run(&daemon, out)),
            Command::Orphan(command) => attend(command.run(&daemon, out)),
            Command::Explain(explain) => attend(explain.run(&daemon, out)),
            Command::Status => attend(status::run(&daemon, out)),
            Command::Doctor(doctor) => attend(doctor.run(&daemon, out)),
            Command::Backup(backup) => attend(backup.run(out)),
            Command::Restore(restore) => attend(restore.run(out)),
            Command::Completion(completion) => completion.run(out),
            Command::Manual(manual) => manual.run(),
        }
    }
}

/// Runs a client's work on this thread.
fn attend(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    runtime.block_on(work)
}
