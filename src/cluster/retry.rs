//! Whether and when a failed request is sent again. No I/O: the transport says what happened and
//! how long it has tried.

use std::time::Duration;

/// The limits of trying. The defaults are what a person at a terminal bears: short hiccups pass
/// unseen, a dead server is told soon.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// Before the second attempt; doubled before each further one.
    pub first: Duration,
    /// No pause is longer, but for what `Retry-After` says.
    pub longest: Duration,
    /// No attempt starts later than this after the first.
    pub total: Duration,
    /// The same while the server has never answered: a wrong address should not take long to tell.
    pub total_unreached: Duration,
    /// An attempt without a complete answer after this time has stalled.
    pub attempt: Duration,
    /// The same for a server that has never answered.
    pub first_attempt: Duration,
    /// A server that was away is taken for recovering so long after.
    pub recovery: Duration,
    /// A stalled request is sent again so many times.
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

/// What sending a request twice would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// The same as sending it once.
    Harmless,
    /// Something else if the first one was heard, as a deletion by name alone. Such a request is
    /// sent again only when it was surely not.
    IfUnheard,
}

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The server answered so.
    Answer {
        code: u16,
        retry_after: Option<Duration>,
        etcd: bool,
    },
    /// No connection was made.
    Unsent,
    /// The connection broke after the request was sent, or within the answer.
    Lost,
    /// No complete answer within the limit of an attempt.
    Stalled,
    /// The server refused, and was away just before.
    Recovering,
    /// Trying again cannot help.
    Lasting,
}

/// What the transport has seen of this request and this server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// Attempts made of this request, at least 1.
    pub attempts: u32,
    /// How many of them stalled.
    pub stalls: u32,
    pub elapsed: Duration,
    /// Whether the server has ever answered in this run.
    pub reached: bool,
}

/// The pause before the next attempt, `None` to give up. `chance` in 0..1 spreads the clients that
/// failed together.
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
        // With Retry-After it is the API server that was too busy to begin; without, it may be a
        // load balancer that lost the server in the middle of the request.
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
        // One that has never answered is told at once.
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

/// Whether a 500's message is etcd's word that it did not do a write, or does not know whether it
/// did, while its leader changes. The messages are etcd's (`server/etcdserver/errors`); the API
/// server passes them on without a reason of their own.
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

/// The pause that a `Retry-After` header asks for. The API server sends seconds; the other form, a
/// date, is left unread.
pub(super) fn retry_after(header: Option<&http::HeaderValue>) -> Option<Duration> {
    header?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
        .map(Duration::from_secs)
}

/// A number in 0..1, good enough to spread pauses.
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
