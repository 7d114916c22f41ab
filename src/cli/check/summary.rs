//! What would run: where it listens, what it decides, and where calls go.

use std::io;

use serde::Serialize;

use crate::cli::Output;
use crate::config::{
    Config, Durability, Endpoint, IdentityKind, SmtpTls, UpstreamAuth, WebhookShape,
};
use crate::policy::{Mode, PolicySet, Ungoverned};

use super::files::CertificateFacts;

/// What would run.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    proxy: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<CertificateFacts>,
    control: String,
    mode: &'static str,
    store: String,
    audit: String,
    durability: &'static str,
    policies: usize,
    groups: usize,
    exemptions: usize,
    notices: Vec<String>,
    endpoints: Vec<EndpointSummary>,
    identities: Vec<IdentitySummary>,
}

#[derive(Debug, Serialize)]
struct EndpointSummary {
    path: String,
    workload: String,
    upstream: String,
    sign_in: Vec<String>,
    ungoverned: &'static str,
    upstream_auth: &'static str,
    report_only: bool,
}

#[derive(Debug, Serialize)]
struct IdentitySummary {
    name: String,
    kind: &'static str,
    issuer: Option<String>,
}

impl Summary {
    pub(super) fn new(
        config: &Config,
        policies: &PolicySet,
        certificate: Option<CertificateFacts>,
    ) -> Self {
        let scheme = if config.proxy.tls.is_some() {
            "https"
        } else {
            "http"
        };
        // A URL of a store may hold a password; a path holds none.
        let store = config
            .store
            .url
            .split_once(":/")
            .map_or(config.store.url.as_str(), |it| it.0);
        let store = if store == "sqlite" {
            config.store.url.as_str()
        } else {
            store
        };
        Self {
            proxy: format!("{scheme}://{}", config.proxy.listen),
            certificate,
            control: format!("http://{}", config.control.listen),
            mode: match config.access_control.mode {
                Mode::Disabled => "disabled",
                Mode::Enforce => "enforce",
                Mode::ReportOnly => "report-only",
            },
            store: store.to_owned(),
            audit: config.audit.directory.display().to_string(),
            durability: match config.audit.durability {
                Durability::Buffered => "buffered",
                Durability::Strict => "strict",
            },
            policies: policies.policies().len(),
            groups: policies.groups().len(),
            exemptions: policies.exemptions().len(),
            notices: notices(config),
            endpoints: config.endpoints.iter().map(endpoint).collect(),
            identities: config
                .identities
                .iter()
                .map(|it| match &it.kind {
                    IdentityKind::Basic { .. } => IdentitySummary {
                        name: it.name.clone(),
                        kind: "basic",
                        issuer: None,
                    },
                    IdentityKind::Jwt { issuer, .. } => IdentitySummary {
                        name: it.name.clone(),
                        kind: "jwt",
                        issuer: Some(issuer.clone()),
                    },
                })
                .collect(),
        }
    }

    pub(super) fn print(&self, output: &mut Output) -> io::Result<()> {
        output.line(format_args!("proxy      {}", self.proxy))?;
        if let Some(certificate) = &self.certificate {
            let names = certificate.names.join(", ");
            output.line(format_args!(
                "           certificate for {names}, until {}",
                certificate.expires.format("%Y-%m-%d")
            ))?;
        }
        output.line(format_args!("control    {}", self.control))?;
        output.line(format_args!("store      {}", self.store))?;
        output.line(format_args!(
            "audit      {} ({})",
            self.audit, self.durability
        ))?;
        output.line(format_args!(
            "policies   {} (groups: {}, exemptions: {}), access control: {}",
            self.policies, self.groups, self.exemptions, self.mode
        ))?;
        for it in &self.notices {
            output.line(format_args!("notices    {it}"))?;
        }
        for it in &self.identities {
            let issuer = it
                .issuer
                .as_ref()
                .map(|it| format!(" from {it}"))
                .unwrap_or_default();
            output.line(format_args!("identity   {}: {}{issuer}", it.name, it.kind))?;
        }
        for it in &self.endpoints {
            let report_only = if it.report_only { ", report-only" } else { "" };
            output.line(format_args!(
                "endpoint   {} -> {} ({})",
                it.path, it.upstream, it.workload
            ))?;
            output.line(format_args!(
                "           sign-in: {}; upstream sign-in: {}; ungoverned tasks: {}{report_only}",
                it.sign_in.join(", "),
                it.upstream_auth,
                it.ungoverned
            ))?;
        }
        Ok(())
    }
}

/// By which ways people and programs are told what happens.
fn notices(config: &Config) -> Vec<String> {
    let mail = config.notify.smtp.as_ref().map(|it| {
        let tls = match it.tls {
            SmtpTls::Implicit => "TLS",
            SmtpTls::Off => "in the clear",
            SmtpTls::StartTls => "STARTTLS",
        };
        format!("mail by {}:{} ({tls})", it.host, it.port)
    });
    let webhooks = config.notify.webhooks.iter().map(|it| {
        let shape = match it.shape {
            WebhookShape::Json => "json",
            WebhookShape::Slack => "slack",
            WebhookShape::Teams => "teams",
        };
        let signed = if it.secret_file.is_some() {
            ", signed"
        } else {
            ""
        };
        format!("webhook {} ({shape}{signed})", it.name)
    });
    mail.into_iter().chain(webhooks).collect()
}

fn endpoint(it: &Endpoint) -> EndpointSummary {
    EndpointSummary {
        path: it.path.clone(),
        workload: it.workload.to_string(),
        upstream: it.upstream.as_str().trim_end_matches('/').to_owned(),
        sign_in: it.identity.clone(),
        ungoverned: match it.ungoverned {
            Ungoverned::Allow => "allow",
            Ungoverned::Block => "block",
        },
        upstream_auth: match it.upstream_auth {
            UpstreamAuth::Basic { .. } => "basic",
            UpstreamAuth::Bearer { .. } => "bearer",
            UpstreamAuth::Passthrough => "the caller's own",
        },
        report_only: it.report_only,
    }
}
