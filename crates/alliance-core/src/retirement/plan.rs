//! When what is done to a project that nobody answers for.

use serde::{Deserialize, Serialize};

use super::Standing;
use crate::Seconds;
use crate::agreement::Agreement;
use crate::terms;
use crate::word::words;

/// Why a project is retired. What ends a user is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// No living agreement covers it any more.
    AgreementEnded,
    /// Neither, and its cloud is no partner any more.
    PartnerRemoved,
    /// Home says that there is none of that id.
    ProjectDeleted,
    /// Home says that it or its domain is disabled.
    ProjectDisabled,
    /// No living agreement covers it, and the host's operator has decided.
    Orphaned,
}

words!(Cause {
    Cause::AgreementEnded = "agreement_ended",
    Cause::PartnerRemoved = "partner_removed",
    Cause::ProjectDeleted = "project_deleted",
    Cause::ProjectDisabled = "project_disabled",
    Cause::Orphaned = "orphaned",
});

impl Cause {
    /// Whether it is so because home says so: home has to say it again before anything is done.
    pub fn is_homes_word(self) -> bool {
        matches!(self, Self::ProjectDeleted | Self::ProjectDisabled)
    }

    /// Whether it ends in deletion.
    pub fn deletes(self) -> bool {
        self != Self::ProjectDisabled
    }
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nobody has access; everything runs on.
    AccessEnded,
    /// Servers are shut off, floating IPs withdrawn.
    Quarantine,
    /// Everything is being deleted.
    Deletion,
    /// What was shut off is being started again.
    Restoration,
    /// Over: everything is gone.
    Deleted,
    /// Over: called off.
    Restored,
}

words!(Phase {
    Phase::AccessEnded = "access_ended",
    Phase::Quarantine = "quarantine",
    Phase::Deletion = "deletion",
    Phase::Restoration = "restoration",
    Phase::Deleted = "deleted",
    Phase::Restored = "restored",
});

impl Phase {
    /// Whether nothing is left to do.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Deleted | Self::Restored)
    }
}

/// What is known of a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Whether an agreement keeps it.
    pub is_kept: bool,
    /// Whether its cloud is a partner.
    pub is_partners: bool,
    /// Whether the host's operator has decided that it is an orphan.
    pub is_orphan: bool,
    /// What home last said of it.
    pub standing: Option<Standing>,
}

/// Why a project is to be retired, if it is. What home does not say changes nothing.
pub fn cause(facts: Facts) -> Option<Cause> {
    match facts.standing {
        _ if !facts.is_kept => Some(if facts.is_orphan {
            Cause::Orphaned
        } else if facts.is_partners {
            Cause::AgreementEnded
        } else {
            Cause::PartnerRemoved
        }),
        Some(Standing::Deleted) => Some(Cause::ProjectDeleted),
        Some(Standing::Disabled) => Some(Cause::ProjectDisabled),
        Some(Standing::Enabled) | None => None,
    }
}

/// The agreements that keep a project's resources: those in force, and those to come.
pub fn keeping<'a>(
    agreements: &'a [Agreement],
    project_id: &'a str,
    now: Seconds,
) -> impl Iterator<Item = &'a Agreement> {
    agreements.iter().filter(move |agreement| {
        agreement.version.is_some()
            && agreement.ended_at.is_none()
            && agreement.terms.till.is_none_or(|till| now < till)
            && agreement.projects.covers(project_id)
    })
}

/// How long a project has that these agreements keep: as the most patient of them says.
pub fn policy<'a>(
    agreements: impl IntoIterator<Item = &'a Agreement>,
) -> Option<terms::Retirement> {
    let all = agreements.into_iter().map(|one| one.terms.retirement);
    all.reduce(|one, other| terms::Retirement {
        quarantine_after: one.quarantine_after.max(other.quarantine_after),
        delete_after: one.delete_after.max(other.delete_after),
    })
}

/// What home said of a project, and when it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// What.
    pub standing: Standing,
    /// By this cloud's clock, before the question went out.
    pub asked_at: Seconds,
}

/// What is to be done, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Why.
    pub cause: Cause,
    /// How far it is.
    pub phase: Phase,
    /// As the agreement said that held last.
    pub policy: terms::Retirement,
    /// When servers are stopped.
    pub quarantine_at: Seconds,
    /// When everything is deleted; `None`: there is no date.
    pub delete_at: Option<Seconds>,
    /// When it was seen that everything was stopped.
    pub quarantined_at: Option<Seconds>,
    /// Whether the host's operator has stopped the clock.
    pub is_held: bool,
}

/// How it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// As it is.
    Stay,
    /// Home has to say again how the project is; until then as it is.
    AskHome,
    /// It is this from now on.
    Become(Plan),
}

impl Plan {
    /// Access has ended now.
    pub fn begin(cause: Cause, policy: terms::Retirement, now: Seconds) -> Self {
        let quarantine_at = now + policy.quarantine_after;
        Self {
            cause,
            phase: Phase::AccessEnded,
            policy,
            quarantine_at,
            delete_at: cause
                .deletes()
                .then_some(quarantine_at + policy.delete_after),
            quarantined_at: None,
            is_held: false,
        }
    }

    /// How it goes on, where `cause` holds now and `word` is home's last.
    pub fn next(&self, cause: Option<Cause>, word: Option<Word>, now: Seconds) -> Next {
        if self.phase.is_over() {
            return Next::Stay;
        }
        let Some(cause) = cause else {
            return self.call_off();
        };
        if self.phase == Phase::Restoration {
            return Next::Become(Self::begin(cause, self.policy, now));
        }
        if cause != self.cause {
            return Next::Become(self.recast(cause, now));
        }
        if self.is_held {
            return Next::Stay;
        }
        let (due, then) = match self.phase {
            Phase::AccessEnded => {
                let delete_at = cause.deletes().then_some(now + self.policy.delete_after);
                let phase = Phase::Quarantine;
                (
                    Some(self.quarantine_at),
                    Self {
                        phase,
                        delete_at,
                        ..*self
                    },
                )
            }
            Phase::Quarantine if self.quarantined_at.is_some() => {
                let phase = Phase::Deletion;
                (self.delete_at, Self { phase, ..*self })
            }
            _ => (None, *self),
        };
        match due.filter(|due| *due <= now) {
            None => Next::Stay,
            Some(due) if cause.is_homes_word() && word.is_none_or(|word| word.asked_at < due) => {
                Next::AskHome
            }
            Some(_) => Next::Become(then),
        }
    }

    fn call_off(&self) -> Next {
        let phase = match self.phase {
            Phase::Restoration => return Next::Stay,
            Phase::AccessEnded => Phase::Restored,
            _ => Phase::Restoration,
        };
        Next::Become(Self { phase, ..*self })
    }

    /// For another reason. Where home's word comes in or drops out, the time until the deletion begins
    /// anew; what is not to be deleted any more is kept as it is.
    fn recast(&self, cause: Cause, now: Seconds) -> Self {
        let mut plan = Self { cause, ..*self };
        if cause.is_homes_word() || self.cause.is_homes_word() {
            let from = now.max(self.quarantine_at);
            plan.delete_at = cause.deletes().then_some(from + self.policy.delete_after);
            if plan.phase == Phase::Deletion {
                plan.phase = Phase::Quarantine;
            }
        }
        plan
    }

    /// The host's operator is not willing to wait: whatever comes next is due.
    pub fn hurry(&self, now: Seconds) -> Self {
        let mut plan = *self;
        match self.phase {
            Phase::AccessEnded => {
                plan.quarantine_at = now.min(self.quarantine_at);
                plan.policy.delete_after = 0;
            }
            Phase::Quarantine => plan.delete_at = self.delete_at.map(|at| at.min(now)),
            _ => {}
        }
        plan.is_held = false;
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agreement::tests::member;

    const POLICY: terms::Retirement = terms::Retirement {
        quarantine_after: 10,
        delete_after: 100,
    };

    fn begun(cause: Cause) -> Plan {
        Plan::begin(cause, POLICY, 1000)
    }

    fn word(standing: Standing, asked_at: Seconds) -> Option<Word> {
        Some(Word { standing, asked_at })
    }

    fn became(next: Next) -> Plan {
        assert!(matches!(next, Next::Become(_)), "{next:?}");
        match next {
            Next::Become(plan) => plan,
            Next::Stay | Next::AskHome => begun(Cause::Orphaned),
        }
    }

    /// In quarantine, and everything is stopped.
    fn stopped(cause: Cause) -> Plan {
        Plan {
            phase: Phase::Quarantine,
            delete_at: cause.deletes().then_some(1200),
            quarantined_at: Some(1012),
            ..begun(cause)
        }
    }

    #[test]
    fn what_the_host_knows_itself_needs_no_word_of_home() {
        for cause in [
            Cause::AgreementEnded,
            Cause::PartnerRemoved,
            Cause::Orphaned,
        ] {
            let plan = begun(cause);
            assert_eq!(plan.next(Some(cause), None, 1009), Next::Stay);
            let plan = became(plan.next(Some(cause), None, 1015));
            assert_eq!(
                (plan.phase, plan.delete_at),
                (Phase::Quarantine, Some(1115))
            );
            assert_eq!(plan.next(Some(cause), None, 2000), Next::Stay, "it runs");
            let plan = Plan {
                quarantined_at: Some(1016),
                ..plan
            };
            assert_eq!(plan.next(Some(cause), None, 1114), Next::Stay);
            let plan = became(plan.next(Some(cause), None, 1115));
            assert_eq!(plan.phase, Phase::Deletion);
            assert_eq!(plan.next(Some(cause), None, 9999), Next::Stay);
        }
    }

    #[test]
    fn what_home_says_it_says_again_before_each_step() {
        let cause = Some(Cause::ProjectDeleted);
        let deleted = |at| word(Standing::Deleted, at);
        let plan = begun(Cause::ProjectDeleted);
        assert_eq!(plan.next(cause, deleted(999), 1020), Next::AskHome);
        let plan = became(plan.next(cause, deleted(1020), 1021));
        assert_eq!(plan.phase, Phase::Quarantine);
        let plan = stopped(Cause::ProjectDeleted);
        assert_eq!(plan.next(cause, deleted(1199), 5000), Next::AskHome);
        assert_eq!(plan.next(cause, None, 5000), Next::AskHome);
        let plan = became(plan.next(cause, deleted(1200), 5000));
        assert_eq!(plan.phase, Phase::Deletion);
    }

    #[test]
    fn a_project_that_is_disabled_is_never_deleted() {
        let plan = stopped(Cause::ProjectDisabled);
        let said = word(Standing::Disabled, 1 << 40);
        let next = plan.next(Some(Cause::ProjectDisabled), said, 1 << 40);
        assert_eq!(next, Next::Stay);
    }

    #[test]
    fn a_cause_that_is_gone_calls_it_off_until_everything_is_gone() {
        let phase = |plan: Plan| became(plan.next(None, None, 1300)).phase;
        assert_eq!(phase(begun(Cause::AgreementEnded)), Phase::Restored);
        let plan = stopped(Cause::AgreementEnded);
        assert_eq!(phase(plan), Phase::Restoration);
        let plan = |phase| Plan { phase, ..plan };
        assert_eq!(phase(plan(Phase::Deletion)), Phase::Restoration);
        for over in [Phase::Restoration, Phase::Deleted, Phase::Restored] {
            assert_eq!(plan(over).next(None, None, 1300), Next::Stay);
        }
        let again = plan(Phase::Restoration).next(Some(Cause::AgreementEnded), None, 1300);
        assert_eq!(
            became(again),
            Plan::begin(Cause::AgreementEnded, POLICY, 1300)
        );
    }

    #[test]
    fn another_cause_of_home_begins_the_grace_anew_and_never_shortens_it() {
        let plan = stopped(Cause::ProjectDisabled);
        let plan = became(plan.next(Some(Cause::ProjectDeleted), None, 1150));
        assert_eq!(
            (plan.phase, plan.delete_at),
            (Phase::Quarantine, Some(1250))
        );
        let plan = Plan {
            phase: Phase::Deletion,
            ..plan
        };
        let plan = became(plan.next(Some(Cause::ProjectDisabled), None, 1260));
        assert_eq!((plan.phase, plan.delete_at), (Phase::Quarantine, None));
        let plan = stopped(Cause::AgreementEnded);
        let plan = became(plan.next(Some(Cause::PartnerRemoved), None, 1150));
        assert_eq!(plan.delete_at, Some(1200));
    }

    #[test]
    fn while_it_is_held_nothing_comes_next_but_a_calling_off() {
        let plan = Plan {
            is_held: true,
            ..stopped(Cause::AgreementEnded)
        };
        let next = plan.next(Some(Cause::AgreementEnded), None, 9999);
        assert_eq!(next, Next::Stay);
        let next = became(plan.next(None, None, 9999));
        assert_eq!(next.phase, Phase::Restoration);
        let hurried = plan.hurry(1100);
        assert_eq!((hurried.delete_at, hurried.is_held), (Some(1100), false));
        let hurried = begun(Cause::AgreementEnded).hurry(1001);
        assert_eq!(hurried.quarantine_at, 1001);
        let next = became(hurried.next(Some(Cause::AgreementEnded), None, 1002));
        assert_eq!(next.delete_at, Some(1002));
    }

    #[test]
    fn silence_of_home_and_a_user_s_end_are_no_cause() {
        let facts = Facts {
            is_kept: true,
            is_partners: true,
            is_orphan: false,
            standing: None,
        };
        assert_eq!(cause(facts), None);
        let with = |standing| {
            cause(Facts {
                standing: Some(standing),
                ..facts
            })
        };
        assert_eq!(with(Standing::Enabled), None);
        assert_eq!(with(Standing::Disabled), Some(Cause::ProjectDisabled));
        assert_eq!(with(Standing::Deleted), Some(Cause::ProjectDeleted));
        let ended = Facts {
            is_kept: false,
            standing: Some(Standing::Deleted),
            ..facts
        };
        assert_eq!(cause(ended), Some(Cause::AgreementEnded));
        let removed = Facts {
            is_partners: false,
            ..ended
        };
        assert_eq!(cause(removed), Some(Cause::PartnerRemoved));
        let orphan = Facts {
            is_orphan: true,
            ..removed
        };
        assert_eq!(cause(orphan), Some(Cause::Orphaned));
    }

    #[test]
    fn what_is_in_force_or_to_come_keeps_a_project_and_the_most_patient_counts() {
        let mut all = [member("*"), member("p"), member("q")];
        all[0].terms.retirement = POLICY;
        all[1].terms.retirement.quarantine_after = 3;
        let of = |all: &[Agreement], now| policy(keeping(all, "p", now));
        let patient = Some(terms::Retirement {
            quarantine_after: 10,
            delete_after: 7 * 86_400,
        });
        assert_eq!(of(&all, 0), patient, "before they begin");
        assert_eq!(of(&all, 19), patient);
        assert_eq!(of(&all, 20), None);
        all[1].ended_at = Some(12);
        assert_eq!(of(&all, 15), Some(POLICY));
        all[0].version = None;
        assert_eq!(of(&all, 15), None);
    }
}
