//! A small pool of threads that work on one job at a time.

use std::sync::mpsc;
use std::thread::{Builder, Scope, available_parallelism, scope};

/// A job, which several threads may run at once.
pub(super) type Job<'a> = &'a (dyn Fn() + Sync);

/// The calling thread and its helpers.
///
/// Helpers wait between jobs instead of ending. A waiting thread starts at once on a free
/// processor, while a new thread often shares its creator's processor at first.
pub(super) struct Threads<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    helpers: Vec<Helper<'env>>,
}

struct Helper<'env> {
    jobs: mpsc::Sender<Job<'env>>,
    done: mpsc::Receiver<()>,
}

impl<'env> Threads<'_, 'env> {
    /// Runs `work` with the threads. The first helper has a stack of this size if enough address
    /// space is available.
    pub(super) fn with(stack_size: usize, work: impl for<'s> FnOnce(Threads<'s, 'env>)) {
        scope(|scope| {
            let mut threads = Threads {
                scope,
                helpers: Vec::new(),
            };
            threads.add(Builder::new().stack_size(stack_size));
            work(threads);
        });
    }

    /// Starts another thread. If it cannot start, the others do its work.
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

    /// Runs a job on the first helper, and waits for it.
    pub(super) fn run_on_helper(&self, job: Job<'env>) {
        match self.helpers.first() {
            Some(helper) => {
                helper.start(job);
                helper.wait();
            }
            None => job(),
        }
    }

    /// Runs a job on several threads, at most one per processor and at most `most`.
    pub(super) fn run_on_all(&mut self, job: Job<'env>, most: usize) {
        let count = available_parallelism().map_or(1, usize::from).min(most);
        for _ in self.helpers.len() + 1..count {
            self.add(Builder::new());
        }
        let helpers = &self.helpers[..self.helpers.len().min(count.saturating_sub(1))];
        helpers.iter().for_each(|helper| helper.start(job));
        job();
        helpers.iter().for_each(Helper::wait);
    }
}

impl<'env> Helper<'env> {
    fn start(&self, job: Job<'env>) {
        // A helper that panicked takes no more jobs. The scope reports the panic when it ends.
        _ = self.jobs.send(job);
    }

    fn wait(&self) {
        _ = self.done.recv();
    }
}
