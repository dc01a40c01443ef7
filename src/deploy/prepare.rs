//! Prepares an operation: resolves, renders, guards, observes, plans and checks. Everything is
//! decided here. The only write is the creation of a missing namespace, after all checks that do
//! not need it.

use super::intent::{DryRun, Intent, Operation, Options};
use super::namespace::{self, Namespace, ensure_namespace};
use super::observe::{self, Unserved};
use super::past::Past;
use super::pod_security::Wish;
use super::resolve::{self, Target};
use super::revision::{Draft, Packing, item};
use super::volumes::{self, Claims};
use super::{
    Context, check, guard, kept, named, neighbour, pod_trial, recreate, rights, turns, uninstall,
};
use crate::error::{Error, Result};
use crate::fabric::guard::Facts;
use crate::manifest::{Hook, ObjectKey};
use crate::plan::confine::{self, Reach};
use crate::plan::mask::Masker;
use crate::plan::ownership::Owner;
use crate::plan::{self, Additions, Inputs, Live, Look, Plan};
use crate::release::{Entry, InventoryItem, NETWORK_LABEL, Status, Summary};
use serde_json::Value;
use std::collections::BTreeSet;

/// The plan and its inputs, before any change.
pub(super) struct Prepared {
    pub past: Past,
    pub target: Target,
    pub plan: Plan,
    pub namespace: Namespace,
    pub owner: Owner,
    /// Masks the release's secrets in messages.
    pub masker: Masker,
    pub warnings: Vec<String>,
    /// Existing volume claims that this release adopts.
    pub taken_up: Vec<Value>,
    /// `None` if the operation records nothing new.
    pub draft: Option<Draft>,
}

impl Prepared {
    /// Returns true if objects, values, identities and labels stay as they are. `summary` is that of
    /// the revision that the operation would record.
    pub fn changes_nothing(&self, summary: &Summary) -> bool {
        let identities = &self.target.identities;
        let newest = self.past.entries.last().and_then(Entry::summary);
        self.plan.is_empty()
            && self.target.changed_values.is_empty()
            && identities.create.is_empty()
            && identities.renew.is_empty()
            && newest.is_none_or(|newest| newest.labels == summary.labels)
    }

    /// Returns true if the newest revision is deployed and another one would not differ from it.
    pub fn is_reached(&self) -> bool {
        let draft = self.draft.as_ref();
        self.past.newest_status() == Some(Status::Deployed)
            && draft.is_some_and(|draft| self.changes_nothing(&draft.record.summary))
    }
}

/// The user's request, and changes from before the operation's first write.
pub(super) struct Attempt<'a> {
    pub context: &'a Context<'a>,
    pub intent: &'a Intent,
    pub options: &'a Options,
    /// Whether the namespace was created, because checks inside it need it.
    pub namespace_created: bool,
}

impl<'a> Attempt<'a> {
    pub fn new(context: &'a Context<'a>, intent: &'a Intent, options: &'a Options) -> Attempt<'a> {
        Attempt {
            context,
            intent,
            options,
            namespace_created: false,
        }
    }

    /// Adds the state to the error of a failure before the operation's first write.
    pub fn untouched(&self, error: Error) -> Error {
        match self.namespace_created {
            true => error.replace_now(format!(
                "nothing was changed except that the empty namespace \"{}\" was created",
                self.context.namespace
            )),
            false => error.now("nothing was changed"),
        }
    }

    /// Makes the plan and checks it.
    pub async fn prepare(&mut self) -> Result<Prepared> {
        let context = self.context;
        let past = Past::read(context, self.options.dry_run == DryRun::No).await?;
        self.check_network(&past)?;
        let target = resolve::resolve(context, self.intent, &past).await?;
        let masker = target.masker(&past);
        let is_organization = Facts::read(&target.guard).model.is_some();
        let history = past.entries.clone();
        let compared = self.compare(past, target, masker.clone()).await;
        let compared = if is_organization {
            neighbour::explain(context, &history, compared).await
        } else {
            compared
        };
        compared.map_err(|error| error.masked(|text| masker.text(text)))
    }

    /// Refuses a release of another network, and the uninstall of a release that belongs to none.
    fn check_network(&self, past: &Past) -> Result<()> {
        let Some(network) = &self.options.network else {
            return Ok(());
        };
        let newest = past.entries.iter().rev().find_map(Entry::summary);
        let Some(newest) = newest.filter(|newest| newest.status != Status::Uninstalled) else {
            return Ok(());
        };
        let release = &self.context.release;
        let refuse = |why: String| {
            Error::refused(format!(
                "release \"{release}\" is not part of network \"{network}\""
            ))
            .why(why)
        };
        let is_uninstall = matches!(self.intent, Intent::Uninstall { .. });
        match newest.labels.get(NETWORK_LABEL) {
            Some(other) if other != network => {
                Err(refuse(format!("it belongs to network \"{other}\""))
                    .hint(format!(
                        "if the network file describes that network, write `name: {other}` in it"
                    ))
                    .hint(
                        "`--network NAME` makes a copy beside it, in namespaces with that suffix",
                    ))
            }
            None if is_uninstall => Err(refuse("no network file has brought it up".to_owned())
                .hint(format!(
                    "to uninstall it alone: `{}`",
                    self.context.command("uninstall")
                ))),
            _ => Ok(()),
        }
    }

    /// Guards, observes, plans and checks.
    async fn compare(
        &mut self,
        past: Past,
        mut target: Target,
        masker: Masker,
    ) -> Result<Prepared> {
        let (context, options) = (self.context, self.options);
        let owner = context.owner();
        let mut claims = Claims::default();
        volumes::keep_sizes(context, &past, &mut target, &mut claims).await?;
        let judged = guard::guard(context, &past, &mut target, options, &mut claims).await?;
        let mut warnings = std::mem::take(&mut target.warnings);
        warnings.extend(judged);
        warnings.extend(named::absent(context, &past, &target, &options.expected).await);
        let scope = Scope::new(self, &past, &target, &owner);
        scope.refuse_unserved_hooks()?;
        let packing = scope.pack()?;
        let mut plan = scope.plan(&mut warnings).await?;
        let created = &mut self.namespace_created;
        let namespace = scope.namespace(&mut plan, created, &mut warnings).await?;
        if *created {
            claims = Claims::none();
        }
        let tried = scope.try_out(&mut plan, &namespace, &mut claims, &mut warnings);
        let taken_up = tried.await?;
        scope.confine(&mut plan, &mut warnings)?;
        let draft = match packing {
            Some(packing) => Some(packing.end(&plan, &owner).await?),
            None => None,
        };
        warnings.iter_mut().for_each(|warning| {
            *warning = masker
                .text(warning)
                .unwrap_or_else(|| std::mem::take(warning))
        });
        Ok(Prepared {
            past,
            target,
            plan,
            namespace,
            owner,
            masker,
            warnings,
            taken_up,
            draft,
        })
    }
}

/// The objects and the limits of an operation.
struct Scope<'a> {
    context: &'a Context<'a>,
    intent: &'a Intent,
    options: &'a Options,
    past: &'a Past,
    target: &'a Target,
    owner: &'a Owner,
    /// The objects that the records list.
    inventory: Vec<InventoryItem>,
    /// The hooks that run.
    hooks: Vec<&'a Hook>,
}

impl<'a> Scope<'a> {
    fn new(
        attempt: &Attempt<'a>,
        past: &'a Past,
        target: &'a Target,
        owner: &'a Owner,
    ) -> Scope<'a> {
        let &Attempt {
            context,
            intent,
            options,
            ..
        } = attempt;
        let hooks = target.manifest.hooks.iter();
        Scope {
            context,
            intent,
            options,
            past,
            target,
            owner,
            inventory: past
                .records()
                .flat_map(|record| record.inventory.iter().cloned())
                .collect(),
            hooks: hooks
                .filter(|hook| !options.no_hooks && target.operation.runs(hook))
                .collect(),
        }
    }

    fn is_uninstall(&self) -> bool {
        self.target.operation == Operation::Uninstall
    }

    fn reach<'s>(&'s self, plan: &'s Plan) -> Reach<'s> {
        Reach {
            owner: self.owner,
            provenance: &self.target.provenance,
            plan,
            hooks: &self.hooks,
            inventory: &self.inventory,
            allowed: &self.options.allow_outside,
        }
    }

    fn refuse_unserved_hooks(&self) -> Result<()> {
        let hooks = self.hooks.iter().copied();
        match self.options.tell_refusals {
            true => Ok(()),
            false => observe::refuse_unserved_hooks(self.context, &self.target.manifest, hooks),
        }
    }

    /// Starts to pack the record, if the operation writes one.
    fn pack(&self) -> Result<Option<Packing>> {
        if self.is_uninstall() || self.options.dry_run != DryRun::No {
            return Ok(None);
        }
        Packing::begin(self.context, self.past, self.target).map(Some)
    }

    /// Compares the live objects with the desired and recorded ones.
    async fn plan(&self, warnings: &mut Vec<String>) -> Result<Plan> {
        let &Scope {
            options, target, ..
        } = self;
        let nothing = Plan::default();
        let confined: Vec<ObjectKey> = confine::beyond(&self.reach(&nothing))
            .into_iter()
            .map(|(key, _)| key)
            .collect();
        let live = self.observe(warnings).await?;
        if let Some(unlisted) = &target.unlisted_identities {
            return Err(unlisted.clone());
        }
        warnings.extend(target.identities.warnings.iter().cloned());
        let events = target.operation.events();
        let plan = plan::make(Inputs {
            wanted: target.manifest.objects.clone(),
            live,
            inventory: &self.inventory,
            // An uninstall deletes the hooks that it does not run itself.
            hooks: if self.is_uninstall() {
                self.hooks.clone()
            } else {
                target.manifest.hooks.iter().collect()
            },
            events: if options.no_hooks { &[] } else { &events },
            confined: &confined,
            owner: self.owner,
            take_ownership: options.take_ownership,
        })?;
        turns::check(&plan, options)?;
        recreate::check_arguments(&plan, &self.inventory, options)?;
        Ok(plan)
    }

    async fn observe(&self, warnings: &mut Vec<String>) -> Result<Live> {
        let &Scope {
            options, target, ..
        } = self;
        // A hook that stays and does not run now is not touched, so its live object is of no
        // interest. Listing its kind would need a permission, and for tests that is to list pods.
        let idle: BTreeSet<&ObjectKey> = match self.is_uninstall() {
            true => BTreeSet::new(),
            false => {
                let hooks = target.manifest.hooks.iter();
                hooks.map(|hook| &hook.object.key).collect()
            }
        };
        let run: Vec<_> = self
            .hooks
            .iter()
            .map(|hook| item(&hook.object.key, hook.object.api_version(), None))
            .collect();
        let recorded = self
            .inventory
            .iter()
            .filter(|item| !idle.contains(&item.key));
        let unserved = if options.tell_refusals {
            Unserved::Missing
        } else {
            Unserved::Refused
        };
        let look = Look {
            shown: options.dry_run != DryRun::No,
            additions: if options.force_conflicts {
                Additions::Go
            } else {
                Additions::Stay
            },
        };
        let (objects, sought) = (&target.manifest.objects, recorded.chain(&run));
        let observed = observe::observe(self.context, objects, sought, look, unserved);
        let (live, new_warnings) = observed.await?;
        warnings.extend(new_warnings);
        Ok(live)
    }

    /// Finds or creates the namespace. An uninstall plans its removal, and that of data.
    async fn namespace(
        &self,
        plan: &mut Plan,
        created: &mut bool,
        warnings: &mut Vec<String>,
    ) -> Result<Namespace> {
        let &Scope {
            context,
            intent,
            past,
            target,
            ..
        } = self;
        let Intent::Uninstall {
            keep_history,
            delete_data,
            delete_namespace,
        } = intent
        else {
            let wish = Wish {
                intent,
                past,
                target,
            };
            return ensure_namespace(context, self.options, wish, warnings, created).await;
        };
        uninstall::plan_data(context, past, self.owner, *delete_data, plan).await?;
        let mut namespace = Namespace {
            is_there: true,
            ..Namespace::default()
        };
        if *delete_namespace {
            let removal = namespace::plan_removal(context, plan, *keep_history).await?;
            let stays = removal.stays.iter();
            warnings.extend(stays.map(|why| namespace::stays(context, why)));
            namespace.removal = Some(removal);
        }
        Ok(namespace)
    }

    /// Checks the plan with server-side dry runs, and the user's rights. Returns the volume claims
    /// to adopt.
    async fn try_out(
        &self,
        plan: &mut Plan,
        namespace: &Namespace,
        claims: &mut Claims,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<Value>> {
        let &Scope {
            context,
            options,
            target,
            ..
        } = self;
        if !namespace.is_there {
            warnings.push(format!(
                "namespace \"{}\" does not exist yet, so the server could not check the objects in it",
                context.namespace
            ));
            return Ok(Vec::new());
        }
        if options.dry_run == DryRun::Client {
            return Ok(Vec::new());
        }
        let is_preview = options.dry_run != DryRun::No;
        let needs = match is_preview {
            true => BTreeSet::new(),
            false => rights::needs(context, plan, options, namespace.removal.is_some()),
        };
        let operation = target.operation;
        let sets = &target.manifest.sets;
        let checked = check::check(context, self.past, sets, plan, options, claims);
        let (allowed, accepted) = futures::join!(rights::check(context, operation, needs), checked);
        // Missing permissions are reported instead of the errors that they cause.
        allowed.and(accepted)?;
        if !is_preview {
            rights::check(context, operation, rights::needs_of_volumes(plan, options)).await?;
        }
        let take_ownership = options.take_ownership;
        let taken_up = kept::taken_up(context, self.owner, sets, plan, take_ownership, claims);
        let taken_up = taken_up.await?;
        if let Some(doubt) = namespace.doubt {
            let needs = pod_trial::at_stake(&target.manifest, plan, doubt);
            pod_trial::try_pod(context, options, doubt, &needs, warnings).await?;
        }
        Ok(taken_up)
    }

    /// Refuses changes outside of the release's namespace that only data from the cluster requests.
    fn confine(&self, plan: &mut Plan, warnings: &mut Vec<String>) -> Result<()> {
        let reach = self.reach(plan);
        let refusals = [
            confine::refusal(&reach, self.target.operation.word()),
            confine::unreadable_hooks(&reach),
        ];
        for refusal in refusals.into_iter().flatten() {
            match self.options.dry_run {
                DryRun::No => return Err(refusal),
                _ => warnings.push(format!("without --dry-run, this is refused: {refusal}")),
            }
        }
        confine::point_out(plan, self.owner, &self.target.provenance);
        Ok(())
    }
}
