//! What operators see: the command as a process, with a daemon that plays back answers.

mod accepting;
mod adding;
mod agreements;
mod backups;
mod daemon;
mod explaining;
mod failures;
mod files;
mod help;
mod inviting;
mod keystone;
mod partners;
mod projects;
mod provisioning;
mod retirements;
mod run;
mod sessions;
mod state;
mod tokens;
