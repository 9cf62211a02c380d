//! The store's promises, kept by SQLite and by MariaDB alike. MariaDB takes part if
//! `ALLIANCE_TEST_MYSQL_URL` names a server whose user may make databases
//! (`scripts/with-mariadb cargo nextest run`).

mod acceptances;
mod agreements;
mod arrivals;
mod audit;
mod audit_events;
mod backup;
mod bed;
mod bulletins;
mod contracts;
mod drafts;
mod ended_sessions;
mod guest_projects;
mod instances;
mod invitations;
mod keystones;
mod meta;
mod notices;
mod opening;
mod partners;
mod project_limits;
mod provisions;
mod refusals;
mod retirements;
mod seen_tokens;
mod sign_outs;
mod token_keys;
mod usage;
mod used_passports;
