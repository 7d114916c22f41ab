//! The command line: what may be typed, and which part of the program does it.
//!
//! Everything that a command prints goes through [`Output`]; nothing here ends the process.

pub mod audit;
mod check;
mod client;
pub mod completions;
pub mod grant;
pub mod init;
mod listing;
pub mod login;
pub mod notify;
pub mod online;
pub mod output;
mod password;
pub mod policy;
pub mod request;
pub mod roles;
mod times;
pub mod token;
pub mod who_can;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use comfy_table::Table;

use crate::config::{self, CONFIG_FILE, Environment};
use crate::demo;
use crate::serve;
use crate::telemetry::{self, Verbosity};

pub use client::Connection;
pub use listing::Narrowed;
pub use output::{ColorWhen, Format, Hint, Output};
pub use times::Named;

/// The configuration file, where neither `--config` nor the environment names one.
const DEFAULT_FILE: &str = "portcullis.toml";

const EXIT_CODES: &str = "Exit codes:
  0  done, and nothing wrong
  1  problems were found, or it could not be done
  2  the command line is wrong
  3  a request that was waited for was denied
  4  a request that was waited for expired: nobody decided it
  5  a request that was waited for was withdrawn
  6  a request that was waited for was not decided within --timeout
  130  signing in, `token` or `hash-password` was ended by Ctrl-C

Environment:
  PORTCULLIS_CONFIG       the configuration file, where --config is not given
  PORTCULLIS_LOG          which log events are written, such as `info` or `portcullis=debug`
  PORTCULLIS_LOG_FORMAT   `text` or `json`; without it, text on a terminal and JSON elsewhere
  PORTCULLIS_SERVER       the gateway's control address, where --server is not given
  PORTCULLIS_CA           certificate authorities to verify it by, where --ca is not given
  PORTCULLIS_TOKEN        a token, instead of what `portcullis login` keeps
  PORTCULLIS__SECTION__KEY  sets a key of the configuration, such as PORTCULLIS__PROXY__LISTEN";

/// A command gateway for privileged access management: every cmdlet is decided, recorded, then forwarded or blocked.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, max_term_width = 120)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// What is to be done.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Clone, Copy, Debug, Args)]
pub struct Global {
    /// How results are written.
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table)]
    pub output: Format,
    /// When results are coloured; `auto` is on a terminal, unless `NO_COLOR` is set.
    #[arg(long, global = true, value_enum, default_value_t = ColorWhen::Auto, value_name = "WHEN")]
    pub color: ColorWhen,
}

/// A command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read the audit log, and verify it.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Check configuration, policies, certificates and the files they name: all problems at once.
    Check(ConfigFile),
    /// Print what makes a shell complete this command line.
    Completions(completions::CompletionsArguments),
    /// A gateway with sample policies, people and a sample management endpoint; prints what to try.
    Demo(Demo),
    /// What is granted: list, give back, take away, review, extend.
    Grant(grant::GrantArguments),
    /// Write a commented starter configuration, policies and development certificates.
    Init(init::Init),
    /// Sign in at a gateway, for `request`, `grant`, `token` and whatever else asks it.
    Login(login::LoginArguments),
    /// Sign out.
    Logout(login::LogoutArguments),
    /// Print the manual page, or write one for each command.
    Man(completions::ManArguments),
    /// Messages to people and programs: those that wait or were given up, and a test of the way.
    #[command(subcommand)]
    Notify(notify::NotifyCommand),
    /// List, check, explain, test and compare policies.
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Ask for access, and decide what others ask for.
    Request(request::RequestArguments),
    /// Roles and role groups for policies.
    #[command(subcommand)]
    Roles(roles::RolesCommand),
    /// Run the gateway.
    Serve(ConfigFile),
    /// Tokens of the management API, for programs.
    Token(token::TokenArguments),
    /// Local users.
    #[command(subcommand)]
    User(UserCommand),
    /// Tell who may run a task: who asks, who approves, who needs no grant.
    WhoCan(who_can::WhoCanArguments),
}

/// Which configuration is meant.
#[derive(Clone, Debug, Args)]
pub struct ConfigFile {
    /// The configuration file.
    #[arg(short = 'c', long = "config", env = CONFIG_FILE, default_value = DEFAULT_FILE, value_name = "FILE")]
    pub path: PathBuf,
}

/// What `demo` may be told.
#[derive(Clone, Debug, Args)]
pub struct Demo {
    /// Where its data lies; a second start goes on with what the first left.
    #[arg(short, long, default_value = "demo-data", value_name = "DIR")]
    pub directory: PathBuf,
    /// Where the gateway listens.
    #[arg(short, long, default_value = "127.0.0.1:8443", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Where health and metrics are.
    #[arg(long, default_value = "127.0.0.1:8444", value_name = "ADDRESS")]
    pub control: SocketAddr,
}

/// What can be done about local users.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum UserCommand {
    /// Hash a password for `password_hash` in a user file. Asks for it, or reads one line from standard input.
    HashPassword,
}

/// How a command ended that did what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The request that was waited for was denied.
    Denied,
    /// Nothing is wrong.
    Done,
    /// Nobody decided the request that was waited for.
    Expired,
    /// It found problems, and has told them.
    Problems,
    /// The request that was waited for is still not decided.
    Undecided,
    /// The request that was waited for was taken back.
    Withdrawn,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::SUCCESS,
            Outcome::Problems => Self::FAILURE,
            Outcome::Denied => Self::from(3),
            Outcome::Expired => Self::from(4),
            Outcome::Withdrawn => Self::from(5),
            Outcome::Undecided => Self::from(6),
        }
    }
}

/// Does what `command` says.
pub fn run(command: Command, output: &mut Output) -> anyhow::Result<Outcome> {
    crate::tls::install_provider();
    match command {
        Command::Audit(command) => run_audit(command, output),
        Command::Check(file) => check::run(&file.path, &Environment::of_process(), output),
        Command::Completions(arguments) => completions::completions(&arguments, output),
        Command::Demo(options) => run_demo(options),
        Command::Grant(arguments) => runtime()?.block_on(grant::run(arguments, output)),
        Command::Init(options) => init::run(&options, output),
        Command::Login(arguments) => {
            runtime()?.block_on(password::interruptible(login::run(&arguments, output)))
        }
        Command::Logout(arguments) => runtime()?.block_on(login::out(&arguments, output)),
        Command::Man(arguments) => completions::man(&arguments, output),
        Command::Notify(command) => notify::run(command, &Environment::of_process(), output),
        Command::Policy(command) => policy::run(command, &Environment::of_process(), output),
        Command::Request(arguments) => runtime()?.block_on(request::run(arguments, output)),
        Command::Roles(command) => roles::run(command, output),
        Command::Serve(file) => run_gateway(&file, output),
        Command::Token(arguments) => {
            runtime()?.block_on(password::interruptible(token::run(arguments, output)))
        }
        Command::User(UserCommand::HashPassword) => {
            runtime()?.block_on(password::interruptible(password::run(output)))
        }
        Command::WhoCan(arguments) => who_can::run(&arguments, &Environment::of_process(), output),
    }
}

/// The log's directory is what the command says, else what the configuration says.
fn run_audit(command: audit::AuditCommand, output: &mut Output) -> anyhow::Result<Outcome> {
    let directory = match command.directory() {
        Some(directory) => directory.to_owned(),
        None => configured_audit_directory()?,
    };
    let width = Table::new().width();
    let code = audit::run(command, &directory, width, output.results())?;
    Ok(if code == ExitCode::SUCCESS {
        Outcome::Done
    } else {
        Outcome::Problems
    })
}

/// Problems elsewhere in the configuration do not matter here: the log must be readable when little else works.
fn configured_audit_directory() -> anyhow::Result<PathBuf> {
    let path =
        std::env::var_os(CONFIG_FILE).map_or_else(|| PathBuf::from(DEFAULT_FILE), PathBuf::from);
    let reading = config::read(&path, &Environment::of_process());
    let directory = reading
        .files
        .into_iter()
        .find(|it| it.role == config::Role::AuditDirectory);
    directory.map(|it| it.path).ok_or_else(|| {
        anyhow::Error::new(Hint(
            "name it, or name the configuration by PORTCULLIS_CONFIG".to_owned(),
        ))
        .context(format!(
            "`{}` does not say where the audit log is",
            path.display()
        ))
    })
}

fn run_demo(options: Demo) -> anyhow::Result<Outcome> {
    // The tour is what the demo prints.
    telemetry::init(Verbosity::Trouble)?;
    let Demo {
        directory,
        listen,
        control,
    } = options;
    runtime()?.block_on(demo::run(demo::Options {
        directory,
        listen,
        control,
    }))?;
    Ok(Outcome::Done)
}

fn run_gateway(file: &ConfigFile, output: &mut Output) -> anyhow::Result<Outcome> {
    telemetry::init(Verbosity::Notable)?;
    let reading = config::read(&file.path, &Environment::of_process());
    let Some(config) = reading.config else {
        check::print_problems(&reading.problems, output)?;
        return Ok(Outcome::Problems);
    };
    for warning in &reading.warnings {
        tracing::warn!(place = %warning.place, hint = warning.hint, "{}", warning.message);
    }
    runtime()?.block_on(serve::run(config))?;
    Ok(Outcome::Done)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime's threads")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_tells_the_exit_codes_and_every_variable() {
        let help = Cli::command().render_long_help().to_string();
        for word in [
            "Exit codes",
            CONFIG_FILE,
            config::LOG,
            config::LOG_FORMAT,
            config::PREFIX,
        ] {
            assert!(help.contains(word), "{word}");
        }
    }
}
