//! The page in Prometheus' own text format 0.0.4, which everything that reads metrics reads, `promtool` included.
//!
//! The registry writes `OpenMetrics`. The two differ in three things that this page has: in Prometheus' format a counter's family is
//! called as its samples are, with `_total`; there is no type `info`, which is a gauge of 1; and units and the end are not marked.

/// The `Content-Type` of the format.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `page`, which is `OpenMetrics`, in Prometheus' format.
pub(super) fn prometheus(page: &str) -> String {
    let mut out = String::with_capacity(page.len());
    let mut help = None;
    for line in page.lines() {
        let Some(comment) = line.strip_prefix("# ") else {
            push(&mut out, &[line]);
            continue;
        };
        match comment.split_once(' ') {
            // The registry writes a family's HELP before its TYPE, and its name depends on the type.
            Some(("HELP", text)) => help = text.split_once(' '),
            Some(("TYPE", text)) => {
                let (name, kind) = text.rsplit_once(' ').unwrap_or((text, "untyped"));
                let (suffix, kind) = match kind {
                    "counter" => ("_total", kind),
                    "info" => ("_info", "gauge"),
                    _ => ("", kind),
                };
                if let Some((_, text)) = help.take() {
                    push(&mut out, &["# HELP ", name, suffix, " ", text]);
                }
                push(&mut out, &["# TYPE ", name, suffix, " ", kind]);
            }
            Some(_) | None => {}
        }
    }
    out
}

fn push(out: &mut String, parts: &[&str]) {
    out.extend(parts.iter().copied());
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_called_as_their_samples_are() {
        let page = "# HELP a Some text.\n# TYPE a counter\na_total{x=\"# TYPE\"} 1\n\
                    # HELP b Other text.\n# TYPE b info\nb_info{v=\"1\"} 1\n\
                    # HELP c_seconds Time.\n# TYPE c_seconds histogram\n# UNIT c_seconds seconds\nc_seconds_sum 0.5\n# EOF\n";
        let expected = "# HELP a_total Some text.\n# TYPE a_total counter\na_total{x=\"# TYPE\"} 1\n\
                        # HELP b_info Other text.\n# TYPE b_info gauge\nb_info{v=\"1\"} 1\n\
                        # HELP c_seconds Time.\n# TYPE c_seconds histogram\nc_seconds_sum 0.5\n";
        assert_eq!(prometheus(page), expected);
    }
}
