//! Roles and role groups from what `Get-ManagementRoleEntry` and `Get-RoleGroup` return as JSON, and as a policy file.
//!
//! Both an answer of the service (`{"value": […]}`) and what `ConvertTo-Json` writes (a list, or one object) are read. An object with `Roles`
//! is a role group, one with `Role` an entry of a role; every other is passed over and told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

use crate::model::{CmdletName, Workload};

/// Roles and role groups that were found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// By role's name with its workload, its tasks.
    pub roles: BTreeMap<String, BTreeSet<String>>,
    /// By role group's name with its workload, its roles.
    pub role_groups: BTreeMap<String, BTreeSet<String>>,
    /// What was passed over and why, each reason once, with how often.
    pub passed_over: BTreeMap<String, usize>,
}

/// Why a text is not what those cmdlets return.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// It is JSON of another form.
    #[error("there is neither a list of objects nor a `value` with one")]
    Form,
    /// It is no JSON.
    #[error("not JSON: {0}")]
    Json(String),
}

impl Imported {
    /// Adds what a text has for `workload`.
    pub fn add(&mut self, text: &str, workload: &Workload) -> Result<(), ImportError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let value: Value =
            serde_json::from_str(text).map_err(|error| ImportError::Json(error.to_string()))?;
        let objects = match value {
            Value::Array(objects) => objects,
            Value::Object(mut members) => match members.remove("value") {
                Some(Value::Array(objects)) => objects,
                Some(_) => return Err(ImportError::Form),
                None => vec![Value::Object(members)],
            },
            Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {
                return Err(ImportError::Form);
            }
        };
        for object in &objects {
            if let Err(why) = self.add_object(object, workload) {
                *self.passed_over.entry(why).or_default() += 1;
            }
        }
        Ok(())
    }

    fn add_object(&mut self, object: &Value, workload: &Workload) -> Result<(), String> {
        let Value::Object(members) = object else {
            return Err("something that is no object".to_owned());
        };
        if let Some(Value::Array(listed)) = members.get("Roles") {
            let name = members.get("Name").and_then(name_of);
            let name = name.ok_or("a role group without a name")?;
            let roles = entry(&mut self.role_groups, format!("{workload}\\{name}"));
            for role in listed.iter().filter_map(name_of) {
                add_new(roles, format!("{workload}\\{role}"));
            }
            return Ok(());
        }
        let role = members.get("Role").and_then(name_of);
        let role = role.ok_or("an object that is neither a role's entry nor a role group")?;
        let kind = members.get("Type").and_then(Value::as_str);
        if let Some(kind) = kind.filter(|it| !it.eq_ignore_ascii_case("cmdlet")) {
            return Err(format!("an entry of type `{}`", kind.escape_debug()));
        }
        let cmdlet = members
            .get("Name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let cmdlet: CmdletName = cmdlet
            .parse()
            .map_err(|_| "an entry whose name is no cmdlet's".to_owned())?;
        if cmdlet.is_gateway_cmdlet() {
            return Err("a cmdlet that the gateway answers itself".to_owned());
        }
        let tasks = entry(&mut self.roles, format!("{workload}\\{role}"));
        add_new(tasks, format!("{workload}\\{cmdlet}"));
        Ok(())
    }

    /// A policy file that defines them, sorted. A role without entries is left out of its groups, with a remark, since a group of
    /// undefined roles would not load.
    pub fn to_toml(&self) -> String {
        let mut file =
            String::from("# Roles and role groups, written by `portcullis roles import`.\n");
        // Writing to a `String` cannot fail.
        for (name, tasks) in &self.roles {
            let _ = writeln!(file, "\n[[role]]\nname = {}\ntasks = [", quoted(name));
            for task in tasks {
                let _ = writeln!(file, "    {},", quoted(task));
            }
            file.push_str("]\n");
        }
        for (name, roles) in &self.role_groups {
            let (known, unknown): (Vec<_>, Vec<_>) =
                roles.iter().partition(|it| self.has_entries(it));
            if known.is_empty() {
                let _ = writeln!(
                    file,
                    "\n# Role group {}: none of its roles has entries here.",
                    quoted(name)
                );
                continue;
            }
            let _ = writeln!(file, "\n[[role_group]]\nname = {}\nroles = [", quoted(name));
            for role in known {
                let _ = writeln!(file, "    {},", quoted(role));
            }
            for role in unknown {
                let _ = writeln!(file, "    # without entries here: {}", quoted(role));
            }
            file.push_str("]\n");
        }
        file
    }

    /// Roles of role groups that have no entries.
    pub fn roles_without_entries(&self) -> BTreeSet<&str> {
        let listed = self.role_groups.values().flatten();
        listed
            .filter(|it| !self.has_entries(it))
            .map(String::as_str)
            .collect()
    }

    fn has_entries(&self, role: &str) -> bool {
        self.roles.keys().any(|it| it.eq_ignore_ascii_case(role))
    }
}

/// What stands under `name` in any case.
fn entry(map: &mut BTreeMap<String, BTreeSet<String>>, name: String) -> &mut BTreeSet<String> {
    let known = map.keys().find(|it| it.eq_ignore_ascii_case(&name));
    let known = known.cloned().unwrap_or(name);
    map.entry(known).or_default()
}

/// Adds a name, unless it is there in some case.
fn add_new(names: &mut BTreeSet<String>, name: String) {
    if !names.iter().any(|it| it.eq_ignore_ascii_case(&name)) {
        names.insert(name);
    }
}

/// An object's name: a text, or the `Name` of an object; of a path such as `contoso.example/Roles/Mail Recipients`, the last part.
fn name_of(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.as_str(),
        Value::Object(members) => members.get("Name")?.as_str()?,
        Value::Array(_) | Value::Bool(_) | Value::Null | Value::Number(_) => return None,
    };
    let name = text.rsplit(['/', '\\']).next().unwrap_or(text).trim();
    let is_good = !name.is_empty() && name.len() <= 256 && !name.chars().any(char::is_control);
    is_good.then(|| name.to_owned())
}

/// A text as TOML writes it: in single quotes where it can, which leave backslashes alone.
fn quoted(text: &str) -> String {
    if text.contains('\'') {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        format!("'{text}'")
    }
}

#[cfg(test)]
mod tests {
    use crate::model::Interner;
    use crate::policy::{PolicyFile, PolicySet};

    use super::*;

    fn import(texts: &[&str]) -> Imported {
        let mut imported = Imported::default();
        for text in texts {
            imported.add(text, &"Exchange".parse().unwrap()).unwrap();
        }
        imported
    }

    #[test]
    fn both_forms_of_json_make_a_file_that_loads() {
        let entries = r#"{"@odata.context":"x","value":[
            {"Role":"Mail Recipients","Name":"Set-Mailbox","Type":"Cmdlet","Parameters":["Identity"]},
            {"Role":"MAIL Recipients","Name":"set-mailbox","Type":"Cmdlet"},
            {"Role":"Mail Recipients","Name":"Get-Mailbox"},
            {"Role":"Mail Recipients","Name":"sign.ps1","Type":"Script"},
            {"Role":"Role Management","Name":"New-ElevatedAccessRequest","Type":"Cmdlet"},
            {"Role":{"Name":"contoso.example/Roles/O'Brien's \"Role\""},"Name":"Get-User"},
            {"Identity":"x"}, 4]}"#;
        let groups = "\u{feff}[{\"Name\":\"Recipient Management\",\"Roles\":[\"Mail Recipients\",\"contoso\\\\Migration\"]},\
                      {\"Name\":\"Nobody\",\"Roles\":[]}]";
        let one = r#"{"Name":"Helpdesk","Roles":["O'Brien's \"Role\""]}"#;
        let imported = import(&[entries, groups, one]);
        insta::assert_snapshot!(imported.to_toml(), @r#"
        # Roles and role groups, written by `portcullis roles import`.

        [[role]]
        name = 'Exchange\Mail Recipients'
        tasks = [
            'Exchange\Get-Mailbox',
            'Exchange\Set-Mailbox',
        ]

        [[role]]
        name = "Exchange\\O'Brien's \"Role\""
        tasks = [
            'Exchange\Get-User',
        ]

        [[role_group]]
        name = 'Exchange\Helpdesk'
        roles = [
            "Exchange\\O'Brien's \"Role\"",
        ]

        # Role group 'Exchange\Nobody': none of its roles has entries here.

        [[role_group]]
        name = 'Exchange\Recipient Management'
        roles = [
            'Exchange\Mail Recipients',
            # without entries here: 'Exchange\Migration'
        ]
        "#);
        insta::assert_debug_snapshot!(imported.passed_over, @r#"
        {
            "a cmdlet that the gateway answers itself": 1,
            "an entry of type `Script`": 1,
            "an object that is neither a role's entry nor a role group": 1,
            "something that is no object": 1,
        }
        "#);
        assert_eq!(
            imported
                .roles_without_entries()
                .into_iter()
                .collect::<Vec<_>>(),
            [r"Exchange\Migration"]
        );
        let file = PolicyFile {
            path: "roles.toml".to_owned(),
            text: imported.to_toml(),
        };
        let set = PolicySet::load(&[file], &[], None, &Interner::default()).unwrap();
        assert_eq!((set.roles().len(), set.role_groups().len()), (2, 2));
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for text in ["", "{", "4", "null", r#""x""#, r#"{"value":4}"#] {
            let mut imported = Imported::default();
            assert!(
                imported.add(text, &"Exchange".parse().unwrap()).is_err(),
                "{text}"
            );
        }
    }
}
