//! Tests of messages: their bytes, and where which may come.

use proptest::prelude::*;

use super::*;

const POOL: Uuid = Uuid::from_u128(0x2633_1e05_d177_4dde_9d28_2952_16dd_f03a);

fn message(kind: Kind, data: &str) -> Message {
    Message {
        destination: Destination::Server,
        kind,
        pool: POOL,
        pipeline: Uuid::nil(),
        data: data.to_owned(),
    }
}

#[test]
fn the_header_is_little_endian_and_ids_are_dotnets() {
    let bytes = write(&message(Kind::CreatePipeline, "<S/>"));
    let header = [
        2, 0, 0, 0, 0x06, 0x10, 0x02, 0, 0x05, 0x1e, 0x33, 0x26, 0x77, 0xd1, 0xde, 0x4d, 0x9d,
        0x28, 0x29, 0x52, 0x16, 0xdd, 0xf0, 0x3a,
    ];
    assert_eq!(bytes[..24], header);
    assert_eq!(bytes[24..40], [0; 16]);
    assert_eq!(&bytes[40..], b"<S/>");
}

#[test]
fn each_kind_has_a_number_of_its_own() {
    let numbers: std::collections::BTreeSet<_> = Kind::ALL.iter().map(|it| it.number()).collect();
    assert_eq!(numbers.len(), Kind::ALL.len());
}

#[test]
fn pipelines_come_only_where_commands_start() {
    let places = [
        Place::CommandPr,
        Place::CommandStart,
        Place::CommandStdin,
        Place::CreationFirst,
        Place::CreationSecond,
        Place::ShellPr,
        Place::ShellStdin,
    ];
    for place in places {
        let expected = place == Place::CommandStart;
        for kind in [Kind::CreatePipeline, Kind::GetCommandMetadata] {
            let bytes = write(&message(kind, "<Nil/>"));
            let read = read_from_client(&bytes, place, POOL, Some(Uuid::nil()));
            assert_eq!(read.is_ok(), expected, "{kind:?} at {place:?}");
        }
    }
    // What only servers say comes nowhere.
    let said_by_servers = [
        Kind::ConnectRunspacePool,
        Kind::PipelineOutput,
        Kind::PipelineState,
        Kind::UserEvent,
    ];
    for kind in said_by_servers {
        assert!(
            places.iter().all(|place| !kind.may_come(*place)),
            "{kind:?}"
        );
    }
}

#[test]
fn odd_headers_are_refused() {
    let good = write(&message(Kind::PublicKey, "\u{feff}<S/>"));
    assert_eq!(read(&good).unwrap().data, "<S/>");
    let reason = |bytes: &[u8]| read(bytes).unwrap_err().reason;
    assert_eq!(reason(&good[..39]), "message-truncated");
    assert_eq!(reason(&good[..40]), "message-body");
    let changed = |at: usize, to: u8| {
        let mut bytes = good.clone();
        bytes[at] = to;
        bytes
    };
    assert_eq!(reason(&changed(0, 3)), "message-destination");
    // 00010003 and 00041012 are in the enumeration and not in use.
    assert_eq!(reason(&changed(4, 3)), "message-type");
    assert_eq!(reason(&changed(41, 0xff)), "not-utf-8");
    let end = write(&message(Kind::EndOfPipelineInput, "<S/>"));
    assert_eq!(reason(&end), "message-body");
}

#[test]
fn ids_must_be_those_of_shell_and_command() {
    let bytes = write(&message(Kind::PublicKey, "<S/>"));
    let outcome = |bytes: &[u8], pool, pipeline| {
        read_from_client(bytes, Place::ShellStdin, pool, pipeline).map_err(|it| it.reason)
    };
    assert!(outcome(&bytes, POOL, Some(Uuid::nil())).is_ok());
    assert_eq!(outcome(&bytes, Uuid::max(), None), Err("message-ids"));
    assert_eq!(outcome(&bytes, POOL, Some(Uuid::max())), Err("message-ids"));
    let mut to_client = bytes;
    to_client[0] = 1;
    assert_eq!(outcome(&to_client, POOL, None), Err("message-destination"));
}

proptest! {
    #[test]
    fn what_is_written_is_read(index in 0..Kind::ALL.len(), pool: u128, pipeline: u128, data in "[a-z<>é]{1,20}") {
        let kind = Kind::ALL[index];
        let data = if kind == Kind::EndOfPipelineInput { String::new() } else { data };
        let message = Message {
            destination: Destination::Client,
            kind,
            pool: Uuid::from_u128(pool),
            pipeline: Uuid::from_u128(pipeline),
            data,
        };
        prop_assert_eq!(read(&write(&message)).unwrap(), message);
    }

    #[test]
    fn reading_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = read(&bytes);
    }
}
