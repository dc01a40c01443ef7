//! Configuration updates: computed from two configurations, applied to one, and authorized.
//!
//! An update contains the elements that it depends on, with their versions (read set), and those
//! that it changes, with the next versions (write set). [`compute`] creates the same update as
//! `configtxlator compute_update`. [`apply`] and [`needed`] do the same as an orderer.

mod written;

pub use written::{contents, repeats};

use super::config_tree::{Configuration, Group};
use super::message::configuration::{ConfigGroup, ConfigPolicy, ConfigUpdate, ConfigValue};
use super::policy::{Verdict, evaluate};
use super::sign::Creator;
use crate::error::{Error, Place, Result};
use std::collections::{BTreeMap, BTreeSet};

/// The update that leads from one configuration to another
/// (`internal/configtxlator/update/update.go`).
///
/// # Errors
///
/// Fails if both are equal.
pub fn compute(channel: &str, from: &Group, to: &Group) -> Result<ConfigUpdate> {
    let sets = compare(from, to);
    if !sets.is_changed {
        return Err(Error::user(format!(
            "the configuration of channel {channel} stays the same"
        ))
        .why("orderers reject an update without a change"));
    }
    Ok(ConfigUpdate {
        channel_id: channel.to_owned(),
        read_set: Some(sets.read.into()),
        write_set: Some(sets.write.into()),
        isolated_data: Vec::new(),
    })
}

struct Sets {
    read: Group,
    write: Group,
    is_changed: bool,
}

/// The changes of the members of one kind.
struct Members<T> {
    read: BTreeMap<String, T>,
    write: BTreeMap<String, T>,
    same: BTreeMap<String, T>,
    /// Whether a member was added or removed.
    is_changed: bool,
}

impl<T> Members<T> {
    /// `new` returns the element to write for an added member.
    fn compare(
        from: &BTreeMap<String, T>,
        to: &BTreeMap<String, T>,
        changed: impl Fn(&T, &T) -> Member<T>,
        new: impl Fn(&T) -> T,
    ) -> Members<T> {
        let mut members = Members {
            read: BTreeMap::new(),
            write: BTreeMap::new(),
            same: BTreeMap::new(),
            is_changed: from.keys().ne(to.keys()),
        };
        for (key, to) in to {
            match from.get(key).map(|from| changed(from, to)) {
                None => drop(members.write.insert(key.clone(), new(to))),
                Some(Err(same)) => drop(members.same.insert(key.clone(), same)),
                Some(Ok((read, write))) => {
                    members.read.extend(read.map(|read| (key.clone(), read)));
                    members.write.insert(key.clone(), write);
                }
            }
        }
        members
    }

    fn is_empty(&self) -> bool {
        self.read.is_empty() && self.write.is_empty()
    }

    /// Puts the unchanged members into both sets: the new list of members must be complete.
    fn keep_same(&mut self)
    where
        T: Clone,
    {
        self.read.extend(self.same.clone());
        self.write.append(&mut self.same);
    }
}

/// Returns the elements to read and write for a changed member, or `Err` with the element to read
/// for an unchanged one.
type Member<T> = Result<(Option<T>, T), T>;

fn compare(from: &Group, to: &Group) -> Sets {
    let mut policies = Members::compare(&from.policies, &to.policies, policy, |policy| {
        ConfigPolicy {
            version: 0,
            ..policy.clone()
        }
    });
    let mut values = Members::compare(&from.values, &to.values, value, |value| ConfigValue {
        version: 0,
        ..value.clone()
    });
    let mut groups = Members::compare(&from.groups, &to.groups, group, new_group);

    let is_changed = policies.is_changed
        || values.is_changed
        || groups.is_changed
        || from.mod_policy != to.mod_policy;
    let mut write = Group {
        version: from.version,
        ..Group::default()
    };
    let mut read = write.clone();
    if is_changed {
        policies.keep_same();
        values.keep_same();
        groups.keep_same();
        write.version = write.version.wrapping_add(1);
        write.mod_policy = to.mod_policy.clone();
    } else if policies.is_empty() && values.is_empty() && groups.is_empty() {
        return Sets {
            read,
            write,
            is_changed: false,
        };
    }
    (read.policies, write.policies) = (policies.read, policies.write);
    (read.values, write.values) = (values.read, values.write);
    (read.groups, write.groups) = (groups.read, groups.write);
    Sets {
        read,
        write,
        is_changed: true,
    }
}

fn policy(from: &ConfigPolicy, to: &ConfigPolicy) -> Member<ConfigPolicy> {
    if from.mod_policy == to.mod_policy && from.policy == to.policy {
        return Err(ConfigPolicy {
            version: from.version,
            ..ConfigPolicy::default()
        });
    }
    let version = from.version.wrapping_add(1);
    Ok((
        None,
        ConfigPolicy {
            version,
            ..to.clone()
        },
    ))
}

fn value(from: &ConfigValue, to: &ConfigValue) -> Member<ConfigValue> {
    if from.mod_policy == to.mod_policy && from.value == to.value {
        return Err(ConfigValue {
            version: from.version,
            ..ConfigValue::default()
        });
    }
    let version = from.version.wrapping_add(1);
    Ok((
        None,
        ConfigValue {
            version,
            ..to.clone()
        },
    ))
}

fn group(from: &Group, to: &Group) -> Member<Group> {
    let sets = compare(from, to);
    if sets.is_changed {
        Ok((Some(sets.read), sets.write))
    } else {
        Err(sets.read)
    }
}

/// An added group is written completely, from version 0.
fn new_group(group: &Group) -> Group {
    let written = compare(&Group::default(), group).write;
    Group {
        version: 0,
        mod_policy: group.mod_policy.clone(),
        ..written
    }
}

/// The configuration after the update (`common/configtx/update.go`).
///
/// # Errors
///
/// Fails if the update is for another configuration: it has changed since, or already contains the
/// update. Each conflicting element is a place of the error.
pub fn apply(current: &Configuration, update: &ConfigUpdate) -> Result<Configuration> {
    let (read, write) = sets(update);
    let mut conflicts = Vec::new();
    check_read(&current.channel, &read, "/Channel", &mut conflicts);
    check_write(
        Some(&current.channel),
        Some(&read),
        &write,
        "/Channel",
        &mut conflicts,
    );
    if !conflicts.is_empty() {
        let channel = &update.channel_id;
        let what = format!("the update does not match the configuration of channel {channel}");
        return Err(Error::user(what)
            .at_all(conflicts)
            .why("the configuration has changed since, or already contains this update")
            .hint("create the update again from the current configuration"));
    }
    Ok(Configuration {
        sequence: current.sequence.wrapping_add(1),
        channel: overlay(Some(&current.channel), Some(&read), &write),
    })
}

/// Read set and write set.
fn sets(update: &ConfigUpdate) -> (Group, Group) {
    let [read, write] = [&update.read_set, &update.write_set];
    let set = |of: &Option<ConfigGroup>| of.clone().unwrap_or_default().into();
    (set(read), set(write))
}

/// Returns true if an element of the write set is changed: its version differs from the one that
/// was read.
fn is_changed(read: Option<u64>, write: u64) -> bool {
    read != Some(write)
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Value,
    Policy,
}

/// Version and policy of each value and policy in a group.
type Leaves<'a> = BTreeMap<(Kind, &'a str), (u64, &'a str)>;

fn leaves(group: Option<&Group>) -> Leaves<'_> {
    let mut leaves = Leaves::new();
    if let Some(group) = group {
        for (key, it) in &group.values {
            leaves.insert((Kind::Value, key), (it.version, &it.mod_policy));
        }
        for (key, it) in &group.policies {
            leaves.insert((Kind::Policy, key), (it.version, &it.mod_policy));
        }
    }
    leaves
}

/// The elements that the update depends on must have the versions that it read.
fn check_read(current: &Group, read: &Group, path: &str, conflicts: &mut Vec<Place>) {
    let mut expect = |path: String, found: Option<u64>, version: u64| match found {
        Some(found) if found == version => {}
        Some(found) => conflicts.push(Place::new(path).note(format!(
            "the update was made for version {version}, and it is at version {found}"
        ))),
        None => conflicts.push(Place::new(path).note(GONE)),
    };
    expect(path.to_owned(), Some(current.version), read.version);
    let present = leaves(Some(current));
    for (leaf, (version, _)) in leaves(Some(read)) {
        let found = present.get(&leaf).map(|(version, _)| *version);
        expect(format!("{path}/{}", leaf.1), found, version);
    }
    for (key, group) in &read.groups {
        let path = format!("{path}/{key}");
        match current.groups.get(key) {
            Some(current) => check_read(current, group, &path, conflicts),
            None => conflicts.push(Place::new(path).note(GONE)),
        }
    }
}

const LOST: &str = "the update adds it without changing its group";
const GONE: &str = "it no longer exists";

/// A changed element must get its next version. A new one must be in a group that changes, because
/// the members of the others stay.
fn check_write(
    current: Option<&Group>,
    read: Option<&Group>,
    write: &Group,
    path: &str,
    conflicts: &mut Vec<Place>,
) {
    let read_version = read.map(|it| it.version);
    let stays = current.is_some() && !is_changed(read_version, write.version);
    let mut expect = |path: String, current: Option<u64>, read: Option<u64>, written: u64| {
        let next = current.map_or(0, |version| version.wrapping_add(1));
        if is_changed(read, written) && written != next {
            conflicts.push(Place::new(path).note(format!(
                "the update sets version {written}, but the next one is {next}"
            )));
        } else if stays && current.is_none() {
            conflicts.push(Place::new(path).note(LOST));
        }
    };
    let current_version = current.map(|it| it.version);
    if !stays {
        expect(
            path.to_owned(),
            current_version,
            read_version,
            write.version,
        );
    }
    let (present, known) = (leaves(current), leaves(read));
    for (leaf, (version, _)) in leaves(Some(write)) {
        let of = |leaves: &Leaves<'_>| leaves.get(&leaf).map(|(version, _)| *version);
        expect(
            format!("{path}/{}", leaf.1),
            of(&present),
            of(&known),
            version,
        );
    }
    for (key, group) in &write.groups {
        let path = format!("{path}/{key}");
        let present = current.and_then(|it| it.groups.get(key));
        let known = read.and_then(|it| it.groups.get(key));
        if stays && present.is_none() {
            conflicts.push(Place::new(path).note(LOST));
        } else {
            check_write(present, known, group, &path, conflicts);
        }
    }
}

/// Merges the changed elements over the current ones. A changed group has exactly the members that
/// the update lists.
fn overlay(current: Option<&Group>, read: Option<&Group>, write: &Group) -> Group {
    let is_new = is_changed(read.map(|it| it.version), write.version);
    let mut group = match current {
        Some(current) if !is_new => current.clone(),
        _ => Group {
            version: write.version,
            mod_policy: write.mod_policy.clone(),
            ..Group::default()
        },
    };
    for (key, value) in &write.values {
        let read = read.and_then(|it| it.values.get(key)).map(|it| it.version);
        let present = current.and_then(|it| it.values.get(key));
        let kept = present.filter(|_| !is_changed(read, value.version));
        group
            .values
            .insert(key.clone(), kept.unwrap_or(value).clone());
    }
    for (key, policy) in &write.policies {
        let read = read
            .and_then(|it| it.policies.get(key))
            .map(|it| it.version);
        let present = current.and_then(|it| it.policies.get(key));
        let kept = present.filter(|_| !is_changed(read, policy.version));
        group
            .policies
            .insert(key.clone(), kept.unwrap_or(policy).clone());
    }
    for (key, below) in &write.groups {
        let read = read.and_then(|it| it.groups.get(key));
        let present = current.and_then(|it| it.groups.get(key));
        group
            .groups
            .insert(key.clone(), overlay(present, read, below));
    }
    group
}

/// Returns the policies that the update must satisfy, each evaluated with the signatures so far.
/// Added elements need no signature of their own.
pub fn needed(current: &Group, update: &ConfigUpdate, signers: &[Creator]) -> Result<Vec<Verdict>> {
    let (read, write) = sets(update);
    let mut paths = BTreeSet::new();
    collect(current, Some(&read), &write, "/Channel", &mut paths);
    let verdicts = paths.iter().map(|path| evaluate(current, path, signers));
    verdicts.collect()
}

/// The policies that guard the changed elements (`policyForItem`). A relative policy belongs to the
/// group of the element, or to the group itself.
fn collect(
    current: &Group,
    read: Option<&Group>,
    write: &Group,
    path: &str,
    paths: &mut BTreeSet<String>,
) {
    let mut guard = |mod_policy: &str| {
        paths.insert(match mod_policy.starts_with('/') {
            true => mod_policy.to_owned(),
            false => format!("{path}/{mod_policy}"),
        });
    };
    if is_changed(read.map(|it| it.version), write.version) {
        guard(&current.mod_policy);
    }
    let (present, known) = (leaves(Some(current)), leaves(read));
    for (leaf, (version, _)) in leaves(Some(write)) {
        let known = known.get(&leaf).map(|(version, _)| *version);
        match present.get(&leaf) {
            Some((_, mod_policy)) if is_changed(known, version) => guard(mod_policy),
            _ => {}
        }
    }
    for (key, below) in &write.groups {
        if let Some(current) = current.groups.get(key) {
            let read = read.and_then(|it| it.groups.get(key));
            collect(current, read, below, &format!("{path}/{key}"), paths);
        }
    }
}

#[cfg(test)]
mod tests;
