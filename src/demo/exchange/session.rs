//! The calls with which a client sets up its session (exchange-rest section 5.1): they run no cmdlet.

use bytes::Bytes;
use http::{Response, StatusCode, header};

use super::answer::{json, set, table, with_status};
use super::catalogue::Cmdlet;
use super::place::Place;
use crate::model::Value;

const METADATA: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?><edmx:Edmx Version=\"4.0\" xmlns:edmx=\"http://docs.oasis-open.org/odata/ns/edmx\">\
     <edmx:DataServices><Schema Namespace=\"Exchange\" xmlns=\"http://docs.oasis-open.org/odata/ns/edm\">\
     <ComplexType Name=\"GenericHashTable\" OpenType=\"true\"/>\
     <Action Name=\"InvokeCommand\"><ReturnType Type=\"Collection(Exchange.GenericHashTable)\"/></Action>\
     </Schema></edmx:DataServices></edmx:Edmx>";

/// The answer to a session call; `None` if `place` is none.
pub(super) fn answer(place: &Place, base: &str) -> Option<Response<Bytes>> {
    let call = match place.rest.as_slice() {
        [] => "",
        [call] => call.split_once('(').map_or(call.as_str(), |(call, _)| call),
        _ => return None,
    };
    let context = |of: &str| {
        (
            "@odata.context",
            Value::Text(format!("{base}/$metadata#{of}")),
        )
    };
    let value = match call.to_lowercase().as_str() {
        "" => {
            let sets = ["Mailbox", "Recipient"].map(|name| {
                table(&[
                    ("name", Value::text(name)),
                    ("kind", Value::text("EntitySet")),
                    ("url", Value::text(name)),
                ])
            });
            let value = ("value", Value::List(sets.into()));
            table(&[
                ("@odata.context", Value::Text(format!("{base}/$metadata"))),
                value,
            ])
        }
        "$metadata" => {
            let mut answer = with_status(StatusCode::OK, Bytes::from_static(METADATA.as_bytes()));
            set(
                &mut answer,
                header::CONTENT_TYPE.as_str(),
                "application/xml",
            );
            return Some(answer);
        }
        "basicinfo" => table(&[
            context("BasicInfo/$entity"),
            ("Name", Value::text("AdminApiState")),
            ("Value", Value::text("Active")),
        ]),
        "exobanner" => table(&[
            context("Exchange.EXOBanner"),
            (
                "moduleBannerContent",
                Value::text("The sample organisation of Portcullis."),
            ),
            ("sessionType", Value::text("AutogenSession")),
        ]),
        "exohelpfile" => table(&[context("EXOHelpFile"), ("value", Value::List(Vec::new()))]),
        "exomodulefile" => {
            let file = table(&[
                ("fileName", Value::text("tmpEXO_sample.psm1")),
                (
                    "fileContent",
                    Value::text("# The sample endpoint has no module to load."),
                ),
                ("exportedCmdlets", Value::Text(Cmdlet::exported())),
            ]);
            let value = ("value", Value::List(vec![file]));
            let mut answer = json(StatusCode::OK, &table(&[context("EXOModuleFile"), value]));
            set(&mut answer, "x-clientconfigurations", "{}");
            return Some(answer);
        }
        _ => return None,
    };
    Some(json(StatusCode::OK, &value))
}
