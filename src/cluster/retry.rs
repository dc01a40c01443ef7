//! Decides whether and when to retry a failed request. No I/O: the transport passes the failure and
//! the time spent so far.

use std::time::Duration;

/// Limits for retries. The defaults suit a person at a terminal: short failures pass unnoticed, and
/// an unreachable server is reported soon.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// Pause before the second attempt. Doubles with each attempt.
    pub first: Duration,
    /// Longest pause, except with `Retry-After`.
    pub longest: Duration,
    /// Time after the first attempt in which further attempts may start.
    pub total: Duration,
    /// The same if the server has never answered, so that a wrong address is reported soon.
    pub total_unreached: Duration,
    /// Timeout of an attempt, after which it has stalled.
    pub attempt: Duration,
    /// The same for a server that has never answered.
    pub first_attempt: Duration,
    /// How long a server counts as recovering after it was unreachable.
    pub recovery: Duration,
    /// Number of retries of a stalled request.
    pub stalls: u32,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            first: Duration::from_millis(100),
            longest: Duration::from_secs(5),
            total: Duration::from_secs(30),
            total_unreached: Duration::from_secs(1),
            attempt: Duration::from_secs(60),
            first_attempt: Duration::from_secs(10),
            recovery: Duration::from_secs(5),
            stalls: 1,
        }
    }
}

/// The effect of sending a request twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// The same as sending it once.
    Harmless,
    /// Different if the first one arrived, as for a deletion by name. The request is retried only
    /// if it certainly did not arrive.
    IfUnheard,
}

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The server returned this response.
    Answer {
        code: u16,
        retry_after: Option<Duration>,
        etcd: bool,
    },
    /// There was no connection.
    Unsent,
    /// The connection broke after the request was sent, or during the response.
    Lost,
    /// No complete response within the timeout of an attempt.
    Stalled,
    /// The server refused, and was unreachable just before.
    Recovering,
    /// Retrying is useless.
    Lasting,
}

/// The history of this request and this server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// Number of attempts of this request, at least 1.
    pub attempts: u32,
    /// Number of attempts that stalled.
    pub stalls: u32,
    pub elapsed: Duration,
    /// Whether the server has ever answered in this run.
    pub reached: bool,
}

/// Returns the pause before the next attempt, or `None` to give up. `chance` in 0..1 spreads
/// clients that failed at the same time.
pub(super) fn pause(
    policy: &Policy,
    repeat: Repeat,
    failure: Failure,
    progress: Progress,
    chance: f64,
) -> Option<Duration> {
    let harmless = repeat == Repeat::Harmless;
    let again = match failure {
        Failure::Answer { code: 429, .. } => true,
        // With Retry-After, the API server was too busy to start. Without it, a load balancer may
        // have lost the server during the request.
        Failure::Answer {
            code: 503,
            retry_after,
            ..
        } => harmless || retry_after.is_some(),
        Failure::Answer {
            code: 502 | 504, ..
        }
        | Failure::Answer {
            code: 500,
            etcd: true,
            ..
        } => harmless,
        Failure::Answer { .. } | Failure::Lasting => false,
        Failure::Unsent | Failure::Recovering => true,
        Failure::Lost => harmless,
        // A server that has never answered is reported at once.
        Failure::Stalled => {
            return (harmless && progress.reached && progress.stalls <= policy.stalls)
                .then_some(policy.first);
        }
    };
    let total = if progress.reached {
        policy.total
    } else {
        policy.total_unreached
    };
    let doubled = policy
        .first
        .saturating_mul(1 << progress.attempts.saturating_sub(1).min(16))
        .min(policy.longest);
    let jittered = doubled.mul_f64(0.5 + chance / 2.0);
    let pause = match failure {
        Failure::Answer {
            retry_after: Some(wanted),
            ..
        } => wanted.max(jittered),
        _ => jittered,
    };
    (again && progress.elapsed + pause <= total).then_some(pause)
}

/// Returns true if a 500's message means that etcd did not do a write, or does not know whether it
/// did, during a change of its leader.
///
/// The messages are etcd's (`server/etcdserver/errors`). The API server passes them on without a
/// reason code.
pub(super) fn etcd_hiccup(message: &str) -> bool {
    [
        "etcdserver: leader changed",
        "raft proposal dropped",
        "etcdserver: request timed out",
        "etcdserver: no leader",
    ]
    .iter()
    .any(|known| message.contains(known))
}

/// Returns the pause in a `Retry-After` header. The API server sends seconds. The other format, a
/// date, is ignored.
pub(super) fn retry_after(header: Option<&http::HeaderValue>) -> Option<Duration> {
    header?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
        .map(Duration::from_secs)
}

/// Returns a number in 0..1, random enough to spread pauses.
pub(super) fn chance() -> f64 {
    use std::hash::{BuildHasher, Hasher};
    let random = std::hash::RandomState::new().build_hasher().finish();
    (random >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: u16) -> Failure {
        Failure::Answer {
            code,
            retry_after: None,
            etcd: false,
        }
    }

    fn is_sent_again(repeat: Repeat, failure: Failure) -> bool {
        let progress = Progress {
            attempts: 1,
            stalls: 1,
            elapsed: Duration::ZERO,
            reached: true,
        };
        pause(&Policy::default(), repeat, failure, progress, 0.5).is_some()
    }

    #[test]
    fn what_may_have_been_heard_is_sent_again_only_when_that_is_harmless() {
        let busy = Failure::Answer {
            code: 503,
            retry_after: Some(Duration::from_secs(1)),
            etcd: false,
        };
        let etcd = Failure::Answer {
            code: 500,
            retry_after: None,
            etcd: true,
        };
        let cases = [
            (answer(429), true, true),
            (busy, true, true),
            (answer(503), true, false),
            (answer(504), true, false),
            (answer(502), true, false),
            (etcd, true, false),
            (answer(500), false, false),
            (answer(404), false, false),
            (answer(409), false, false),
            (Failure::Unsent, true, true),
            (Failure::Recovering, true, true),
            (Failure::Lost, true, false),
            (Failure::Stalled, true, false),
            (Failure::Lasting, false, false),
        ];
        for (failure, harmless, if_unheard) in cases {
            assert_eq!(
                is_sent_again(Repeat::Harmless, failure),
                harmless,
                "{failure:?}"
            );
            assert_eq!(
                is_sent_again(Repeat::IfUnheard, failure),
                if_unheard,
                "{failure:?}"
            );
        }
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_end_with_the_total() {
        let policy = Policy::default();
        let wait = |attempts, elapsed| {
            let progress = Progress {
                attempts,
                stalls: 0,
                elapsed: Duration::from_secs(elapsed),
                reached: true,
            };
            pause(&policy, Repeat::Harmless, answer(503), progress, 1.0)
                .map(|pause| pause.as_millis())
        };
        assert_eq!(wait(1, 0), Some(100));
        assert_eq!(wait(2, 0), Some(200));
        assert_eq!(wait(4, 1), Some(800));
        assert_eq!(wait(9, 10), Some(5000));
        assert_eq!(wait(60, 24), Some(5000));
        assert_eq!(wait(9, 26), None);
    }

    #[test]
    fn retry_after_is_honoured_when_there_is_time() {
        let asked = |seconds| {
            let failure = Failure::Answer {
                code: 429,
                retry_after: Some(Duration::from_secs(seconds)),
                etcd: false,
            };
            let progress = Progress {
                attempts: 1,
                stalls: 1,
                elapsed: Duration::ZERO,
                reached: true,
            };
            pause(
                &Policy::default(),
                Repeat::IfUnheard,
                failure,
                progress,
                0.0,
            )
        };
        assert_eq!(asked(3), Some(Duration::from_secs(3)));
        assert_eq!(asked(0), Some(Duration::from_millis(50)));
        assert_eq!(asked(31), None);
    }

    #[test]
    fn a_server_never_reached_is_given_up_soon() {
        let progress = Progress {
            attempts: 4,
            stalls: 0,
            elapsed: Duration::from_secs(1),
            reached: false,
        };
        assert_eq!(
            pause(
                &Policy::default(),
                Repeat::Harmless,
                Failure::Unsent,
                progress,
                0.5
            ),
            None
        );
        let progress = Progress {
            reached: true,
            ..progress
        };
        assert!(
            pause(
                &Policy::default(),
                Repeat::Harmless,
                Failure::Unsent,
                progress,
                0.5
            )
            .is_some()
        );
    }
}
