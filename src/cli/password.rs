//! `portcullis user hash-password`: a password in, its hash out; the password is never an argument, which others could see.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use crate::identity::hash_password;

use super::{Format, Outcome, Output};

/// Longer lines are no passwords, in bytes.
const LONGEST: u64 = 4096;

/// Asks for a password twice on a terminal, else reads one line; prints its hash.
pub(super) fn run(output: &mut Output) -> anyhow::Result<Outcome> {
    let password = if io::stdin().is_terminal() {
        ask(output)?
    } else {
        line()?
    };
    let hash = hash_password(&password)?;
    match output.format() {
        Format::Json => output.json(&json!({ "password_hash": hash }))?,
        Format::Table => output.line(hash)?,
    }
    Ok(Outcome::Done)
}

/// Asks for a password once, for a sign-in; without a terminal, the next line is it.
pub(super) fn once(output: &mut Output) -> anyhow::Result<SecretString> {
    if !io::stdin().is_terminal() {
        return line();
    }
    let echo = Echo::off();
    if echo.is_none() {
        output.note("The password will show as you type: `stty` does not work here.")?;
    }
    output.note("Password:")?;
    line()
}

fn ask(output: &mut Output) -> anyhow::Result<SecretString> {
    let echo = Echo::off();
    if echo.is_none() {
        output.note("The password will show as you type: `stty` does not work here.")?;
    }
    output.note("Password:")?;
    let first = line()?;
    output.note("Again:")?;
    let second = line()?;
    drop(echo);
    if first.expose_secret() != second.expose_secret() {
        bail!("the two passwords differ");
    }
    Ok(first)
}

/// One line of standard input, without its end.
pub(super) fn line() -> anyhow::Result<SecretString> {
    let mut text = String::new();
    io::stdin()
        .lock()
        .take(LONGEST + 1)
        .read_line(&mut text)
        .context("cannot read a password from standard input")?;
    if text.len() as u64 > LONGEST {
        bail!("the line is longer than {LONGEST} bytes, too long for a password");
    }
    let end = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(end);
    Ok(SecretString::from(text))
}

/// A terminal that does not show what is typed; it does again when this is dropped.
struct Echo;

impl Echo {
    fn off() -> Option<Self> {
        stty("-echo").then_some(Self)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        stty("echo");
    }
}

/// `stty` changes the terminal on its standard input, which is ours.
fn stty(setting: &str) -> bool {
    Command::new("stty")
        .arg(setting)
        .stdin(Stdio::inherit())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|it| it.success())
}
