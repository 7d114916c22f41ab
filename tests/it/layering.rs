//! The layer table of ARCHITECTURE.md, enforced.

use std::path::{Path, PathBuf};

const PURE: &[&str] = &["model", "policy", "dialect"];

/// A module, and the modules of this crate that it may use.
const MAY_USE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("policy", &["model"]),
    ("dialect", &["model", "policy"]),
    ("config", &["model", "policy", "dialect"]),
    ("telemetry", &["model", "policy", "dialect", "config"]),
    ("tls", &["config"]),
    ("listen", &["config"]),
    ("upstream", &["config"]),
    ("identity", &["model", "config"]),
    ("store", &["model", "config"]),
    ("audit", &["model", "policy", "config"]),
    ("notify", &["model", "config", "tls"]),
    ("fuzzing", &["model", "policy", "dialect", "audit"]),
    ("state", &["model", "policy"]),
    (
        "data",
        &[
            "model",
            "policy",
            "dialect",
            "config",
            "telemetry",
            "tls",
            "listen",
            "upstream",
            "identity",
            "audit",
            "state",
        ],
    ),
    (
        "control",
        &[
            "model", "policy", "config", "store", "audit", "notify", "state",
        ],
    ),
    (
        "api",
        &[
            "model", "policy", "dialect", "config", "identity", "audit", "state", "control",
        ],
    ),
    (
        "serve",
        &[
            "model",
            "policy",
            "dialect",
            "config",
            "telemetry",
            "tls",
            "listen",
            "upstream",
            "identity",
            "store",
            "audit",
            "notify",
            "state",
            "data",
            "control",
            "api",
        ],
    ),
    (
        "demo",
        &["model", "policy", "config", "tls", "identity", "serve"],
    ),
    (
        "cli",
        &[
            "model",
            "policy",
            "config",
            "telemetry",
            "tls",
            "identity",
            "store",
            "audit",
            "notify",
            "api",
            "serve",
            "demo",
        ],
    ),
];

#[test]
fn each_module_uses_only_what_it_may() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    // `crate::{…}` hides names from this test, so it is not written here: one `use` a module.
    let mention = regex::Regex::new(r"\bcrate::(\w+|\{)").unwrap();
    let mut broken = Vec::new();
    for (module, allowed) in MAY_USE {
        for file in sources_of(&src, module) {
            let text = std::fs::read_to_string(&file).unwrap();
            for found in mention.captures_iter(&text) {
                let used = found.get(1).unwrap().as_str();
                if used != *module && !allowed.contains(&used) {
                    let file = file.display();
                    broken.push(format!("{file}: `{module}` may not use `{used}`"));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn each_module_is_in_the_table() {
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let known = ["lib", "main"].contains(&name) || MAY_USE.iter().any(|it| it.0 == name);
        assert!(known, "`{name}` has no line in MAY_USE");
    }
}

#[test]
fn pure_modules_forbid_clocks_and_files_to_themselves() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for module in PURE {
        let text = std::fs::read_to_string(src.join(format!("{module}.rs"))).unwrap();
        let lint = "#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]";
        assert!(text.contains(lint), "{module}.rs must begin with {lint}");
    }
}

fn sources_of(src: &Path, module: &str) -> Vec<PathBuf> {
    let mut found = vec![src.join(format!("{module}.rs"))];
    let mut folders = vec![src.join(module)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                found.push(path);
            }
        }
    }
    found
}
