//! The sample organisation: objects in memory, and what cmdlets do to them.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use uuid::Uuid;

use super::answer::{Failure, Output};
use super::catalogue::{Action, COMMON, Cmdlet, Kind};
use super::record::Record;
use super::seed;
use crate::model::{Number, Value};

/// How many objects of one kind are kept: it is a sample, and it lives in memory.
const MAX_OBJECTS: usize = 10_000;

/// Parameters with their usual spelling, in the order of the call.
pub(super) type Arguments = Vec<(&'static str, Value)>;

/// All objects, by kind.
#[derive(Debug)]
pub(super) struct Organisation {
    objects: BTreeMap<Kind, Vec<Record>>,
}

impl Organisation {
    /// The organisation as it is at the start.
    pub(super) fn sample() -> Self {
        Self {
            objects: seed::objects(),
        }
    }

    /// Runs a cmdlet at `now`.
    pub(super) fn run(
        &mut self,
        cmdlet: &Cmdlet,
        arguments: &Arguments,
        now: DateTime<Utc>,
    ) -> Result<Output, Failure> {
        let scope = self.scope(cmdlet, arguments)?;
        let output = match cmdlet.action {
            Action::Add => self
                .create(cmdlet, arguments, &scope, now)
                .map(|_| Output::default()),
            Action::Get => self.read(cmdlet, arguments, &scope),
            Action::New => self.create(cmdlet, arguments, &scope, now),
            Action::Remove => self.remove(cmdlet, arguments, &scope),
            Action::Set => self.change(cmdlet, arguments),
        }?;
        if cmdlet.action != Action::Get {
            self.note(cmdlet, arguments, now);
        }
        Ok(output)
    }

    /// The name of the object that the call's objects belong to, if they belong to one.
    fn scope(&self, cmdlet: &Cmdlet, arguments: &Arguments) -> Result<Scope, Failure> {
        let Some((kind, parameter)) = cmdlet.kind.parent() else {
            return Ok(Scope::Everything);
        };
        let Some(identity) = argument(arguments, parameter) else {
            return Ok(Scope::Everything);
        };
        let parent = self
            .of(kind)
            .iter()
            .find(|it| it.is_known_as(&identity))
            .ok_or_else(|| Failure::not_found(&identity))?;
        Ok(Scope::Of(parent.clone()))
    }

    fn read(
        &self,
        cmdlet: &Cmdlet,
        arguments: &Arguments,
        scope: &Scope,
    ) -> Result<Output, Failure> {
        let mut objects: Vec<Record> = match (cmdlet.kind, scope) {
            (Kind::MailboxStatistics, Scope::Of(mailbox)) => vec![seed::statistics(mailbox)],
            (Kind::Recipient, _) => self
                .of(Kind::Mailbox)
                .iter()
                .chain(self.of(Kind::DistributionGroup))
                .map(seed::recipient)
                .collect(),
            (kind, _) => self.of(kind).to_vec(),
        };
        if let Scope::Of(parent) = scope {
            objects.retain(|it| belongs(it, parent));
        } else if let Some(identity) = argument(arguments, "Identity") {
            objects.retain(|it| it.is_known_as(&identity));
            if objects.is_empty() {
                return Err(Failure::not_found(&identity));
            }
        }
        // Any other parameter that is also a property filters, as `RecipientTypeDetails` and `User` do.
        for (name, value) in arguments {
            let wanted = value.display();
            let is_filter = !COMMON.contains(name) && *name != "Identity" && *name != "Mailbox";
            objects.retain(|it| {
                !is_filter
                    || it
                        .text(name)
                        .is_none_or(|it| it.eq_ignore_ascii_case(&wanted))
            });
        }
        let mut output = Output::objects(objects);
        let limit = argument(arguments, "ResultSize").and_then(|it| it.parse::<usize>().ok());
        if let Some(limit) = limit.filter(|limit| *limit < output.objects.len()) {
            output.objects.truncate(limit);
            output.warnings.push(format!(
                "There are more results available than are currently displayed. To view them, increase the value for the ResultSize parameter ({limit})."
            ));
        }
        Ok(output)
    }

    fn create(
        &mut self,
        cmdlet: &Cmdlet,
        arguments: &Arguments,
        scope: &Scope,
        now: DateTime<Utc>,
    ) -> Result<Output, Failure> {
        let kind = cmdlet.kind;
        let mut record = seed::template(kind, arguments, Uuid::now_v7(), now);
        for (name, value) in arguments {
            // A password is not a property, nor is how a cmdlet runs.
            if !COMMON.contains(name) && !matches!(*name, "Password" | "RemoteCredential") {
                record.set(name, value.clone());
            }
        }
        if let Scope::Of(parent) = scope {
            let name = parent.text("Identity").unwrap_or_default();
            let owner = if kind == Kind::InboxRule {
                "MailboxOwnerId"
            } else {
                "Identity"
            };
            record.set(owner, Value::text(name));
        }
        let mut output = Output::default();
        if let Some(index) = self.position(kind, arguments, scope) {
            let name = kind.key().and_then(|key| argument(arguments, key));
            // Where a repetition does no harm it takes the old one's place, so that a tour or a test may be run again.
            if name.is_some() && kind.parent().is_none() && kind != Kind::RoleGroupMember {
                let what = format!("{kind:?}").to_lowercase();
                return Err(Failure::exists(&what, &name.unwrap_or_default()));
            }
            self.all(kind).remove(index);
            output.warnings.push(format!(
                "An appropriate {kind:?} is already present; it has been replaced."
            ));
        }
        let objects = self.all(kind);
        if objects.len() >= MAX_OBJECTS {
            return Err(Failure::bad_request(format!(
                "The sample endpoint keeps at most {MAX_OBJECTS} objects of a kind."
            )));
        }
        objects.push(record.clone());
        output.objects.push(record);
        Ok(output)
    }

    fn remove(
        &mut self,
        cmdlet: &Cmdlet,
        arguments: &Arguments,
        scope: &Scope,
    ) -> Result<Output, Failure> {
        let index = self
            .position(cmdlet.kind, arguments, scope)
            .ok_or_else(|| missing(cmdlet.kind, arguments))?;
        self.all(cmdlet.kind).remove(index);
        Ok(Output::default())
    }

    fn change(&mut self, cmdlet: &Cmdlet, arguments: &Arguments) -> Result<Output, Failure> {
        let identity = argument(arguments, "Identity");
        let objects = self.all(cmdlet.kind);
        let record = match &identity {
            Some(identity) => objects.iter_mut().find(|it| it.is_known_as(identity)),
            None => objects.first_mut(),
        };
        let record = record.ok_or_else(|| missing(cmdlet.kind, arguments))?;
        let mut changed = false;
        for (name, value) in arguments {
            changed |= match (*name, value) {
                ("Identity" | "Force", _) => false,
                (name, _) if COMMON.contains(&name) => false,
                ("Archive", _) => record.set("ArchiveStatus", Value::text("Active")),
                ("Type", Value::Text(text)) => record.set(
                    "RecipientTypeDetails",
                    Value::Text(format!("{text}Mailbox")),
                ),
                (name, Value::Table(edits)) => {
                    let list = edited(record.get(name), edits);
                    record.set(name, list)
                }
                (name, value) => record.set(name, value.clone()),
            };
        }
        if changed {
            return Ok(Output::default());
        }
        let name = record.text("Identity").unwrap_or_default();
        Ok(Output::warning(format!(
            "The command completed successfully but no settings of '{name}' have been modified."
        )))
    }

    /// Where the object is that the arguments of a New-, Add- or Remove- cmdlet name.
    fn position(&self, kind: Kind, arguments: &Arguments, scope: &Scope) -> Option<usize> {
        let key = kind.key();
        let named = key.and_then(|key| argument(arguments, key));
        let identity = argument(arguments, "Identity");
        self.of(kind).iter().position(|it| {
            let is_named = match (&named, key) {
                (Some(name), Some(key)) => {
                    it.text(key).is_some_and(|it| it.eq_ignore_ascii_case(name))
                }
                _ => true,
            };
            match (scope, &identity) {
                (Scope::Of(parent), _) => is_named && belongs(it, parent),
                (Scope::Everything, Some(identity)) => is_named && it.is_known_as(identity),
                (Scope::Everything, None) => is_named,
            }
        })
    }

    /// Writes a call into the organisation's own audit log, which Search-UnifiedAuditLog shows.
    fn note(&mut self, cmdlet: &Cmdlet, arguments: &Arguments, now: DateTime<Utc>) {
        let record = Record::default()
            .with(
                "CreationDate",
                now.to_rfc3339_opts(SecondsFormat::Secs, true),
            )
            .with("RecordType", "ExchangeAdmin")
            .with("Operations", cmdlet.name)
            .with("UserIds", "portcullis-service@contoso.example")
            .with(
                "ObjectIds",
                argument(arguments, "Identity").unwrap_or_default(),
            )
            .with("Identity", Uuid::now_v7().to_string());
        let log = self.all(Kind::AuditRecord);
        if log.len() >= MAX_OBJECTS {
            log.remove(0);
        }
        log.push(record);
    }

    fn of(&self, kind: Kind) -> &[Record] {
        self.objects.get(&kind).map_or(&[], Vec::as_slice)
    }

    fn all(&mut self, kind: Kind) -> &mut Vec<Record> {
        self.objects.entry(kind).or_default()
    }
}

/// Which objects a call is about.
#[derive(Debug)]
enum Scope {
    Everything,
    Of(Record),
}

/// An argument as a text; `None` if it is absent or null.
pub(super) fn argument(arguments: &Arguments, name: &str) -> Option<String> {
    let (_, value) = arguments
        .iter()
        .find(|(it, _)| it.eq_ignore_ascii_case(name))?;
    (*value != Value::Null).then(|| value.display())
}

/// Whether a switch is on, as PowerShell's clients send it: `true`, or the text of it.
pub(super) fn is_on(arguments: &Arguments, name: &str) -> bool {
    argument(arguments, name).is_some_and(|it| it.eq_ignore_ascii_case("true"))
}

fn belongs(record: &Record, parent: &Record) -> bool {
    let owner = record
        .text("MailboxOwnerId")
        .or_else(|| record.text("Identity"));
    owner.is_some_and(|owner| parent.is_known_as(owner))
}

fn missing(kind: Kind, arguments: &Arguments) -> Failure {
    let identity = argument(arguments, "Identity").unwrap_or_else(|| format!("{kind:?}"));
    Failure::not_found(&identity)
}

/// A list after the additions and removals of a `GenericHashTable`.
fn edited(old: Option<&Value>, edits: &[(String, Value)]) -> Value {
    let mut items = match old {
        Some(Value::List(items)) => items.clone(),
        _ => Vec::new(),
    };
    for (name, value) in edits {
        let values = match value {
            Value::List(values) => values.clone(),
            value => vec![value.clone()],
        };
        if name.eq_ignore_ascii_case("add") {
            items.extend(values);
        } else if name.eq_ignore_ascii_case("remove") {
            items.retain(|item| !values.contains(item));
        }
    }
    Value::List(items)
}

/// A whole number as a value.
pub(super) fn number(value: u32) -> Value {
    Number::new(&value.to_string()).map_or(Value::Null, Value::Number)
}
