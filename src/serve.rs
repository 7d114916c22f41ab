//! Puts the parts together and runs them: the only place, with `demo` and `cli`, that knows everything.

mod health;
mod policies;
mod reload;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, anyhow};
use chrono::Utc;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::api;
use crate::audit::{AuditLog, Event};
use crate::config::{Config, Endpoint};
use crate::control::{self, Control, NewPolicies};
use crate::data::{
    BodyBudget, Gate, Protocol, Remoting, Route, UpstreamCredential, Worker, close_sessions,
    reserved_for_sessions, serve_connection, tend_sessions,
};
use crate::dialect::exchange_rest::LinkHosts;
use crate::identity::{Identities, Strangers};
use crate::listen::{self, Acceptor, Workers};
use crate::model::{Interner, OwnCmdlet, Redaction};
use crate::notify::Channels;
use crate::policy::{self, PolicyFile, PolicyProblem, PolicySet};
use crate::state::{GrantUses, OwnCmdlets, Snapshot, State};
use crate::store::Store;
use crate::telemetry::Chain;
use crate::telemetry::metrics::Metrics;
use crate::tls;
use crate::upstream::{self, Pool, Upstream};

use policies::PolicySource;
pub use policies::read_policy_files;
use reload::Reloader;

/// A gateway that runs.
#[derive(Debug)]
pub struct Running {
    proxy_address: SocketAddr,
    control_address: SocketAddr,
    stop: CancellationToken,
    reload: Arc<tokio::sync::Notify>,
    done: JoinHandle<()>,
}

impl Running {
    /// Where clients connect.
    pub fn proxy_address(&self) -> SocketAddr {
        self.proxy_address
    }

    /// Where health and metrics are.
    pub fn control_address(&self) -> SocketAddr {
        self.control_address
    }

    /// Asks for policies, certificates, users, secrets and templates to be read again.
    pub fn reload(&self) {
        self.reload.notify_one();
    }

    /// Asks the gateway to stop: no new requests, those in flight are finished. [`Running::stopped`] waits for the end.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until the gateway has stopped.
    pub async fn stopped(self) {
        if let Err(error) = self.done.await {
            error!(%error, "The gateway ended by a failure");
        }
    }
}

/// Starts the gateway in the current runtime, which also serves the store and the control listener; workers have their own.
/// Returns when it accepts connections.
///
/// # Errors
///
/// A port is taken, a file cannot be read, policies are broken: with what and where, and nothing left running.
pub async fn start(config: Config) -> anyhow::Result<Running> {
    tls::install_provider();
    let interner = Arc::new(Interner::default());
    let source = PolicySource {
        directory: config.policies.directory.clone(),
        default_approver_group: config.access_control.default_approver_group.clone(),
        interner: Arc::clone(&interner),
    };
    let looked = source.looks();
    // Looked at before a port is taken; put in force with the policies of the store.
    let files = source.load().map_err(|problems| broken(&problems))?;
    listen::raise_limit(config.proxy.limits.connections);
    let proxy_listener = listen::bind(config.proxy.listen)?;
    let control_listener = listen::bind(config.control.listen)?;
    let proxy_address = proxy_listener.local_addr()?;
    let control_address = control_listener.local_addr()?;

    let (audit, opened) =
        AuditLog::open(&config.audit).context("the audit log cannot be opened")?;
    if opened.is_alarming() {
        error!(found = %opened, "The audit log is not as it was left");
    } else if opened.repaired.is_some() || opened.unknown_outcomes > 0 {
        warn!(found = %opened, "The audit log was repaired");
    }
    audit.event(started(proxy_address)).await?;
    let mode = config.access_control.mode;
    // Without a policy, until those of the files and of the store are put in force together, before anything is served.
    let state = Arc::new(State::new(
        Arc::clone(&interner),
        Snapshot {
            policies: Arc::new(PolicySet::empty()),
            mode,
        },
    ));
    let store = Store::open(&config.store)
        .await
        .context("the store cannot be opened")?;
    let (channels, broken) =
        Channels::open(&config.notify).context("notices cannot be delivered")?;
    let channels = Arc::new(channels);
    for problem in &broken {
        warn!(error = %Chain(problem), "A template is not used; the built-in one takes its place");
    }
    let control = Control::open(
        store,
        Arc::new(audit.clone()),
        Arc::clone(&channels),
        Arc::clone(&state),
        control::Settings {
            default_approver_group: config.access_control.default_approver_group.clone(),
            mode,
            operators: config.access_control.operators.clone(),
            auditors: config.access_control.auditors.clone(),
            redaction: Redaction::new(&config.audit.redact),
        },
        Arc::new(Utc::now),
    )
    .await?;
    let control = Arc::new(control);
    put_in_force(&control, files).await?;
    let identities = Identities::open(&config.identities, interner)
        .await
        .map_err(|errors| {
            let lines: Vec<String> = errors
                .iter()
                .map(|error| Chain(error).to_string())
                .collect();
            anyhow!("identities cannot be set up:\n  {}", lines.join("\n  "))
        })?;
    let metrics = Metrics::new();
    let identities = Arc::new(identities);
    let strangers = Arc::new(Strangers::default());
    let control_tls = config.control.tls.as_ref().map(tls::server).transpose()?;
    let stop = CancellationToken::new();
    let gate = Arc::new(Gate {
        state: Arc::clone(&state),
        audit: audit.clone(),
        identities: Arc::clone(&identities),
        own_cmdlets: Arc::clone(&control) as Arc<dyn OwnCmdlets>,
        uses: Arc::clone(&control) as Arc<dyn GrantUses>,
        routes: config
            .endpoints
            .iter()
            .map(|it| route(it, &config, &metrics, &control.cmdlets()))
            .collect::<anyhow::Result<_>>()?,
        public_base: config
            .proxy
            .public_url
            .as_ref()
            .map(|url| url.as_str().trim_end_matches('/').to_owned()),
        tls: config.proxy.tls.as_ref().map(tls::server).transpose()?,
        limits: config.proxy.limits,
        timeouts: config.proxy.timeouts,
        bodies: BodyBudget::new(config.proxy.limits.body_bytes_total),
        strangers: Arc::clone(&strangers),
        stopping: stop.clone(),
        metrics: metrics.clone(),
    });

    let workers = {
        let gate = Arc::clone(&gate);
        let make = move |_| Worker {
            gate: Arc::clone(&gate),
            pool: Pool::new(),
        };
        Workers::start(config.proxy.workers, make, serve_connection)?
    };
    let acceptor = Acceptor::new(proxy_listener, &workers, config.proxy.limits.connections)?;
    let control_listener = tokio::net::TcpListener::from_std(control_listener)?;

    let reload = Arc::new(tokio::sync::Notify::new());
    let health = health::Health {
        audit: audit.clone(),
        state: Arc::clone(&state),
        control: Arc::clone(&control),
        metrics,
        draining: stop.clone(),
        api: api::router(
            api::Parts {
                control: Arc::clone(&control),
                state,
                identities,
                audit: audit.clone(),
                strangers,
            },
            api::Settings::of(&config),
        ),
        tls: control_tls.clone(),
    };
    let reloader = Reloader {
        gate: Arc::clone(&gate),
        control_tls,
        control: Arc::clone(&control),
        policies: source,
        channels,
        watch: config.policies.watch,
        looked,
        told: Vec::new(),
    };
    let done = tokio::spawn({
        let (stop, reload) = (stop.clone(), Arc::clone(&reload));
        async move {
            // What serves calls ends first, then what calls rely on, then the record of it all.
            let after = CancellationToken::new();
            let background = [
                tokio::spawn(health::serve(control_listener, health, after.clone())),
                tokio::spawn(reloader.run(reload, after.clone())),
                tokio::spawn(tend_sessions(Arc::clone(&gate), after.clone())),
                tokio::spawn({
                    let after = after.clone();
                    async move { control.run(after).await }
                }),
            ];
            acceptor.run(stop).await;
            info!("Draining: no new calls are taken");
            let began = Instant::now();
            let drain = config.proxy.timeouts.drain;
            let reserved = reserved_for_sessions(&gate, drain);
            let drained = workers.drain(drain.saturating_sub(reserved)).await;
            if drained.cut > 0 {
                warn!(
                    connections = drained.cut,
                    "Connections were cut off at the end of the drain"
                );
            }
            let left = drain.saturating_sub(began.elapsed());
            close_sessions(&gate, left.max(reserved)).await;
            after.cancel();
            for task in background {
                if let Err(error) = task.await {
                    error!(%error, "A background task ended by a failure");
                }
            }
            if let Err(error) = audit
                .event(reload::event("gateway.stopped", serde_json::Map::new()))
                .await
            {
                error!(%error, "The stop could not be recorded");
            }
            // Closing waits for the disk, and so for no runtime's thread.
            let closed = tokio::task::spawn_blocking(move || audit.close()).await;
            if let Ok(Err(error)) = closed {
                error!(%error, "The audit log could not be closed");
            }
            info!("Stopped");
        }
    });
    info!(proxy = %proxy_address, control = %control_address, "Gateway is ready");
    Ok(Running {
        proxy_address,
        control_address,
        stop,
        reload,
        done,
    })
}

fn broken(problems: &[PolicyProblem]) -> anyhow::Error {
    let lines: Vec<String> = problems
        .iter()
        .map(|problem| match &problem.hint {
            Some(hint) => format!("{problem}\n    hint: {hint}"),
            None => problem.to_string(),
        })
        .collect();
    anyhow!("the policy files are broken:\n  {}", lines.join("\n  "))
}

/// Puts the policies of files and store in force for the first time.
async fn put_in_force(control: &Control, files: Vec<PolicyFile>) -> anyhow::Result<()> {
    match control.put_files(files).await? {
        NewPolicies::Broken(problems) => Err(broken(&problems)),
        NewPolicies::InForce {
            policies,
            hash,
            skipped,
        } => {
            for problem in &skipped {
                warn!(%problem, hint = problem.hint, "Policy of the store is left out");
            }
            info!(policies, hash, "Policies are in force");
            Ok(())
        }
        NewPolicies::Unchanged => Ok(()),
    }
}

/// An endpoint of the configuration, ready to serve.
fn route(
    endpoint: &Endpoint,
    config: &Config,
    metrics: &Metrics,
    own: &[OwnCmdlet],
) -> anyhow::Result<Route> {
    let context = || format!("endpoint `{}` cannot be set up", endpoint.path);
    let client = tls::client(endpoint.upstream_ca.as_deref()).with_context(context)?;
    let connect = |url: &url::Url| {
        Upstream::new(upstream::Settings {
            url,
            tls: Some(Arc::clone(&client)),
            timeouts: upstream::Timeouts {
                connect: config.proxy.timeouts.connect,
                head: config.proxy.timeouts.upstream,
                idle: config.proxy.timeouts.upstream_idle,
            },
            keep: upstream::Keep::default(),
        })
        .with_context(context)
    };
    let main = connect(&endpoint.upstream)?;
    let mut regional = Vec::new();
    for host in &endpoint.regional_hosts {
        let scheme = endpoint.upstream.scheme();
        regional.push(connect(&format!("{scheme}://{host}").parse()?)?);
    }
    let mut authorities = vec![main.authority().to_string()];
    authorities.extend(endpoint.regional_hosts.iter().cloned());
    Ok(Route {
        workload: endpoint.workload.clone(),
        protocol: match &endpoint.remoting {
            None => Protocol::ExchangeRest,
            Some(settings) => Protocol::Psrp(Arc::new(Remoting::new(
                settings.clone(),
                endpoint.upstream.origin().ascii_serialization(),
                config.proxy.timeouts.upstream,
                own.to_vec(),
            ))),
        },
        path: endpoint.path.as_str().into(),
        identities: endpoint.identity.clone(),
        tenants: endpoint.tenants.clone(),
        rules: policy::Endpoint {
            ungoverned: endpoint.ungoverned,
            report_only: endpoint.report_only,
        },
        link_hosts: Arc::new(LinkHosts::new(
            main.authority().as_str(),
            &endpoint.regional_hosts,
        )),
        upstream: main,
        regional_hosts: endpoint.regional_hosts.clone(),
        regional,
        authorities,
        credential: UpstreamCredential::open(&endpoint.upstream_auth).with_context(context)?,
        metrics: metrics.endpoint(&endpoint.path),
    })
}

fn started(proxy: SocketAddr) -> Event {
    let mut details = serde_json::Map::new();
    details.insert("version".to_owned(), env!("CARGO_PKG_VERSION").into());
    details.insert("proxy".to_owned(), proxy.to_string().into());
    reload::event("gateway.started", details)
}

/// Runs the gateway until SIGTERM or SIGINT, which drain it; a second one ends it at once. SIGHUP reads everything again.
pub async fn run(config: Config) -> anyhow::Result<()> {
    // Before the start: whoever reads "ready" may send a signal the moment after, and its default action would kill.
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let running = tokio::select! {
        running = start(config) => running?,
        _ = interrupt.recv() => {
            stopped_early();
            return Ok(());
        }
        _ = terminate.recv() => {
            stopped_early();
            return Ok(());
        }
    };
    loop {
        tokio::select! {
            _ = hang_up.recv() => running.reload(),
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
        }
    }
    running.stop();
    tokio::select! {
        () = running.stopped() => {}
        _ = interrupt.recv() => warn!("Ended at once, as a second signal asked for"),
        _ = terminate.recv() => warn!("Ended at once, as a second signal asked for"),
    }
    Ok(())
}

/// Nothing was served yet, so nothing is to be finished: what was asked for is done.
fn stopped_early() {
    info!("Stopped before it was ready");
}
