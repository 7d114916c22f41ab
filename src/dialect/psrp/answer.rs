//! What the gateway says itself inside of a session: typed objects, the end of a pipeline, an error, its own cmdlets.
//!
//! The shapes are those that real clients show ([MS-PSRP] 2.2.3.15, psrp section 9 (b)): a block is a failed pipeline with
//! one error record, after which the session stays usable.

use std::sync::Arc;

use crate::model::{Object, OwnCmdlet, OwnParameter, OwnParameterKind, Property, Value};

use super::clixml::{Base, Integer, Item, Object as Wrapped};

/// The `FullyQualifiedErrorId` of a block by policy.
pub const BLOCKED: &str = "PortcullisBlocked";
/// The `FullyQualifiedErrorId` of a pipeline in a form that is not let through.
pub const UNSUPPORTED: &str = "PortcullisUnsupported";

/// The `FullyQualifiedErrorId` of a gateway cmdlet whose parameters are wrong.
pub const INVALID: &str = "PortcullisInvalid";
/// The `FullyQualifiedErrorId` of a gateway cmdlet that was asked for what there is not.
pub const NOT_FOUND: &str = "PortcullisNotFound";
/// The `FullyQualifiedErrorId` of a gateway cmdlet that its caller may not run.
pub const FORBIDDEN: &str = "PortcullisForbidden";
/// The `FullyQualifiedErrorId` of a gateway cmdlet that cannot be done now.
pub const UNAVAILABLE: &str = "PortcullisUnavailable";

/// Why a pipeline failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The decision says no.
    Blocked,
    /// A gateway cmdlet's caller may not.
    Forbidden,
    /// A gateway cmdlet's parameters are wrong.
    Invalid,
    /// What a gateway cmdlet was asked for is not there.
    NotFound,
    /// A gateway cmdlet cannot be done now.
    Unavailable,
    /// It has a form that is not let through.
    Unsupported,
}

impl Failure {
    /// `FullyQualifiedErrorId`, `ErrorCategory` by name and number ([ErrorCategory]), and the exception's type.
    ///
    /// [ErrorCategory]: https://learn.microsoft.com/dotnet/api/system.management.automation.errorcategory
    fn shape(self) -> (&'static str, &'static str, i32, &'static str) {
        const DENIED: &str = "UnauthorizedAccessException";
        match self {
            Self::Blocked => (BLOCKED, "PermissionDenied", 18, DENIED),
            Self::Forbidden => (FORBIDDEN, "PermissionDenied", 18, DENIED),
            Self::Invalid => (INVALID, "InvalidArgument", 5, "ArgumentException"),
            Self::NotFound => (
                NOT_FOUND,
                "ObjectNotFound",
                13,
                "Collections.Generic.KeyNotFoundException",
            ),
            Self::Unavailable => (
                UNAVAILABLE,
                "ResourceUnavailable",
                11,
                "InvalidOperationException",
            ),
            Self::Unsupported => (UNSUPPORTED, "NotImplemented", 14, "NotSupportedException"),
        }
    }
}

/// An object that a gateway cmdlet returns.
pub(super) fn object(object: &Object) -> Item {
    let Object {
        type_name,
        properties,
    } = object;
    let class = format!("Portcullis.{type_name}");
    let properties = properties.iter().map(|(name, property)| {
        let item = match property {
            Property::DateTime(time) => {
                Item::DateTime(time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string())
            }
            Property::Guid(id) => Item::Guid(*id),
            Property::Plain(value) => plain(value),
        };
        ((*name).to_owned(), item)
    });
    typed(
        &[
            &class,
            "System.Management.Automation.PSCustomObject",
            "System.Object",
        ],
        properties.collect(),
    )
}

fn plain(value: &Value) -> Item {
    match value {
        Value::Bool(set) => Item::Bool(*set),
        Value::List(items) => Item::list(items.iter().map(plain).collect()),
        Value::Null => Item::Nil,
        Value::Number(number) => {
            let digits = number.as_str();
            if let Ok(number) = digits.parse::<i32>() {
                Item::i32(number)
            } else if let Ok(number) = digits.parse::<i64>() {
                Item::Integer(Integer::I64, number.into())
            } else {
                Item::Text(digits.to_owned())
            }
        }
        Value::Table(members) => Item::table(
            members
                .iter()
                .map(|(key, value)| (key.clone(), plain(value)))
                .collect(),
        ),
        Value::Text(text) => Item::text(text.as_str()),
    }
}

/// The pipeline ran to its end.
pub(super) fn completed() -> Item {
    state(4)
}

/// The pipeline was stopped.
pub(super) fn stopped() -> Item {
    state(3)
}

fn state(number: i32) -> Item {
    Item::of_properties([("PipelineState", Item::i32(number))])
}

/// The pipeline failed, for the reason in `text`.
pub(super) fn failed(failure: Failure, text: &str) -> Item {
    const FAILED: i32 = 5;
    Item::of_properties([
        ("PipelineState", Item::i32(FAILED)),
        ("ExceptionAsErrorRecord", record(failure.shape(), text)),
    ])
}

/// An error of the client's own, in answer to a question of the server.
pub(super) fn client_error(text: &str) -> Item {
    record(("ClientError", "NotSpecified", 0, "Exception"), text)
}

/// An error record: its id, the category's name and number, and the exception.
fn record((id, category, number, exception): (&str, &str, i32, &str), text: &str) -> Item {
    let class = format!("System.{exception}");
    let exception_object = Wrapped {
        types: types(&[&class, "System.Exception", "System.Object"]),
        shown: None,
        adapted: vec![
            ("Message".to_owned(), Item::text(text)),
            ("Data".to_owned(), Item::Nil),
            ("HelpLink".to_owned(), Item::Nil),
            ("HResult".to_owned(), Item::i32(-2_147_024_891)),
            ("InnerException".to_owned(), Item::Nil),
            ("Source".to_owned(), Item::Nil),
            ("StackTrace".to_owned(), Item::Nil),
            ("TargetSite".to_owned(), Item::Nil),
        ],
        extended: Vec::new(),
        base: Base::Nothing,
    };
    let record = Wrapped {
        types: types(&["System.Management.Automation.ErrorRecord", "System.Object"]),
        shown: Some(text.to_owned()),
        adapted: Vec::new(),
        extended: vec![
            (
                "Exception".to_owned(),
                Item::Object(Box::new(exception_object)),
            ),
            ("TargetObject".to_owned(), Item::Nil),
            ("FullyQualifiedErrorId".to_owned(), Item::text(id)),
            ("InvocationInfo".to_owned(), Item::Nil),
            ("ErrorCategory_Category".to_owned(), Item::i32(number)),
            ("ErrorCategory_Activity".to_owned(), Item::Nil),
            ("ErrorCategory_Reason".to_owned(), Item::text(exception)),
            ("ErrorCategory_TargetName".to_owned(), Item::Nil),
            ("ErrorCategory_TargetType".to_owned(), Item::Nil),
            (
                "ErrorCategory_Message".to_owned(),
                Item::Text(format!("{category} (:) [], {exception}")),
            ),
            ("SerializeExtendedInfo".to_owned(), Item::Bool(false)),
        ],
        base: Base::Nothing,
    };
    Item::Object(Box::new(record))
}

/// A gateway cmdlet among the server's commands.
pub(super) fn metadata(cmdlet: &OwnCmdlet) -> Item {
    let OwnCmdlet { name, parameters } = cmdlet;
    let parameters = parameters.iter().map(|OwnParameter { name, kind }| {
        let class = match kind {
            OwnParameterKind::Switch => "System.Management.Automation.SwitchParameter",
            OwnParameterKind::Value => "System.Object",
        };
        let object = Wrapped {
            types: types(&[
                "System.Management.Automation.ParameterMetadata",
                "System.Object",
            ]),
            shown: None,
            adapted: vec![
                ("Name".to_owned(), Item::text(name.as_str())),
                ("ParameterType".to_owned(), Item::text(class)),
                ("ParameterSets".to_owned(), Item::table(Vec::new())),
                ("Aliases".to_owned(), Item::list(Vec::new())),
                ("IsDynamic".to_owned(), Item::Bool(false)),
                (
                    "SwitchParameter".to_owned(),
                    Item::Bool(*kind == OwnParameterKind::Switch),
                ),
                ("Attributes".to_owned(), Item::list(Vec::new())),
            ],
            extended: Vec::new(),
            base: Base::Nothing,
        };
        (name.as_str().to_owned(), Item::Object(Box::new(object)))
    });
    let parameters = Item::table(parameters.collect());
    let kind = Item::enumeration("System.Management.Automation.CommandTypes", "Cmdlet", 8);
    typed(
        &[
            "Selected.System.Management.Automation.CmdletInfo",
            "System.Management.Automation.PSCustomObject",
            "System.Object",
        ],
        vec![
            ("Name".to_owned(), Item::text(name.as_str())),
            ("Namespace".to_owned(), Item::text("Portcullis")),
            ("HelpUri".to_owned(), Item::text("")),
            ("CommandType".to_owned(), kind),
            ("ResolvedCommandName".to_owned(), Item::Nil),
            ("OutputType".to_owned(), Item::list(Vec::new())),
            ("Parameters".to_owned(), parameters),
        ],
    )
}

fn typed(names: &[&str], extended: Vec<(String, Item)>) -> Item {
    Item::Object(Box::new(Wrapped {
        types: types(names),
        ..Wrapped::of_properties(extended)
    }))
}

fn types(names: &[&str]) -> Arc<[String]> {
    names.iter().map(|it| (*it).to_owned()).collect()
}
