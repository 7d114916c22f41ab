//! The documents are true: their examples are read by the program's own readers, and what they name exists.

use std::fs;
use std::path::{Path, PathBuf};

use portcullis::config::{Config, Environment};
use portcullis::model::Interner;
use portcullis::policy::{
    Endpoint, Mode, PolicyFile, PolicySet, Setting, Ungoverned, lint, read_expectations, unmet,
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn document(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// The blocks of `language` in a document, each with the line that it begins on.
fn blocks(text: &str, language: &str) -> Vec<(usize, String)> {
    let fence = format!("```{language}");
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        match &mut open {
            None if line == fence => open = Some((index + 2, String::new())),
            None => {}
            Some(_) if line == "```" => blocks.extend(open.take()),
            Some((_, block)) => {
                block.push_str(line);
                block.push('\n');
            }
        }
    }
    assert!(open.is_none(), "a block has no end");
    blocks
}

fn is_configuration(block: &str) -> bool {
    block
        .lines()
        .any(|line| ["[proxy]", "[[endpoint]]", "[[identity]]"].contains(&line))
}

fn is_expectations(block: &str) -> bool {
    block.lines().any(|line| line == "[[test]]")
}

/// The policy blocks of a document as one set, each as a file named by its line.
fn policies(name: &str) -> PolicySet {
    let files: Vec<PolicyFile> = blocks(&document(name), "toml")
        .into_iter()
        .filter(|(_, block)| !is_configuration(block) && !is_expectations(block))
        .map(|(line, text)| PolicyFile {
            path: format!("{name}, example at line {line}"),
            text,
        })
        .collect();
    assert!(!files.is_empty(), "{name} has no example of a policy");
    PolicySet::load(&files, &[], None, &Interner::default()).unwrap_or_else(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        panic!("{}", problems.join("\n"))
    })
}

#[test]
fn every_policy_that_the_documents_show_can_be_loaded() {
    let set = policies("docs/policies.md");
    assert_eq!(set.policies().len(), 12);
    assert_eq!(set.groups().len(), 2);
    assert_eq!((set.roles().len(), set.role_groups().len()), (2, 1));
    assert_eq!((set.persons().len(), set.exemptions().len()), (1, 1));
    assert!(policies("README.md").policies().len() == 1);
}

#[test]
fn the_expectations_that_the_policy_reference_shows_hold() {
    let set = policies("docs/policies.md");
    let mut blocks = blocks(&document("docs/policies.md"), "toml");
    blocks.retain(|(_, block)| is_expectations(block));
    let [(_, text)] = blocks.as_slice() else {
        panic!("there is one example");
    };
    let file = PolicyFile {
        path: "tests.toml".to_owned(),
        text: text.clone(),
    };
    let expectations = read_expectations(&file).unwrap();
    let setting = Setting {
        mode: Mode::Enforce,
        endpoint: Endpoint {
            ungoverned: Ungoverned::Allow,
            report_only: false,
        },
        now: "2026-11-21T15:30:00Z".parse().unwrap(),
    };
    let unmet = unmet(&expectations, &set, &setting);
    assert!(unmet.is_empty(), "{unmet:#?}");
    assert_eq!(expectations.len(), 2);
}

#[test]
fn the_sample_policies_are_in_no_doubt() {
    let read = |name: &str| PolicyFile {
        path: name.to_owned(),
        text: document(name),
    };
    let files = [
        "policies/exchange.toml",
        "policies/exemptions.toml",
        "policies/groups.toml",
    ]
    .map(read);
    let set = PolicySet::load(&files, &[], Some("pam-approvers"), &Interner::default()).unwrap();
    let today = "2026-11-21".parse().unwrap();
    let warnings = lint(&set, Ungoverned::Allow, today);
    assert!(warnings.is_empty(), "{warnings:#?}");
}

#[test]
fn the_defaults_are_those_that_the_policy_reference_tells() {
    let text = "[[group]]\nname = 'g'\nmembers = ['a']\n[[policy]]\ntask = 'Exchange\\Get-Mailbox'\napproval = 'manual'\n";
    let file = PolicyFile {
        path: "p.toml".to_owned(),
        text: text.to_owned(),
    };
    let set = PolicySet::load(&[file], &[], Some("g"), &Interner::default()).unwrap();
    let policy = set.policy(r"Exchange\Get-Mailbox").unwrap();
    assert_eq!(policy.approvers, ["g"]);
    assert_eq!(policy.approvals, 1);
    assert_eq!(policy.default_duration.as_secs(), 4 * 3600);
    assert_eq!(policy.max_duration, None);
    assert!(!policy.report_only && policy.parameters.is_empty());
}

#[test]
fn every_configuration_that_the_readme_shows_can_be_loaded() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("portcullis.toml");
    let configurations = blocks(&document("README.md"), "toml");
    let configurations = configurations.iter().filter(|it| is_configuration(&it.1));
    let mut number = 0;
    for (line, text) in configurations {
        number += 1;
        fs::write(&file, text).unwrap();
        if let Err(problems) = Config::load(&file, &Environment::default()) {
            panic!("README.md, example at line {line}: {problems:#?}");
        }
    }
    assert_ne!(number, 0);
}

#[test]
fn the_endpoint_that_the_guide_to_remoting_shows_can_be_loaded() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("portcullis.toml");
    let shown = blocks(&document("docs/remoting.md"), "toml");
    let [(_, endpoint)] = shown.as_slice() else {
        panic!("there is one example");
    };
    fs::write(&file, format!("[proxy]\ntls = \"off\"\n{endpoint}")).unwrap();
    let config = Config::load(&file, &Environment::default());
    assert!(config.is_ok(), "{:#?}", config.err());
}

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let mut sources = String::new();
    read_sources(&root().join("src"), &mut sources);
    read_sources(&root().join("tests/it"), &mut sources);
    let text = document("SECURITY.md");
    let names = text
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|it| it.contains("::") && !it.contains(['(', '<', ' ', '*']));
    let mut number = 0;
    for name in names {
        number += 1;
        let (modules, last) = name.rsplit_once("::").unwrap();
        if modules == "bypass" {
            let file = root().join(format!("tests/it/bypass/{last}.rs"));
            assert!(file.is_file(), "`{name}`: there is no such module");
        } else {
            let function = format!("fn {last}(");
            assert!(
                sources.contains(&function),
                "`{name}`: there is no such test"
            );
        }
    }
    assert!(number > 30, "{number}");
}

fn read_sources(directory: &Path, out: &mut String) {
    let entries = fs::read_dir(directory).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|it| it.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            read_sources(&path, out);
        } else if path.extension().is_some_and(|it| it == "rs") {
            out.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}
