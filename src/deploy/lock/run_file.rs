//! A local file that shows whether a run is alive.
//!
//! Each run holds an operating system lock on its own file for its whole life. The kernel releases
//! the lock when the process ends for any reason. If another process can lock the file of a run,
//! that run is dead. Nothing else proves this: not a missing file, another machine, another user,
//! or an error. In these cases the holder is in doubt, and its Lease must expire.
//!
//! The file name contains the machine's boot ID, because a home folder may be shared between
//! machines that do not see each other's locks.

use std::fs::{self, File, Metadata};
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Age at which files of dead runs are removed. Until then, the next run needs them to recognize a
/// dead holder at once.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// The file of this run. When dropped, the file stays without its lock.
pub struct RunFile {
    folder: PathBuf,
    machine: String,
    run: String,
    #[cfg_attr(not(test), expect(dead_code, reason = "only its lock matters"))]
    file: File,
}

/// Returns a unique name for a run.
pub fn random_run() -> String {
    format!(
        "{:016x}{:016x}",
        RandomState::new().hash_one(0),
        RandomState::new().hash_one(1)
    )
}

impl RunFile {
    /// Creates and locks the file of this run. Returns `None` if that is not possible.
    pub fn create() -> Option<RunFile> {
        let folders = [dirs::runtime_dir(), dirs::cache_dir()]
            .into_iter()
            .flatten();
        let machine = machine()?;
        folders
            .map(|folder| folder.join("kubectl-fabric").join("runs"))
            .find_map(|folder| RunFile::create_in(&folder, &machine))
    }

    fn create_in(folder: &Path, machine: &str) -> Option<RunFile> {
        create_private(folder)?;
        let run = random_run();
        let path = path(folder, machine, &run);
        let file = options().write(true).create_new(true).open(&path).ok()?;
        let metadata = file.metadata().ok()?;
        // Another run's cleanup may hold the file, or the file system may lack locks. Then no Lease
        // may name the file.
        if !is_private(folder, &metadata) || file.try_lock().is_err() {
            let _ = fs::remove_file(&path);
            return None;
        }
        let created = RunFile {
            folder: folder.to_owned(),
            machine: machine.to_owned(),
            run,
            file,
        };
        created.remove_old(&metadata);
        Some(created)
    }

    pub fn run(&self) -> &str {
        &self.run
    }

    /// Returns true if the process of this run has certainly ended.
    pub fn is_dead(&self, run: &str) -> bool {
        // The name comes from the cluster and becomes a part of a path.
        let is_name =
            run.len() == self.run.len() && run.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_name || run == self.run {
            return false;
        }
        // A shared lock, so that two observers do not take each other for the holder.
        let Ok(file) = options()
            .read(true)
            .open(path(&self.folder, &self.machine, run))
        else {
            return false;
        };
        file.try_lock_shared().is_ok()
    }

    /// Removes the file of a dead run whose lock was taken over.
    pub fn remove_dead(&self, run: &str) {
        if self.is_dead(run) {
            let _ = fs::remove_file(path(&self.folder, &self.machine, run));
        }
    }

    /// Removes the file of this run, which no Lease names.
    pub fn remove(self) {
        let _ = fs::remove_file(path(&self.folder, &self.machine, &self.run));
    }

    /// Compares ages with the new file, so that they come from the same clock.
    fn remove_old(&self, new: &Metadata) {
        let (Ok(now), Ok(entries)) = (new.modified(), fs::read_dir(&self.folder)) else {
            return;
        };
        for entry in entries.flatten() {
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            let is_old = modified
                .is_ok_and(|modified| now.duration_since(modified).is_ok_and(|age| age > KEPT));
            if is_old
                && let Ok(file) = options().read(true).open(entry.path())
                && file.try_lock_shared().is_ok()
            {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

fn path(folder: &Path, machine: &str, run: &str) -> PathBuf {
    folder.join(format!("{machine}.{run}"))
}

fn options() -> fs::OpenOptions {
    let mut options = File::options();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn create_private(folder: &Path) -> Option<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).ok()
}

/// Returns true if no other user can put a file into the folder. A file without a lock would make a
/// live run look dead. `ours` is the metadata of a file that this process created.
#[cfg(unix)]
fn is_private(folder: &Path, ours: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::symlink_metadata(folder).is_ok_and(|folder| {
        folder.is_dir() && folder.uid() == ours.uid() && folder.mode() & 0o077 == 0
    })
}

/// On Windows, a user's local application data is already private.
#[cfg(not(unix))]
fn is_private(_folder: &Path, _ours: &Metadata) -> bool {
    true
}

/// Returns an ID of this machine and its current boot, unique among all machines that may share the
/// files.
fn machine() -> Option<String> {
    let name = boot()?.trim().to_owned();
    let is_name = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    is_name.then_some(name)
}

#[cfg(target_os = "linux")]
#[allow(
    clippy::disallowed_methods,
    reason = "the kernel exposes its boot id in a file"
)]
fn boot() -> Option<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()
}

#[cfg(target_os = "macos")]
fn boot() -> Option<String> {
    let asked = std::process::Command::new("/usr/sbin/sysctl")
        .args(["-n", "kern.bootsessionuuid"])
        .output()
        .ok()?;
    asked
        .status
        .success()
        .then(|| String::from_utf8(asked.stdout).ok())?
}

/// Local application data is not shared, so the name of the machine is enough.
#[cfg(windows)]
#[allow(
    clippy::disallowed_methods,
    reason = "the name of the machine is in the environment"
)]
fn boot() -> Option<String> {
    std::env::var("COMPUTERNAME").ok()
}

#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
fn boot() -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(folder: &Path) -> RunFile {
        RunFile::create_in(&folder.join("runs"), "boot").expect("a file system with locks")
    }

    #[test]
    fn a_run_is_dead_when_its_file_is_there_and_not_locked() {
        let folder = tempfile::tempdir().unwrap();
        let (observer, holder) = (create(folder.path()), create(folder.path()));
        let run = holder.run().to_owned();
        assert!(!observer.is_dead(&run), "it holds its lock");
        drop(holder);
        assert!(observer.is_dead(&run));
        assert!(observer.is_dead(&run), "to look changes nothing");
        assert!(!observer.is_dead(observer.run()), "it is this run itself");
        observer.remove_dead(&run);
        assert!(!observer.is_dead(&run), "without a file nothing is known");
    }

    #[test]
    fn of_another_boot_another_folder_or_a_hostile_name_nothing_is_known() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let observer = create(folder.path());
        let elsewhere = create(other.path()).run().to_owned();
        assert!(!observer.is_dead(&elsewhere));
        let rebooted = RunFile::create_in(&folder.path().join("runs"), "later")
            .unwrap()
            .run()
            .to_owned();
        assert!(!observer.is_dead(&rebooted));
        fs::write(folder.path().join("victim"), "").unwrap();
        for name in [
            "",
            "../../victim",
            "boot",
            &"/".repeat(32),
            &"é".repeat(16),
            &"0".repeat(32),
        ] {
            assert!(!observer.is_dead(name), "{name:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_others_may_write_is_not_used() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let runs = folder.path().join("runs");
        fs::create_dir(&runs).unwrap();
        fs::set_permissions(&runs, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(RunFile::create_in(&runs, "boot").is_none());
        assert_eq!(
            fs::read_dir(&runs).unwrap().count(),
            0,
            "and nothing is left in it"
        );
    }

    #[test]
    fn old_files_of_dead_runs_are_removed_and_those_of_live_ones_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (live, dead, fresh) = (
            create(folder.path()),
            create(folder.path()),
            create(folder.path()),
        );
        let old =
            live.file.metadata().unwrap().modified().unwrap() - KEPT - Duration::from_secs(60);
        for file in [&live, &dead] {
            file.file.set_modified(old).unwrap();
        }
        let [dead, fresh] = [dead, fresh].map(|ended| ended.run().to_owned());
        let observer = create(folder.path());
        assert!(!observer.is_dead(&dead), "its file is removed");
        assert!(observer.is_dead(&fresh), "a lock may name it still");
        let run = live.run().to_owned();
        drop(live);
        assert!(observer.is_dead(&run), "its file is there still");
    }
}
