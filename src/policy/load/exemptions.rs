//! `[[exemption]]`

use chrono::NaiveDate;
use ipnet::IpNet;

use super::super::Exemption;
use super::super::file::RawExemption;
use super::super::pattern::Pattern;
use super::super::problem::{Located, Report, printable};
use super::{readable, value_or_empty, visible};

type Texts = Option<Located<Vec<Located<String>>>>;

pub(super) fn lower(raw: Vec<RawExemption>, report: &mut Report<'_>) -> Vec<Exemption> {
    raw.into_iter().map(|it| lower_one(it, report)).collect()
}

fn lower_one(raw: RawExemption, report: &mut Report<'_>) -> Exemption {
    let RawExemption {
        at,
        account,
        owner,
        reason,
        expires,
        from,
        tasks,
    } = raw;
    let account = visible("`account`", account, report);
    if let Some(Located { value, at }) = &account
        && value.contains('*')
    {
        report.problem(*at, "`account` is one account, not a pattern");
    }
    let expires = expires.and_then(|Located { value, at }| {
        let (year, month, day) = (value.year.into(), value.month.into(), value.day.into());
        let date = NaiveDate::from_ymd_opt(year, month, day);
        if date.is_none() {
            report.problem(at, format!("{value} is not in the calendar"));
        }
        date
    });
    let tasks = bounds("tasks", tasks, report);
    let patterns = tasks.iter().filter_map(|it| pattern(it, report)).collect();
    Exemption {
        account: value_or_empty(account),
        owner: value_or_empty(readable("`owner`", owner, report)),
        reason: value_or_empty(readable("`reason`", reason, report)),
        expires,
        from: bounds("from", from, report)
            .into_iter()
            .filter_map(|it| network(&it, report))
            .collect(),
        patterns,
        tasks: tasks.into_iter().map(|it| it.value).collect(),
        place: report.place(at),
    }
}

fn pattern(task: &Located<String>, report: &mut Report<'_>) -> Option<Pattern> {
    match Pattern::parse(&task.value) {
        Ok(pattern) => Some(pattern),
        Err(invalid) => {
            report.problem_with_hint(task.at, invalid.message, invalid.hint);
            None
        }
    }
}

/// The items of a list that bounds the exemption. One that is there but empty would bound nothing while it seems to.
fn bounds(key: &str, list: Texts, report: &mut Report<'_>) -> Vec<Located<String>> {
    let Some(Located { value, at }) = list else {
        return Vec::new();
    };
    if value.is_empty() {
        report.problem_with_hint(
            at,
            format!("`{key}` has no item"),
            format!("leave `{key}` out if the exemption is not to be bound by it"),
        );
    }
    value
}

fn network(text: &Located<String>, report: &mut Report<'_>) -> Option<IpNet> {
    let Located { value, at } = text;
    let parsed = match value.parse::<std::net::IpAddr>() {
        Ok(address) => Ok(IpNet::from(address)),
        Err(_) => value.parse::<IpNet>(),
    };
    let shown = printable(value);
    let Ok(network) = parsed else {
        report.problem_with_hint(
            *at,
            format!("`{shown}` is neither a network nor an address"),
            "such as 10.20.0.0/16, 2001:db8::/32 or 10.20.3.4",
        );
        return None;
    };
    if network != network.trunc() {
        report.problem_with_hint(
            *at,
            format!("`{shown}` has bits set after its prefix"),
            format!(
                "write {} for the network or {} for the one address",
                network.trunc(),
                network.addr()
            ),
        );
        return None;
    }
    if let IpNet::V6(six) = network
        && six.addr().to_ipv4_mapped().is_some()
    {
        report.problem_with_hint(
            *at,
            format!("`{shown}` is an IPv4 address in IPv6 form"),
            "write it as an IPv4 address: callers are compared in that form",
        );
        return None;
    }
    Some(network)
}
