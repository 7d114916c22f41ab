//! The message that runs a pipeline, from what was decided on.

use crate::dialect::psrp::clixml::Item;

use super::{Argument, Input, Invocation, Pipeline, Settings};

pub(super) fn pipeline(pipeline: &Pipeline) -> Item {
    let Pipeline {
        statements,
        input,
        settings,
    } = pipeline;
    let Settings {
        apartment,
        streams,
        add_to_history,
        redirect_errors,
        host,
    } = settings;
    let commands =
        |statement: &Vec<Invocation>| Item::list(statement.iter().map(command).collect());
    let extra = match statements.as_slice() {
        [] | [_] => Item::Nil,
        several => {
            let each = several
                .iter()
                .map(|it| Item::of_properties([("Cmds", commands(it))]));
            Item::list(each.collect())
        }
    };
    let power_shell = Item::of_properties([
        ("Cmds", statements.first().map_or(Item::Nil, commands)),
        ("ExtraCmds", extra),
        ("IsNested", Item::Bool(false)),
        ("History", Item::Nil),
        ("RedirectShellErrorOutputPipe", Item::Bool(*redirect_errors)),
    ]);
    let of = |class: &str, number: i32| {
        let class = format!("System.Management.Automation.{class}");
        Item::enumeration(&class, &number.to_string(), number)
    };
    Item::of_properties([
        ("NoInput", Item::Bool(*input == Input::Absent)),
        ("ApartmentState", of("Runspaces.ApartmentState", *apartment)),
        ("RemoteStreamOptions", of("RemoteStreamOptions", *streams)),
        ("AddToHistory", Item::Bool(*add_to_history)),
        ("HostInfo", host.clone()),
        ("PowerShell", power_shell),
        ("IsNested", Item::Bool(false)),
    ])
}

fn command(invocation: &Invocation) -> Item {
    let Invocation {
        task,
        arguments,
        cmdlet_is: _,
        unresolved: _,
        scope,
        merges,
    } = invocation;
    let mut properties = vec![
        ("Cmd".to_owned(), Item::text(task.cmdlet.as_str())),
        ("IsScript".to_owned(), Item::Bool(false)),
        (
            "UseLocalScope".to_owned(),
            scope.map_or(Item::Nil, Item::Bool),
        ),
    ];
    for (name, number) in merges {
        let class = "System.Management.Automation.Runspaces.PipelineResultTypes";
        let value = Item::enumeration(class, &number.to_string(), *number);
        properties.push(((*name).to_owned(), value));
    }
    let arguments = arguments.iter().map(|argument| {
        let (name, value) = match argument {
            Argument::Named(name, plain) => (Item::text(name.as_str()), plain.item.clone()),
            Argument::NameOnly(name) => (Item::Text(format!("-{name}")), Item::Nil),
            Argument::Unnamed(plain) => (Item::Nil, plain.item.clone()),
        };
        Item::of_properties([("N", name), ("V", value)])
    });
    properties.push(("Args".to_owned(), Item::list(arguments.collect())));
    Item::Object(Box::new(
        crate::dialect::psrp::clixml::Object::of_properties(properties),
    ))
}
