//! Exemptions and persons: whose account is whose, and within which bounds.

use super::*;

#[test]
fn an_exemption_holds_within_all_of_its_bounds() {
    let set = load(GOOD);
    let exempt = |account: &str, task: &str, source: &str, now: &str| {
        let source: IpAddr = source.parse().unwrap();
        let now: DateTime<Utc> = now.parse().unwrap();
        set.exemption(&principal(account), &task.parse().unwrap(), source, now)
            .is_some()
    };
    let (account, task) = ("SYS1@fabrikam.example", r"exchange\new-mailbox");
    let (source, now) = ("10.20.255.255", "2027-03-31T23:59:59.999Z");
    assert!(exempt(account, task, source, now));
    assert!(exempt(account, task, "::ffff:10.20.0.1", now));
    assert!(exempt(account, task, "2001:db8::1", now));
    assert!(!exempt("sys2@fabrikam.example", task, source, now));
    assert!(!exempt(account, r"exchange\new-mailboxes", source, now));
    assert!(!exempt(account, r"other\new-mailbox", source, now));
    assert!(!exempt(account, task, "10.21.0.0", now));
    assert!(!exempt(account, task, "2001:db8::2", now));
    assert!(!exempt(account, task, source, "2027-04-01T00:00:00Z"));
}

#[test]
fn any_exemption_of_an_account_may_hold_and_a_key_is_an_account() {
    let text = |account: &str, task: &str| {
        format!(
            "[[exemption]]\naccount = '{account}'\nowner = 'o'\nreason = 'r'\ntasks = ['X\\{task}']\n"
        )
    };
    let set = load(&(text("sys", "Get-A") + &text("SYS", "Get-B") + &text("sys-key", "Get-C")));
    let exempt = |task: &str| {
        let source = "10.0.0.1".parse().unwrap();
        set.exemption(
            &principal("sys"),
            &task.parse().unwrap(),
            source,
            DateTime::UNIX_EPOCH,
        )
        .map(|it| it.place.line)
    };
    assert_eq!(
        [r"X\Get-A", r"X\Get-B", r"X\Get-C", r"X\Get-D"].map(exempt),
        [Some(1), Some(6), Some(11), None]
    );
}

#[test]
fn accounts_of_a_person_are_that_person() {
    let set = load(
        "[[person]]\nname = 'Amy'\naccounts = ['amy@x', 'adm-amy@x', 'key-amy']\n\
         [[person]]\nname = 'Bo'\naccounts = ['bo@x', 'adm-bo@x']\n",
    );
    let same = |one: &str, key: &str, name: &str| set.is_same_person(&principal(one), key, name);
    assert!(same("AMY@x", "k", "Adm-Amy@x"), "two names of one person");
    assert!(
        same("amy@x", "key-amy", "whoever"),
        "a key of the same person"
    );
    assert!(same("zed@x", "k", "ZED@x"), "the same name");
    assert!(same("zed@x", "zed@x-key", "other"), "the same key");
    assert!(!same("amy@x", "k", "bo@x"));
    assert!(!same("zed@x", "k", "zad@x"));
    assert_eq!(set.person("key-amy", "").unwrap().name, "Amy");
    assert!(set.person("k", "zed@x").is_none());
}

#[test]
fn a_name_that_reads_like_a_key_is_neither_the_exempt_account_nor_the_person_with_it() {
    let key = "0a0a@7b1c9a10-0000-4000-8000-000000000001";
    let set = load(&format!(
        "[[exemption]]\naccount = '{key}'\nowner = 'o'\nreason = 'r'\n\
         [[person]]\nname = 'Amy'\naccounts = ['{key}', 'amy@x']\n\
         [[group]]\nname = 'g'\nmembers = ['{key}']\n"
    ));
    let exempt = |who: &Principal| {
        let (task, source) = (r"X\Get-A".parse().unwrap(), "10.0.0.1".parse().unwrap());
        set.exemption(who, &task, source, DateTime::UNIX_EPOCH)
            .is_some()
    };
    let called_so = Principal {
        key: "eve@https://other.example".to_owned(),
        ..principal(key)
    };
    let group = set.group("g").unwrap();
    assert!(!exempt(&called_so) && !group.has(&called_so));
    assert!(set.person(&called_so.key, &called_so.name).is_none());
    assert!(!set.is_same_person(&called_so, "k", "amy@x"));
    let owner = Principal {
        key: key.to_uppercase(),
        ..principal("amy@x")
    };
    assert!(exempt(&owner) && group.has(&owner));
    assert!(set.is_same_person(&owner, "k", "amy@x"));
}

#[test]
fn no_account_is_written_with_characters_that_nobody_sees() {
    let told = problems(
        &[
            "[[person]]\nname = 'Amy'\naccounts = ['amy@x\u{200b}', 'adm-amy@x']\n\
           [[group]]\nname = 'g'\nmembers = ['b\u{ad}o@x']\n\
           [[exemption]]\naccount = 'sys\u{e0041}'\nowner = 'o'\nreason = 'it\u{a0}is'\n",
        ],
        None,
    );
    for line in [
        "a.toml:3: an account has a character that nobody sees",
        "a.toml:6: a member has a character that nobody sees",
        "a.toml:8: `account` has a character that nobody sees",
    ] {
        assert!(told.contains(line), "{told}");
    }
    assert!(!told.contains("`reason`"), "{told}");
}
