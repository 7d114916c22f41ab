//! The reference: that `docs/configuration.md` says of every key what [`raw`] says.

use std::collections::BTreeMap;

use crate::config::reader::{Key, Nested, Presence, Read as _, section_name};
use crate::config::{CONFIG_FILE, LOG, LOG_FORMAT, PREFIX, environment, raw};

/// Every key, as `proxy.limits.streams`, with the row that `docs/configuration.md` has for it.
pub(crate) fn reference() -> BTreeMap<String, String> {
    let mut rows = BTreeMap::new();
    add_rows("", raw::RawConfig::nested(), &mut rows);
    rows
}

fn add_rows(path: &str, nested: Nested, rows: &mut BTreeMap<String, String>) {
    let (keys, is_list): (&[Key], bool) = match nested {
        Nested::Leaf => return,
        Nested::One(keys) => (keys, false),
        Nested::Many(keys) => (keys, true),
    };
    let path = if is_list {
        format!("{path}[0]")
    } else {
        path.to_owned()
    };
    for key in keys {
        let below = if path.is_empty() {
            key.name.to_owned()
        } else {
            format!("{path}.{}", key.name)
        };
        add_rows(&below, (key.section)(), rows);
        let is_section = matches!(key.presence, Presence::Section)
            || (matches!(key.presence, Presence::Optional(_))
                && matches!((key.section)(), Nested::One(_)));
        if path.is_empty() || is_section {
            continue;
        }
        let default = match key.presence {
            Presence::Default(text) => format!("`{text}`"),
            Presence::Optional(meaning) => meaning.to_owned(),
            Presence::Required => "required".to_owned(),
            Presence::Section => continue,
        };
        let variable = environment::variable_for(&below).replace("__0__", "__*n*__");
        let row = format!(
            "| `{}` | {default} | {} | {} |",
            key.name,
            variable_cell(&variable),
            key.doc.trim()
        );
        rows.insert(below.replace("[0]", ""), row);
    }
}

fn variable_cell(variable: &str) -> String {
    format!("`{}`", variable.replace("*n*", "N"))
}

/// The reference, a table a section.
fn rendered() -> String {
    let mut sections: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, row) in reference() {
        let section = path.rsplit_once('.').map_or("", |it| it.0).to_owned();
        sections.entry(section).or_default().push(row);
    }
    let mut text = String::new();
    for (section, rows) in sections {
        let head = format!(
            "### `{}`\n\n| key | default | variable | meaning |\n|---|---|---|---|\n",
            heading(&section)
        );
        text.push_str(&head);
        for row in rows {
            text.push_str(&row);
            text.push('\n');
        }
        text.push('\n');
    }
    text
}

fn heading(section: &str) -> String {
    match section {
        "endpoint" | "identity" | "webhook" => format!("[[{section}]]"),
        "endpoint.remoting" => "[[endpoint]] remoting".to_owned(),
        "endpoint.upstream_auth" => "[[endpoint]] upstream_auth".to_owned(),
        "control.tls" => "[control] tls".to_owned(),
        "proxy.tls" => "[proxy] tls".to_owned(),
        other => section_name(other),
    }
}

#[test]
fn the_reference_in_the_documentation_has_every_key_as_it_is() {
    let page = include_str!("../../../docs/configuration.md");
    let (begin, end) = ("<!-- reference: begin -->\n", "<!-- reference: end -->");
    let written = page.split_once(begin).unwrap().1.split_once(end).unwrap().0;
    let rendered = rendered();
    assert!(
        written.trim() == rendered.trim(),
        "between the two marks, docs/configuration.md should have:\n\n{rendered}"
    );
}

#[test]
fn every_environment_variable_is_documented() {
    let page = include_str!("../../../docs/configuration.md");
    for name in [CONFIG_FILE, LOG, LOG_FORMAT, PREFIX] {
        assert!(page.contains(name), "{name}");
    }
}
