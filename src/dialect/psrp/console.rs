//! Values of a client's console, as they go upstream: its sizes and colours, arguments of its pool, answers to questions.
//!
//! They are none of a command's parameters, so nobody decides on them; what makes them harmless is that they are written
//! again **without types**. A server makes objects of its own types from what carries their names and its own serialised
//! form, and both are left out or refused here. Only a credential keeps its type: a name and a secure string.

use std::sync::Arc;

use super::clixml::{Base, Item, Object};
use super::pipeline::credential;

/// The value without types; `None` if it is program text, bytes, XML or an object of the server's own.
pub(super) fn untyped(item: &Item) -> Option<Item> {
    let object = match item {
        Item::Object(object) | Item::Shared(object) => object,
        Item::Bool(_)
        | Item::Char(_)
        | Item::DateTime(_)
        | Item::Decimal(_)
        | Item::Double(_)
        | Item::Duration(_)
        | Item::Guid(_)
        | Item::Integer(..)
        | Item::Nil
        | Item::Secure(_)
        | Item::Single(_)
        | Item::Text(_)
        | Item::Uri(_)
        | Item::Version(_) => return Some(item.clone()),
        Item::Bytes(_) | Item::Progress(_) | Item::ScriptBlock(_) | Item::Xml(_) => return None,
    };
    if !object.adapted.is_empty() {
        return credential(object);
    }
    let pair = |(key, value): &(Item, Item)| Some((untyped(key)?, untyped(value)?));
    let base = match &object.base {
        Base::Dictionary(pairs) => Base::Dictionary(pairs.iter().map(pair).collect::<Option<_>>()?),
        Base::List(kind, items) => {
            Base::List(*kind, items.iter().map(untyped).collect::<Option<_>>()?)
        }
        Base::Nothing => Base::Nothing,
        Base::Scalar(item) => Base::Scalar(untyped(item)?),
    };
    let property = |(name, value): &(String, Item)| Some((name.clone(), untyped(value)?));
    let extended = object.extended.iter().map(property);
    Some(Item::Object(Box::new(Object {
        types: Arc::from([]),
        shown: None,
        adapted: Vec::new(),
        extended: extended.collect::<Option<_>>()?,
        base,
    })))
}

/// Whether there is a table in it, at any depth: what names values, as parameters are named.
pub(super) fn has_table(item: &Item) -> bool {
    let Some(object) = item.as_object() else {
        return false;
    };
    let is_inside = match &object.base {
        Base::Dictionary(_) => true,
        Base::List(_, items) => items.iter().any(has_table),
        Base::Nothing => false,
        Base::Scalar(item) => has_table(item),
    };
    is_inside || object.extended.iter().any(|it| has_table(&it.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_found_at_any_depth() {
        let table = || typed("x", Vec::new(), Base::Dictionary(Vec::new()));
        let inside = typed("x", vec![("size".to_owned(), table())], Base::Nothing);
        for with in [table(), inside, Item::list(vec![Item::i32(1), table()])] {
            assert!(has_table(&with), "{with:?}");
        }
        for without in [Item::i32(1), Item::list(vec![Item::text("a")])] {
            assert!(!has_table(&without), "{without:?}");
        }
    }

    fn typed(class: &str, extended: Vec<(String, Item)>, base: Base) -> Item {
        Item::Object(Box::new(Object {
            types: [class.to_owned()].into(),
            shown: Some("x".to_owned()),
            adapted: Vec::new(),
            extended,
            base,
        }))
    }

    fn types_of(item: &Item) -> usize {
        let Some(object) = item.as_object() else {
            return 0;
        };
        let inner: usize = match &object.base {
            Base::Dictionary(pairs) => pairs
                .iter()
                .map(|it| types_of(&it.0) + types_of(&it.1))
                .sum(),
            Base::List(_, items) => items.iter().map(types_of).sum(),
            Base::Nothing => 0,
            Base::Scalar(item) => types_of(item),
        };
        let properties: usize = object.extended.iter().map(|it| types_of(&it.1)).sum();
        object.types.len() + inner + properties
    }

    #[test]
    fn types_are_left_out_at_every_depth() {
        let inner = typed(
            "Microsoft.Exchange.Data.X",
            Vec::new(),
            Base::Scalar(Item::i32(1)),
        );
        let outer = typed(
            "System.Exception",
            vec![("width".to_owned(), inner.clone())],
            Base::Dictionary(vec![(Item::i32(9), inner.clone()), (inner, Item::Nil)]),
        );
        let plain = untyped(&outer).unwrap();
        assert_eq!((types_of(&outer), types_of(&plain)), (4, 0));
        assert_eq!(plain.as_object().unwrap().shown, None);
        assert_eq!(untyped(&plain), Some(plain.clone()), "and nothing else");
    }

    #[test]
    fn a_servers_own_serialised_form_and_program_text_are_refused() {
        for value in [
            Item::Bytes(vec![1]),
            Item::ScriptBlock("Get-Mailbox".to_owned()),
            Item::Xml("<a/>".to_owned()),
        ] {
            let property = vec![("SerializationData".to_owned(), value.clone())];
            assert_eq!(
                untyped(&typed("System.Object", property, Base::Nothing)),
                None
            );
            assert_eq!(untyped(&Item::list(vec![value.clone()])), None);
            assert_eq!(untyped(&value), None);
        }
    }

    #[test]
    fn of_adapted_properties_only_a_credential_is_known() {
        let object = |class: &str, adapted: Vec<(&str, Item)>| {
            let adapted = adapted.into_iter().map(|it| (it.0.to_owned(), it.1));
            Item::Object(Box::new(Object {
                types: [class.to_owned()].into(),
                shown: None,
                adapted: adapted.collect(),
                extended: Vec::new(),
                base: Base::Nothing,
            }))
        };
        let credential = || {
            vec![
                ("UserName", Item::text("ana")),
                ("Password", Item::Secure("AAAA".to_owned())),
            ]
        };
        let class = "System.Management.Automation.PSCredential";
        assert!(untyped(&object(class, credential())).is_some());
        assert_eq!(untyped(&object("System.Exception", credential())), None);
        let plain = vec![
            ("UserName", Item::text("ana")),
            ("Password", Item::text("x")),
        ];
        assert_eq!(untyped(&object(class, plain)), None);
    }
}
