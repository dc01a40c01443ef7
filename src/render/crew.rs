//! A few threads that do one job after the other together.

use std::sync::mpsc;
use std::thread::{Builder, Scope, available_parallelism, scope};

/// What any thread may do, and several at once.
pub(super) type Job<'a> = &'a (dyn Fn() + Sync);

/// The thread that calls and its helpers. These wait between jobs rather than end: a thread that is
/// woken begins at once on a processor that is free, a new one often shares its maker's for a
/// while.
pub(super) struct Crew<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    helpers: Vec<Helper<'env>>,
}

struct Helper<'env> {
    jobs: mpsc::Sender<Job<'env>>,
    done: mpsc::Receiver<()>,
}

impl<'env> Crew<'_, 'env> {
    /// Leads a crew whose first helper has so large a stack, if so much address space is to be had.
    pub(super) fn lead(stack_size: usize, work: impl for<'s> FnOnce(Crew<'s, 'env>)) {
        scope(|scope| {
            let mut crew = Crew {
                scope,
                helpers: Vec::new(),
            };
            crew.add(Builder::new().stack_size(stack_size));
            work(crew);
        });
    }

    /// One thread more; fewer do the same work.
    fn add(&mut self, builder: Builder) {
        let (jobs, next) = mpsc::channel::<Job<'env>>();
        let (finished, done) = mpsc::channel();
        let work = move || {
            while let Ok(job) = next.recv() {
                job();
                if finished.send(()).is_err() {
                    return;
                }
            }
        };
        if builder.spawn_scoped(self.scope, work).is_ok() {
            self.helpers.push(Helper { jobs, done });
        }
    }

    /// Has the first helper do a job, and waits for it.
    pub(super) fn have_done(&self, job: Job<'env>) {
        match self.helpers.first() {
            Some(helper) => {
                helper.start(job);
                helper.wait();
            }
            None => job(),
        }
    }

    /// Does a job with as many threads as have a processor, and find something to do.
    pub(super) fn do_together(&mut self, job: Job<'env>, most: usize) {
        let threads = available_parallelism().map_or(1, usize::from).min(most);
        for _ in self.helpers.len() + 1..threads {
            self.add(Builder::new());
        }
        let helpers = &self.helpers[..self.helpers.len().min(threads.saturating_sub(1))];
        helpers.iter().for_each(|helper| helper.start(job));
        job();
        helpers.iter().for_each(Helper::wait);
    }
}

impl<'env> Helper<'env> {
    fn start(&self, job: Job<'env>) {
        // One that panicked takes no more jobs: its scope tells when it ends.
        _ = self.jobs.send(job);
    }

    fn wait(&self) {
        _ = self.done.recv();
    }
}
