//! The demo's people: their passwords, which only curl's own configuration files hold, and the gateway's file of hashes.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;

use anyhow::Context as _;
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};

use crate::identity::hash_password;

use super::directory::{Access, Directory};

/// Who they are: an administrator, two approvers, an auditor, and a system account.
pub(super) const PEOPLE: [&str; 5] = ["ana", "amy", "bo", "ivy", "sys1"];

/// The tenant that their requests name.
const TENANT: &str = "1b2c0d3e-52a4-4f0c-9a11-0c0de0c0de01";

/// The gateway's file of users.
const USERS: &str = "users.toml";

/// A person, with the password.
#[derive(Debug)]
pub(super) struct Person {
    name: &'static str,
    password: SecretString,
}

/// Everybody, with the passwords that the directory has; new ones, and a new file of users, where something is missing.
pub(super) fn prepare(directory: &Directory) -> anyhow::Result<Vec<Person>> {
    let known = PEOPLE.map(|name| (name, password(directory, name)));
    let is_complete =
        directory.path(USERS).exists() && known.iter().all(|(_, password)| password.is_some());
    let mut people = Vec::with_capacity(known.len());
    for (name, password) in known {
        let password = match password {
            Some(password) => password,
            None => random()?,
        };
        people.push(Person { name, password });
    }
    if !is_complete {
        // Gone before the first new password is on disk, so that a crash between the two is seen at the next start.
        directory.remove(USERS)?;
    }
    Ok(people)
}

/// Writes what curl needs to call the gateway at `gateway` as each of them, and the users' file if there is none.
pub(super) fn write(
    people: &[Person],
    directory: &Directory,
    gateway: SocketAddr,
) -> anyhow::Result<()> {
    for person in people {
        let text = curl(person, directory, gateway)?;
        directory.write(&curl_file(person.name), &text, Access::Owner)?;
    }
    if directory.path(USERS).exists() {
        return Ok(());
    }
    let mut users =
        "# The demo's people. Their passwords are in <name>.curl beside this file.\n".to_owned();
    for Person { name, password } in people {
        let hash = hash_password(password).context("cannot hash a password")?;
        let account = account(name);
        writeln!(
            users,
            "\n[[user]]\nname = \"{account}\"\npassword_hash = \"{hash}\""
        )?;
    }
    directory.write(USERS, &users, Access::Owner)
}

/// A secret nobody has to type: 24 random bytes, in letters, digits, `-` and `_`.
pub(super) fn random() -> anyhow::Result<SecretString> {
    let mut bytes = [0; 24];
    rand::fill(&mut bytes).context("the system has no random numbers")?;
    Ok(URL_SAFE_NO_PAD.encode(bytes).into())
}

fn account(name: &str) -> String {
    format!("{name}@contoso.example")
}

fn curl_file(name: &str) -> String {
    format!("{name}.curl")
}

/// The password in a person's curl file, if that is there and whole.
fn password(directory: &Directory, name: &str) -> Option<SecretString> {
    let text = fs::read_to_string(directory.path(&curl_file(name))).ok()?;
    let begin = format!("user = \"{}:", account(name));
    let line = text.lines().find_map(|line| line.strip_prefix(&begin))?;
    let password = line.strip_suffix('"')?;
    let is_ours = |it: u8| it.is_ascii_alphanumeric() || it == b'-' || it == b'_';
    (password.len() == 32 && password.bytes().all(is_ours)).then(|| password.into())
}

fn curl(person: &Person, directory: &Directory, gateway: SocketAddr) -> anyhow::Result<String> {
    let ca = directory.path("ca.pem");
    let ca = std::path::absolute(&ca)
        .with_context(|| format!("cannot tell where `{}` is", ca.display()))?;
    let ca = ca
        .display()
        .to_string()
        .replace('\\', "\\\\")
        .replace('"', "\\\"");
    Ok(format!(
        "# For curl -K: how to call the gateway as {account}. The password is in here: keep the file to yourself.\n\
         url = \"https://{gateway}/adminapi/beta/{TENANT}/InvokeCommand\"\n\
         user = \"{account}:{password}\"\n\
         cacert = \"{ca}\"\n\
         header = \"Content-Type: application/json\"\n\
         write-out = \"\\nHTTP %{{http_code}}\\n\"\n\
         noproxy = \"*\"\n\
         show-error\n",
        account = account(person.name),
        password = person.password.expose_secret(),
    ))
}
