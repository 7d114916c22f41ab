//! `portcullis user hash-password`: a password in, its hash out; the password is never an argument, which others could see.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context as _, bail};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::identity::hash_password;

use super::{Format, Outcome, Output};

/// Longer lines are no passwords, in bytes.
const LONGEST: u64 = 4096;

/// Somebody ended the asking, by Ctrl-C or from another terminal. The terminal is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub(super) struct Interrupted {
    /// What a shell tells of a program that ends by this signal: 128 and its number.
    pub(super) code: u8,
}

/// Asks for a password twice on a terminal, else reads one line; prints its hash.
pub(super) async fn run(output: &mut Output) -> anyhow::Result<Outcome> {
    let password = if io::stdin().is_terminal() {
        let typed = unseen(&["Password:", "Again:"], output).await?;
        match typed.as_slice() {
            [first, second] if first.expose_secret() == second.expose_secret() => first.clone(),
            _ => bail!("the two passwords differ"),
        }
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
pub(super) async fn once(output: &mut Output) -> anyhow::Result<SecretString> {
    if !io::stdin().is_terminal() {
        return line();
    }
    let typed = unseen(&["Password:"], output).await?;
    typed.into_iter().next().context("nothing was typed")
}

/// Does `work` unless somebody ends it by Ctrl-C or from another terminal: then all that it holds is dropped, and with it what
/// keeps the terminal from showing what is typed.
pub(super) async fn interruptible<T>(
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let listens = || -> io::Result<_> {
        Ok((
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ))
    };
    let (mut interrupt, mut terminate, mut hang_up) =
        listens().context("cannot listen for signals")?;
    let code = tokio::select! {
        done = work => return done,
        _ = interrupt.recv() => 130,
        _ = terminate.recv() => 143,
        _ = hang_up.recv() => 129,
    };
    Err(Interrupted { code }.into())
}

/// What is typed on the terminal after each prompt, without showing it.
async fn unseen(prompts: &[&str], output: &mut Output) -> anyhow::Result<Vec<SecretString>> {
    let echo = Echo::off();
    if echo.is_none() {
        output.note("The password will show as you type: `stty` does not work here.")?;
    }
    let mut typed = Vec::new();
    for prompt in prompts {
        output.note(prompt)?;
        let (send, told) = oneshot::channel();
        // A thread of its own, which nobody waits for: it may read for ever.
        thread::Builder::new()
            .name("typing".to_owned())
            .spawn(move || send.send(line()))
            .context("cannot start a thread to read what is typed")?;
        typed.push(told.await.context("nothing was typed")??);
    }
    Ok(typed)
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
    if text.is_empty() {
        bail!("nothing was typed: there is no line on standard input");
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
