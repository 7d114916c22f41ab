//! Tests of pipelines: which commands come out, what is written again, and what is refused beside a control that is not.

mod names;
mod values;

use std::fmt::Write as _;

use crate::dialect::psrp::clixml::{self, Base, Object};

use super::*;

fn text(text: &str) -> Item {
    Item::text(text)
}

fn command(name: &str, arguments: &[(Option<&str>, Item)]) -> Item {
    flagged(name, false, arguments)
}

fn flagged(name: &str, is_script: bool, arguments: &[(Option<&str>, Item)]) -> Item {
    let arguments = arguments.iter().map(|(name, value)| {
        Item::of_properties([("N", name.map_or(Item::Nil, text)), ("V", value.clone())])
    });
    Item::of_properties([
        ("Cmd", text(name)),
        ("IsScript", Item::Bool(is_script)),
        ("UseLocalScope", Item::Nil),
        ("Args", Item::list(arguments.collect())),
    ])
}

fn host() -> Item {
    Item::of_properties([
        ("_isHostNull", Item::Bool(true)),
        ("_isHostUINull", Item::Bool(true)),
        ("_isHostRawUINull", Item::Bool(true)),
        ("_useRunspaceHost", Item::Bool(true)),
    ])
}

fn power_shell(commands: Vec<Item>, extra: Item, is_nested: bool) -> Item {
    Item::of_properties([
        ("NoInput", Item::Bool(true)),
        ("HostInfo", host()),
        (
            "PowerShell",
            Item::of_properties([
                ("Cmds", Item::list(commands)),
                ("ExtraCmds", extra),
                ("IsNested", Item::Bool(is_nested)),
            ]),
        ),
    ])
}

fn message(commands: Vec<Item>) -> Item {
    power_shell(commands, Item::Nil, false)
}

/// The server knows `Get-Mailbox` with `Identity` (first) and `Archive` (a switch), `Set-Mailbox`, and an alias.
fn catalogue() -> Catalogue {
    let parameter = |name: &str, is_switch: bool, position: i32| {
        let set = Item::of_properties([("Position", Item::i32(position))]);
        let sets = Item::table(vec![("Default".to_owned(), set)]);
        let value = Item::of_properties([
            ("Name", text(name)),
            ("SwitchParameter", Item::Bool(is_switch)),
            ("Aliases", Item::list(vec![text(&format!("{name}Alias"))])),
            ("ParameterSets", sets),
        ]);
        (name.to_owned(), value)
    };
    let mut catalogue = Catalogue::new(Coverage::All);
    for name in ["Get-Mailbox", "Set-Mailbox"] {
        let parameters = vec![
            parameter("Identity", false, 0),
            parameter("Archive", true, -1),
            parameter("ArchiveName", false, -1),
        ];
        let item = Item::of_properties([
            ("Name", text(name)),
            ("Parameters", Item::table(parameters)),
        ]);
        catalogue.add(&item).unwrap();
    }
    let alias = Item::of_properties([
        ("Name", text("gmbx")),
        ("ResolvedCommandName", text("Get-Mailbox")),
    ]);
    catalogue.add(&alias).unwrap();
    assert_eq!(catalogue.len(), 2);
    catalogue
}

fn shown(judged: &[Command]) -> String {
    let one = |it: &Command| {
        let mut out = it.task.cmdlet.to_string();
        for parameter in &it.parameters {
            write!(out, " {}={}", parameter.name, parameter.value.display()).unwrap();
        }
        if it.parameters.names() != Names::Known {
            out.push_str(" (unknown)");
        }
        out
    };
    judged.iter().map(one).collect::<Vec<_>>().join(" ; ")
}

fn read(item: &Item, catalogue: &Catalogue) -> Result<Pipeline, PipelineError> {
    // As it comes over the wire.
    let item = clixml::read(&clixml::write(item)).unwrap();
    Pipeline::read(&item, &"Exchange".parse().unwrap(), catalogue)
}

fn outcome_with(item: &Item, catalogue: &Catalogue) -> String {
    match read(item, catalogue) {
        Ok(pipeline) => {
            let judged = pipeline.commands();
            // What is written is decided on as what was read.
            let again = read(&pipeline.write(), catalogue).unwrap();
            assert_eq!(again.commands(), judged);
            assert_eq!(again.write(), pipeline.write());
            judged.map_or_else(|error| reason(&error), |it| shown(&it))
        }
        Err(error) => reason(&error),
    }
}

fn reason(error: &PipelineError) -> String {
    match error {
        PipelineError::Malformed(it) => format!("! {}", it.reason),
        PipelineError::Refused(it) => format!("- {}", it.reason),
    }
}

fn outcome(item: &Item) -> String {
    outcome_with(item, &catalogue())
}

fn blind(item: &Item) -> String {
    outcome_with(item, &Catalogue::default())
}

fn named(name: &str) -> String {
    outcome(&message(vec![command(name, &[])]))
}

fn script(script: &str) -> String {
    outcome(&message(vec![flagged(script, true, &[])]))
}

#[test]
fn names_of_commands_become_the_servers() {
    for name in [
        "Get-Mailbox",
        "get-MAILBOX",
        r"Microsoft.Exchange\get-mailbox",
        "gmbx",
        "GMBX",
        "mailbox",
    ] {
        assert_eq!(named(name), "Get-Mailbox", "{name}");
    }
    assert_eq!(
        named("New-ElevatedAccessRequest"),
        "New-ElevatedAccessRequest"
    );
    for name in [
        "Get-Nonsense",
        "Nonsense",
        r"Evil\Get-Mailbox",
        r"Microsoft.Exchange\Evil\Get-Mailbox",
        "Get\u{2013}Mailbox",
        "Get-Mailbox ",
        "Get-Mailbox;Remove-Mailbox",
        "&",
        "C:/x.ps1",
        "",
    ] {
        assert!(
            named(name).starts_with("- unknown-"),
            "{name}: {}",
            named(name)
        );
    }
    let alone = |name: &str| blind(&message(vec![command(name, &[])]));
    assert_eq!(alone("remove-mailbox"), "remove-mailbox");
    assert_eq!(alone("mailbox"), "- unknown-command");
    assert_eq!(alone("Remove_x002D_Mailbox"), "- unknown-command");
}

#[test]
fn what_runs_program_text_is_refused() {
    for name in [
        "Invoke-Expression",
        "invoke-command",
        "Set-Alias",
        "ForEach-Object",
    ] {
        let item = message(vec![command(
            name,
            &[(Some("Command"), text("Get-Mailbox"))],
        )]);
        assert_eq!(blind(&item), "- executing-cmdlet", "{name}");
    }
    let block = Item::ScriptBlock("x".to_owned());
    for value in [block.clone(), Item::list(vec![block])] {
        let item = message(vec![command("Get-Mailbox", &[(Some("Filter"), value)])]);
        assert_eq!(outcome(&item), "- script-block");
    }
    assert_eq!(
        outcome(&power_shell(
            vec![command("Get-Mailbox", &[])],
            Item::Nil,
            true
        )),
        "- nested-pipeline"
    );
}

#[test]
fn forms_of_parameters_become_one() {
    let forms: &[&[(Option<&str>, Item)]] = &[
        &[(Some("Identity"), text("x"))],
        &[(Some("iDENTITY"), text("x"))],
        &[(Some("-Identity"), Item::Nil), (None, text("x"))],
        &[(Some("-Identity:"), text("x"))],
        &[(Some("-Identity: "), text("x"))],
        &[(Some("ident"), text("x"))],
        &[(Some("-ident"), Item::Nil), (None, text("x"))],
        &[(Some("IdentityAlias"), text("x"))],
        &[(None, text("x"))],
    ];
    for form in forms {
        let item = message(vec![command("Get-Mailbox", form)]);
        assert_eq!(outcome(&item), "Get-Mailbox Identity=x", "{form:?}");
        let written = clixml::write(&read(&item, &catalogue()).unwrap().write());
        assert!(
            written.contains(r#"<S N="N">Identity</S><S N="V">x</S>"#),
            "{written}"
        );
    }
    let of = |arguments: &[(Option<&str>, Item)]| {
        outcome(&message(vec![command("Get-Mailbox", arguments)]))
    };
    // A switch takes no value, so what follows it is the identity.
    assert_eq!(
        of(&[(Some("-Archive"), Item::Nil), (None, text("x"))]),
        "Get-Mailbox Archive=True Identity=x"
    );
    assert_eq!(
        of(&[(Some("WhatIf"), Item::Nil)]),
        "Get-Mailbox WhatIf=True"
    );
    assert_eq!(
        of(&[(Some("-Confirm:"), Item::Bool(false))]),
        "Get-Mailbox Confirm=False"
    );
    // Refused: look-alike dashes, two names for one parameter, beginnings of two, a name without value.
    assert_eq!(
        of(&[(Some("\u{2013}Identity:"), text("x"))]),
        "- parameter-name"
    );
    assert_eq!(
        of(&[(Some("Identity"), text("x")), (Some("-ident:"), text("y"))]),
        "- parameter-twice"
    );
    assert_eq!(of(&[(Some("Arch"), text("x"))]), "- parameter-ambiguous");
    assert_eq!(
        of(&[(Some("-Identity"), Item::Nil)]),
        "- parameter-without-value"
    );
    assert_eq!(of(&[(Some("-?"), Item::Nil)]), "- parameter-name");
    // Left to the server, and marked.
    assert_eq!(
        of(&[(None, text("x")), (None, text("y"))]),
        "Get-Mailbox UnnamedArgument1=x UnnamedArgument2=y (unknown)"
    );
}

#[test]
fn without_metadata_what_could_be_two_things_is_marked() {
    let of = |arguments: &[(Option<&str>, Item)]| {
        blind(&message(vec![command("Get-Mailbox", arguments)]))
    };
    assert_eq!(
        of(&[(Some("Identity"), text("x"))]),
        "Get-Mailbox Identity=x"
    );
    assert_eq!(
        of(&[(None, text("x"))]),
        "Get-Mailbox UnnamedArgument1=x (unknown)"
    );
    assert_eq!(
        of(&[(Some("-Force"), Item::Nil), (None, text("x"))]),
        "Get-Mailbox Force=@{PossibleValue=x} (unknown)"
    );
    assert_eq!(of(&[(Some("-Force"), Item::Nil)]), "Get-Mailbox Force=True");
    assert_eq!(
        of(&[(Some("UnnamedArgument1"), text("y")), (None, text("x"))]),
        "- parameter-twice"
    );
}

#[test]
fn every_command_of_every_statement_is_decided_on() {
    let get = || command("Get-Mailbox", &[(Some("Identity"), text("x"))]);
    let set = || command("Set-Mailbox", &[]);
    assert_eq!(
        outcome(&message(vec![get(), set()])),
        "Get-Mailbox Identity=x ; Set-Mailbox PipelineInput=$null (unknown)"
    );
    let statement = |commands| Item::of_properties([("Cmds", Item::list(commands))]);
    let extra = Item::list(vec![statement(vec![get()]), statement(vec![set()])]);
    assert_eq!(
        outcome(&power_shell(vec![get()], extra.clone(), false)),
        "Get-Mailbox Identity=x ; Set-Mailbox"
    );
    // `ExtraCmds` is what runs: it must begin with what `Cmds` shows.
    assert_eq!(
        outcome(&power_shell(vec![set()], extra, false)),
        "! pipeline-shape"
    );
    let own = || command("New-ElevatedAccessRequest", &[]);
    assert_eq!(
        outcome(&message(vec![get(), own()])),
        "- gateway-cmdlet-in-pipe"
    );
}

#[test]
fn piped_values_are_decided_on_before_they_pass() {
    let pipeline = read(&message(vec![command("Set-Mailbox", &[])]), &catalogue()).unwrap();
    let with = |pipeline: &Pipeline, items: &[Item]| pipeline.commands_with_input(items);
    let (judged, items) = with(&pipeline, &[text("x")]).unwrap();
    assert_eq!(shown(&judged), "Set-Mailbox PipelineInput=x (unknown)");
    assert_eq!(items, [text("x")]);
    let (judged, items) = with(&pipeline, &[text("x"), text("y")]).unwrap();
    assert_eq!(judged.len(), 1, "many values are one decision");
    let piped = judged[0].parameters.get(PIPELINE_INPUT);
    assert_eq!(
        piped,
        Some(&Value::List(vec![Value::text("x"), Value::text("y")]))
    );
    assert_eq!(items, [text("x"), text("y")]);
    let block = Item::ScriptBlock("x".to_owned());
    assert!(with(&pipeline, &[text("x"), block]).is_err());
    let mailbox = Item::Object(Box::new(Object {
        types: ["Deserialized.Microsoft.Exchange.Data.Directory.Management.Mailbox".to_owned()]
            .into(),
        shown: Some("other".to_owned()),
        adapted: Vec::new(),
        extended: vec![
            ("Identity".to_owned(), text("corp/x")),
            ("SerializationData".to_owned(), Item::Bytes(vec![1])),
        ],
        base: Base::Nothing,
    }));
    let (judged, items) = with(&pipeline, &[mailbox]).unwrap();
    assert_eq!(shown(&judged), "Set-Mailbox PipelineInput=corp/x (unknown)");
    assert_eq!(items, [text("corp/x")]);
}

#[test]
fn values_are_made_plain() {
    let of = |value: Item| {
        let item = message(vec![command("Set-Mailbox", &[(Some("Identity"), value)])]);
        outcome(&item).replacen("Set-Mailbox Identity=", "", 1)
    };
    let object = |class: &str, base, properties: Vec<(String, Item)>| {
        Item::Object(Box::new(Object {
            types: [class.to_owned()].into(),
            shown: Some("decoy".to_owned()),
            adapted: properties,
            extended: Vec::new(),
            base,
        }))
    };
    assert_eq!(of(Item::i32(5)), "5");
    assert_eq!(of(Item::Double("1.5".to_owned())), "1.5");
    assert_eq!(of(Item::Bytes(vec![0, 255])), "bytes:AP8=");
    assert_eq!(of(Item::Secure("AAAA".to_owned())), "[redacted]");
    assert_eq!(of(Item::list(vec![text("a"), Item::Nil])), "a,$null");
    assert_eq!(
        of(Item::table(vec![("Add".to_owned(), text("a"))])),
        "@{Add=a}"
    );
    assert_eq!(of(Item::enumeration("X", "decoy", 3)), "3");
    assert_eq!(
        of(object("System.String", Base::Scalar(text("a")), vec![])),
        "a"
    );
    let switch = vec![("IsPresent".to_owned(), Item::Bool(true))];
    assert_eq!(
        of(object(
            "System.Management.Automation.SwitchParameter",
            Base::Nothing,
            switch
        )),
        "True"
    );
    let credential = vec![
        ("UserName".to_owned(), text("u")),
        ("Password".to_owned(), Item::Secure("AAAA".to_owned())),
    ];
    assert_eq!(
        of(object(
            "System.Management.Automation.PSCredential",
            Base::Nothing,
            credential
        )),
        "@{UserName=u; Password=[redacted]}"
    );
    let properties = || vec![("Command".to_owned(), text("x"))];
    for odd in [
        object(
            "System.Diagnostics.ProcessStartInfo",
            Base::Nothing,
            properties(),
        ),
        object("System.String", Base::Scalar(text("a")), properties()),
        object(
            "Deserialized.Microsoft.Exchange.Data.X",
            Base::Nothing,
            properties(),
        ),
        Item::table(vec![("@x".to_owned(), text("a"))]),
        Item::Xml("<a/>".to_owned()),
    ] {
        assert_eq!(of(odd.clone()), "- value", "{odd:?}");
    }
}

#[test]
fn simple_scripts_become_commands() {
    for (sent, read) in [
        ("Get-Mailbox -Identity x", "Get-Mailbox Identity=x"),
        (
            "get-mailbox anna@corp.example",
            "Get-Mailbox Identity=anna@corp.example",
        ),
        (
            "Get-Mailbox -Identity 'a ''b'';|$x'",
            "Get-Mailbox Identity=a 'b';|$x",
        ),
        ("Get-Mailbox -Identity:5;", "Get-Mailbox Identity=5"),
        (
            "Get-Mailbox -Archive x",
            "Get-Mailbox Archive=True Identity=x",
        ),
        (
            "Get-Mailbox -Confirm:$false -Identity -5",
            "Get-Mailbox Confirm=False Identity=-5",
        ),
        (
            "Get-Mailbox x |\r\n Set-Mailbox -ArchiveName 'a b'; Get-Mailbox y\n",
            "Get-Mailbox Identity=x ; Set-Mailbox ArchiveName=a b PipelineInput=$null (unknown) ; Get-Mailbox Identity=y",
        ),
    ] {
        assert_eq!(script(sent), read, "{sent}");
    }
    assert_eq!(script("Invoke-Expression 'x'"), "- executing-cmdlet");
}

#[test]
fn all_other_scripts_are_refused() {
    for sent in [
        "",
        ";",
        "& Get-Mailbox",
        "& ('Remove-'+'Mailbox') x",
        ". Get-Mailbox",
        "Get-Mailbox $x",
        "Get-Mailbox (Get-Date)",
        "Get-Mailbox {x}",
        "Get-Mailbox @x",
        "Get-Mailbox \"x\"",
        "Get-Mailbox 'x",
        "Get-Mailbox 'x'y",
        "Get-Mailbox x,y",
        "Get-Mailbox x > y",
        "Get-Mailbox |",
        "| Get-Mailbox",
        "Get-Mailbox || Set-Mailbox",
        "Get-Mailbox && Set-Mailbox",
        "Get-Mail`box",
        "Get-Mailbox # x",
        "Get-Mailbox \u{2013}Identity x",
        "Get-Mailbox\u{a0}x",
        "Get-Mailbox 'x\u{2019}; Remove-Mailbox y'",
        "Get-Mailbox 10kb",
        "Get-Mailbox 0x10",
        "Get-Mailbox 007",
        "Get-Mailbox -Identity:",
        "'Get-Mailbox'",
        "if ($true) { Get-Mailbox }",
        "$x = 1",
    ] {
        assert!(
            script(sent).starts_with("- script"),
            "{sent}: {}",
            script(sent)
        );
    }
    let among = vec![
        command("Get-Mailbox", &[]),
        flagged("Set-Mailbox", true, &[]),
    ];
    assert_eq!(outcome(&message(among)), "- script-in-pipe");
    let with_arguments = flagged("Get-Mailbox", true, &[(None, text("x"))]);
    assert_eq!(outcome(&message(vec![with_arguments])), "- script");
}

#[test]
fn other_shapes_are_refused() {
    let control = clixml::write(&message(vec![command("Get-Mailbox", &[])]));
    let of = |from: &str, to: &str| {
        assert!(control.contains(from), "{from}");
        let sent = clixml::read(&control.replacen(from, to, 1)).unwrap();
        let workload = "Exchange".parse().unwrap();
        match Pipeline::read(&sent, &workload, &catalogue()) {
            Ok(pipeline) => shown(&pipeline.commands().unwrap()),
            Err(error) => reason(&error),
        }
    };
    assert_eq!(of("Cmd", "Cmd"), "Get-Mailbox");
    for (from, to) in [
        (r#"N="Cmds""#, r#"N="cmds""#),
        (r#"N="Cmd""#, r#"N="cmd""#),
        (r#"<S N="Cmd">"#, r#"<S N="Extra"/><S N="Cmd">"#),
        (r#"<S N="Cmd">Get-Mailbox</S>"#, ""),
        (r#"<S N="Cmd">Get-Mailbox</S>"#, r#"<Nil N="Cmd"/>"#),
        (r#"<B N="IsScript">false</B>"#, ""),
        (
            r#"<B N="IsScript">false</B>"#,
            r#"<S N="IsScript">false</S>"#,
        ),
        ("<LST>", "<STK>"),
    ] {
        let to_list = |text: &str| text.replace("</LST>", "</STK>");
        let outcome = if to == "<STK>" {
            let sent = clixml::read(&to_list(&control.replace("<LST>", "<STK>"))).unwrap();
            let workload = "Exchange".parse().unwrap();
            reason(&Pipeline::read(&sent, &workload, &catalogue()).unwrap_err())
        } else {
            of(from, to)
        };
        assert_eq!(outcome, "! pipeline-shape", "{from} -> {to}");
    }
}
