//! Names: what listings teach, what is left over, and what is refused whatever a policy says.

use crate::model::{OwnCmdlet, OwnParameter, OwnParameterKind, Spelling};

use super::*;

/// A listing's word on a command: its parameters, each with its aliases.
fn listed(command: &str, parameters: &[(&str, &[&str])]) -> Item {
    let parameter = |(name, aliases): &(&str, &[&str])| {
        let aliases = aliases.iter().map(|it| text(it)).collect();
        let value = Item::of_properties([
            ("Name", text(name)),
            ("SwitchParameter", Item::Bool(false)),
            ("Aliases", Item::list(aliases)),
        ]);
        ((*name).to_owned(), value)
    };
    Item::of_properties([
        ("Name", text(command)),
        (
            "Parameters",
            Item::table(parameters.iter().map(parameter).collect()),
        ),
    ])
}

fn learnt(listings: &[Item]) -> Catalogue {
    let mut catalogue = Catalogue::default();
    for item in listings {
        catalogue.add(item).unwrap();
    }
    catalogue
}

/// The names of the parameters of `Set-It`, and those that could be aliases, in brackets.
fn judged(catalogue: &Catalogue, given: &[&str]) -> String {
    let arguments: Vec<_> = given.iter().map(|it| (Some(*it), text("x"))).collect();
    let read = read(&message(vec![command("Set-It", &arguments)]), catalogue);
    match read.and_then(|it| it.commands()) {
        Ok(commands) => {
            let [command] = &commands[..] else {
                panic!("one command");
            };
            let names =
                command
                    .parameters
                    .iter()
                    .map(|it| match command.parameters.spelling(&it.name) {
                        Spelling::AsWritten => format!("[{}]", it.name),
                        Spelling::Whole => it.name.to_string(),
                    });
            names.collect::<Vec<_>>().join(" ")
        }
        Err(error) => reason(&error),
    }
}

#[test]
fn a_name_that_no_listing_taught_could_be_an_alias() {
    let nothing = Catalogue::default();
    assert_eq!(
        judged(&nothing, &["Identity", "ForwardTo"]),
        "[Identity] [ForwardTo]"
    );
    let known = learnt(&[listed(
        "Set-It",
        &[
            ("Identity", &[]),
            ("Forwarding", &["ForwardTo", "Redirect"]),
        ],
    )]);
    assert_eq!(
        judged(&known, &["identity", "FORWARDTO"]),
        "Identity Forwarding"
    );
    assert_eq!(judged(&known, &["Redir", "ident"]), "[Redir] [ident]");
    assert_eq!(judged(&known, &["Identity", "Other"]), "Identity [Other]");
    // What is left to the server when the arguments are written `-Name`, `value` is marked as well.
    let dashed = [(Some("-Other"), Item::Nil)];
    let pipeline = read(&message(vec![command("Set-It", &dashed)]), &known).unwrap();
    let commands = pipeline.commands().unwrap();
    assert_eq!(commands[0].parameters.unresolved().len(), 1);
}

#[test]
fn common_parameters_are_known_without_a_listing() {
    let nothing = Catalogue::default();
    assert_eq!(
        judged(&nothing, &["ea", "ErrorAction", "cf"]),
        "- parameter-twice"
    );
    assert_eq!(
        judged(&nothing, &["ea", "WARNINGACTION", "ov", "wi"]),
        "ErrorAction WarningAction OutVariable WhatIf"
    );
}

#[test]
fn a_listing_takes_nothing_back_that_another_taught() {
    let whole = || {
        listed(
            "Set-It",
            &[("Identity", &["Id"]), ("Forwarding", &["ForwardTo"])],
        )
    };
    let shorter = || listed("set-it", &[("Identity", &[])]);
    let given = ["Id", "ForwardTo"];
    for listings in [[whole(), shorter()], [shorter(), whole()]] {
        let known = learnt(&listings);
        assert_eq!(known.len(), 1);
        assert_eq!(judged(&known, &given), "Identity Forwarding");
    }
    assert_eq!(judged(&learnt(&[shorter()]), &given), "[Id] [ForwardTo]");
}

#[test]
fn where_listings_contradict_each_other_the_name_is_not_known() {
    let one = listed("Set-It", &[("One", &["Both"]), ("Two", &[])]);
    let two = listed("Set-It", &[("One", &[]), ("Two", &["Both"])]);
    let known = learnt(&[one, two]);
    assert_eq!(judged(&known, &["Both"]), "[Both]");
    assert_eq!(judged(&known, &["One", "Two"]), "One Two");
    let renamed = [
        listed("Set-It", &[("Old", &[])]),
        listed("Set-It", &[("New", &["Old"])]),
    ];
    assert_eq!(judged(&learnt(&renamed), &["Old"]), "[Old]");
    let alias = |target: &str| {
        Item::of_properties([("Name", text("si")), ("ResolvedCommandName", text(target))])
    };
    let outcome =
        |catalogue: &Catalogue| outcome_with(&message(vec![command("si", &[])]), catalogue);
    assert_eq!(
        outcome(&learnt(&[alias("Set-It"), alias("set-it")])),
        "Set-It"
    );
    assert_eq!(
        outcome(&learnt(&[alias("Set-It"), alias("Set-Other")])),
        "- command-contradicted"
    );
}

/// A listing that does not show all parameters says nothing of those that it does not show.
#[test]
fn no_listing_completes_names_or_places_values() {
    let first = Item::of_properties([("Position", Item::i32(0))]);
    let shown_first = Item::of_properties([
        ("Name", text("Company")),
        ("SwitchParameter", Item::Bool(false)),
        (
            "ParameterSets",
            Item::table(vec![("Default".to_owned(), first)]),
        ),
    ]);
    let less = Item::of_properties([
        ("Name", text("Set-It")),
        (
            "Parameters",
            Item::table(vec![("Company".to_owned(), shown_first)]),
        ),
    ]);
    let known = learnt(&[less, listed("Set-It", &[("PhoneticDisplayName", &[])])]);
    assert_eq!(judged(&known, &["Phone"]), "[Phone]");
    let sent = message(vec![command("Set-It", &[(None, text("x"))])]);
    assert_eq!(
        outcome_with(&sent, &known),
        "Set-It UnnamedArgument1=x (unknown)"
    );
    let written = |item: &Item| clixml::write(&read(item, &known).unwrap().write());
    assert!(
        written(&sent).contains(r#"<Nil N="N"/><S N="V">x</S>"#),
        "{}",
        written(&sent)
    );
    // The gateway knows all of its own.
    let own = [OwnCmdlet {
        name: "New-ElevatedAccessRequest".parse().unwrap(),
        parameters: vec![OwnParameter {
            name: "Reason".parse().unwrap(),
            kind: OwnParameterKind::Value,
        }],
    }];
    let own = Catalogue::default().with_own(&own);
    let begun = [(Some("Reas"), text("x"))];
    assert_eq!(
        outcome_with(
            &message(vec![command("New-ElevatedAccessRequest", &begun)]),
            &own
        ),
        "New-ElevatedAccessRequest Reason=x"
    );
}

/// What is decided on of a command of this name: the cmdlet, and whether it could be an alias.
fn cmdlet(catalogue: &Catalogue, name: &str) -> String {
    let read = read(&message(vec![command(name, &[])]), catalogue);
    match read.and_then(|it| it.commands()) {
        Ok(commands) => match commands[0].parameters.cmdlet() {
            CmdletIs::Known => commands[0].task.cmdlet.to_string(),
            CmdletIs::PerhapsAlias => format!("{}?", commands[0].task.cmdlet),
        },
        Err(error) => reason(&error),
    }
}

#[test]
fn a_command_that_no_listing_taught_could_be_an_alias() {
    let alias = |name: &str, target: Item| {
        Item::of_properties([
            ("Name", text(name)),
            ("CommandType", Item::enumeration("CommandTypes", "Alias", 1)),
            ("ResolvedCommandName", target),
        ])
    };
    let nothing = Catalogue::default();
    assert_eq!(cmdlet(&nothing, "Purge-Box"), "Purge-Box?");
    assert_eq!(cmdlet(&nothing, "measure-OBJECT"), "measure-OBJECT");
    assert_eq!(
        cmdlet(&nothing, "Get-ElevatedAccessRequest"),
        "Get-ElevatedAccessRequest"
    );
    let known = learnt(&[
        listed("Set-It", &[]),
        alias("Purge-Box", text("Set-It")),
        alias("Split-Box", text("Set-It")),
        alias("Split-Box", text("Get-It")),
        alias("Lost-Box", Item::Nil),
        alias("Odd-Box", text(r"Module\Set-It")),
        alias("Second-Box", text("Purge-Box")),
    ]);
    assert_eq!(cmdlet(&known, "set-it"), "Set-It");
    assert_eq!(cmdlet(&known, "Purge-Box"), "Set-It");
    for name in ["Split-Box", "Lost-Box", "Odd-Box", "Second-Box"] {
        assert_eq!(cmdlet(&known, name), "- command-contradicted", "{name}");
    }
    assert_eq!(cmdlet(&known, "Other-Box"), "Other-Box?");
}

#[test]
fn what_listings_teach_is_bounded() {
    let names: Vec<String> = (0..600).map(|it| format!("P{it}")).collect();
    let parameters: Vec<(&str, &[&str])> = names.iter().map(|it| (it.as_str(), &[][..])).collect();
    let (first, second) = parameters.split_at(300);
    let known = learnt(&[listed("Set-It", first), listed("Set-It", second)]);
    assert_eq!(judged(&known, &["P0", "P511", "P512"]), "P0 P511 [P512]");
    let aliases: Vec<String> = (0..20).map(|it| format!("A{it}")).collect();
    let aliases: Vec<&str> = aliases.iter().map(String::as_str).collect();
    let (first, second) = aliases.split_at(10);
    let known = learnt(&[
        listed("Set-It", &[("One", first)]),
        listed("Set-It", &[("One", second)]),
    ]);
    assert_eq!(judged(&known, &["A15"]), "One");
    assert_eq!(judged(&known, &["A16"]), "[A16]");
    let mut full = Catalogue::default();
    for number in 0..8192 {
        full.add(&listed(&format!("Get-A{number}"), &[])).unwrap();
    }
    assert!(full.add(&listed("Set-It", &[])).is_err());
    // What is there learns on.
    full.add(&listed("Get-A1", &[("One", &[])])).unwrap();
    assert_eq!(full.len(), 8192);
}

#[test]
fn no_listing_gives_a_cmdlet_of_the_gateway_another_meaning() {
    let alias = Item::of_properties([
        ("Name", text("New-ElevatedAccessRequest")),
        ("ResolvedCommandName", text("Set-It")),
    ]);
    let known = learnt(&[alias, listed("Set-It", &[])]);
    let own = message(vec![command("New-ElevatedAccessRequest", &[])]);
    assert_eq!(outcome_with(&own, &known), "New-ElevatedAccessRequest");
}

#[test]
fn cmdlets_and_aliases_that_run_program_text_or_change_names_do_not_pass() {
    let mut refused = 0;
    for name in "Set-Variable New-Variable Tee-Object Invoke-AsWorkflow Invoke-WSManAction New-CimInstance Set-WmiInstance \
        Register-ScheduledTask New-Service Out-File Export-Csv Export-Clixml Import-Clixml Import-LocalizedData Remove-Item Clear-Item \
        Register-PSSessionConfiguration Add-PSSnapin Set-ItemProperty Remove-Alias Export-ModuleMember Import-PowerShellDataFile \
        Register-ArgumentCompleter Set-PSDebug Start-Transcript Enter-PSHostProcess Debug-Runspace Connect-PSSession \
        Receive-PSSession New-PSDrive Add-Member New-Event Use-Transaction Update-List Remove-Module Set-ExecutionPolicy \
        Import-PackageProvider Invoke-CommandInDesktopPackage Start-AppvVirtualProcess Invoke-TroubleshootingPack Invoke-CauRun \
        Add-ClusterGenericScriptRole Set-ClusterParameter Set-BitsTransfer Set-JobTrigger Add-AppxPackage Use-WindowsUnattend \
        New-WebServiceProxy Invoke-WebRequest Invoke-RestMethod Add-History Set-Location Remove-TypeData Save-Module \
        iex icm % ? foreach where sajb sal nal ipal epal ipmo nmo rmo sv nv clv rv set ii saps start sasv tee sc ac ni mi \
        cp copy mv ren rd rm del ri iwr irm curl wget ihy r ipsn epsn etsn nsn asnp rsnp trcm"
        .split_whitespace()
    {
        let outcome = outcome_with(&message(vec![command(name, &[])]), &Catalogue::default());
        let expected = if name.contains('-') {
            "- executing-cmdlet"
        } else {
            "- unknown-command"
        };
        assert_eq!(outcome, expected, "{name}");
        refused += 1;
    }
    assert!(refused > 80);
    // An alias that a listing taught is what it stands for.
    let alias = Item::of_properties([
        ("Name", text("iex")),
        ("ResolvedCommandName", text("Invoke-Expression")),
    ]);
    let known = learnt(&[alias]);
    let outcome = outcome_with(&message(vec![command("iex", &[])]), &known);
    assert_eq!(outcome, "- executing-cmdlet");
    for name in [
        "Get-Mailbox",
        "Select-Object",
        "Measure-Object",
        "Out-Default",
    ] {
        assert_eq!(blind(&message(vec![command(name, &[])])), name);
    }
}

#[test]
fn variables_are_the_clients_own() {
    let of = |name: &str, value: Item| {
        outcome_with(
            &message(vec![command("Get-It", &[(Some(name), value)])]),
            &Catalogue::default(),
        )
    };
    for (name, value) in [
        ("OutVariable", "mine"),
        ("ov", "+mine_2"),
        ("ErrorVariable", "_x"),
        ("OutV", "mine"),
        ("PipelineVariable", "mailbox"),
    ] {
        assert!(
            of(name, text(value)).starts_with("Get-It "),
            "{name} {value}"
        );
    }
    for name in [
        "OutVariable",
        "ov",
        "ev",
        "pv",
        "wv",
        "iv",
        "errorvariable",
        "-PipelineVariable:",
        "OutV",
        "ErrorV",
        "Pip",
        "WarningVariable",
        "InformationVariable",
    ] {
        for value in [
            "PSDefaultParameterValues",
            "+ErrorActionPreference",
            "confirmpreference",
            "WhatIfPreference",
            "MaximumHistoryCount",
            "ExecutionContext",
            "OFS",
            "_",
            "?",
            "global:x",
            "function:Get-It",
            "env:PATH",
            "x*",
            "++x",
            "x y",
            "",
        ] {
            assert_eq!(of(name, text(value)), "- engine-variable", "{name} {value}");
        }
        for value in [Item::i32(1), Item::Nil, Item::list(vec![text("mine")])] {
            let outcome = of(name, value.clone());
            assert_eq!(outcome, "- engine-variable", "{name} {value:?}");
        }
    }
    // The value behind the name.
    let behind = [(Some("-ov"), Item::Nil), (None, text("PSItem"))];
    assert_eq!(
        blind(&message(vec![command("Get-It", &behind)])),
        "- engine-variable"
    );
    let left = [(Some("-OutV"), Item::Nil), (None, text("PSItem"))];
    assert_eq!(
        blind(&message(vec![command("Get-It", &left)])),
        "- engine-variable"
    );
    // A parameter that is known to be another is another.
    let known = learnt(&[listed("Set-It", &[("Out", &[]), ("P", &[])])]);
    assert_eq!(judged(&known, &["P", "Out"]), "P Out");
}
