//! Decides whether to take over a lock of another run, to refuse, or to keep watching. Pure: takes
//! reads of the Lease with times of the observer's clock.
//!
//! Follows client-go's leader election: a Lease has expired if the observer saw no change of it for
//! the expiry, by the observer's monotonic clock. Ignores times and durations in the Lease, because
//! its writer may have a wrong clock or be hostile.

use std::time::Duration;

/// What this machine knows about the run in a Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// This run, whose write succeeded but whose response was lost.
    Ours,
    /// Its process has ended.
    Dead,
    /// It may be alive.
    InDoubt,
}

/// UID and resourceVersion of a Lease. Each write changes one of them.
pub type Version = (String, String);

/// A read of a Lease. Times count from a fixed point of a monotonic clock.
pub struct Look {
    pub sent: Duration,
    pub answered: Duration,
    pub version: Version,
    pub run: Run,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    TakeOver,
    Refuse,
    Watch,
}

/// One observer's reads of a lock.
pub struct Observer {
    expiry: Duration,
    /// The first version seen, and when its response arrived.
    first: Option<(Version, Duration)>,
}

impl Observer {
    pub fn new(expiry: Duration) -> Observer {
        Observer {
            expiry,
            first: None,
        }
    }

    pub fn judge(&mut self, look: Look) -> Decision {
        if look.run != Run::InDoubt {
            return Decision::TakeOver;
        }
        match &self.first {
            None => {
                self.first = Some((look.version, look.answered));
                Decision::Watch
            }
            // The Lease was written, so its holder is alive, or another run was faster.
            Some((first, _)) if *first != look.version => Decision::Refuse,
            // From the first response to this request: the time that certainly passed between two
            // states of the server.
            Some((_, since)) if look.sent.saturating_sub(*since) >= self.expiry => {
                Decision::TakeOver
            }
            Some(_) => Decision::Watch,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Decision::{Refuse, TakeOver, Watch};
    use super::*;

    /// For each read: (second of the request, second of the response, version, run) and the
    /// resulting decision.
    type Story<'a> = &'a [(f64, f64, &'a str, Run, Decision)];

    #[test]
    fn a_lock_is_taken_over_from_the_surely_dead_and_from_those_that_do_not_renew() {
        let stories: [(&str, Story); 8] = [
            ("dead: at once", &[(0.0, 0.1, "7", Run::Dead, TakeOver)]),
            (
                "our own write, whose answer was lost",
                &[(0.0, 0.1, "7", Run::Ours, TakeOver)],
            ),
            (
                "not renewed for the expiry",
                &[
                    (0.0, 0.1, "7", Run::InDoubt, Watch),
                    (9.9, 9.9, "7", Run::InDoubt, Watch),
                    (10.1, 10.2, "7", Run::InDoubt, TakeOver),
                ],
            ),
            (
                "renewed",
                &[
                    (0.0, 0.1, "7", Run::InDoubt, Watch),
                    (3.0, 3.1, "8", Run::InDoubt, Refuse),
                ],
            ),
            (
                "renewed at the last moment",
                &[
                    (0.0, 0.1, "7", Run::InDoubt, Watch),
                    (99.0, 99.1, "8", Run::InDoubt, Refuse),
                ],
            ),
            // The first response may be as recent as its arrival, the last as old as its request.
            (
                "slow answers do not count as time that passed",
                &[
                    (0.0, 6.0, "7", Run::InDoubt, Watch),
                    (6.5, 15.9, "7", Run::InDoubt, Watch),
                    (16.0, 16.1, "7", Run::InDoubt, TakeOver),
                ],
            ),
            (
                "found dead while it is watched",
                &[
                    (0.0, 0.1, "7", Run::InDoubt, Watch),
                    (0.6, 0.7, "7", Run::Dead, TakeOver),
                ],
            ),
            (
                "another run took a dead one's lock first",
                &[
                    (0.0, 0.1, "7", Run::Dead, TakeOver),
                    (0.2, 0.3, "8", Run::InDoubt, Watch),
                    (3.2, 3.3, "9", Run::InDoubt, Refuse),
                ],
            ),
        ];
        for (name, story) in stories {
            let mut observer = Observer::new(Duration::from_secs(10));
            for (sent, answered, version, run, expected) in story {
                let (sent, answered) = (
                    Duration::from_secs_f64(*sent),
                    Duration::from_secs_f64(*answered),
                );
                let version = ("uid".to_owned(), (*version).to_owned());
                let decision = observer.judge(Look {
                    sent,
                    answered,
                    version,
                    run: *run,
                });
                assert_eq!(decision, *expected, "{name}, at {sent:?}");
            }
        }
    }

    #[test]
    fn a_lease_that_was_deleted_and_created_again_is_another_one() {
        let mut observer = Observer::new(Duration::from_secs(10));
        let mut look = |uid: &str| {
            let version = (uid.to_owned(), "7".to_owned());
            observer.judge(Look {
                sent: Duration::ZERO,
                answered: Duration::ZERO,
                version,
                run: Run::InDoubt,
            })
        };
        assert_eq!(look("one"), Watch);
        assert_eq!(look("other"), Refuse);
    }
}
