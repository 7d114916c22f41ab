//! What does not run under any policy: cmdlets that run program text or change what names mean, and parameters that have the
//! engine write to its own variables.
//!
//! A list has gaps: an endpoint that lets pass what no policy governs relies on it, one with `ungoverned = "block"` does not.

use crate::dialect::shown;
use crate::model::{ParameterName, Value};

use super::catalogue::COMMON;
use super::{Argument, PipelineError};

/// Cmdlets of Windows PowerShell 5.1 that run program text (now, on an event, at a time, in another place, by a file that is
/// run later), or change what names mean (of commands, variables, types, drives, modules, sessions).
const CMDLETS: &[&str] = &[
    "Add-AppvClientPackage",
    "Add-AppxPackage",
    "Add-AppxProvisionedPackage",
    "Add-BitsFile",
    "Add-CauClusterRole",
    "Add-ClusterGenericApplicationRole",
    "Add-ClusterGenericScriptRole",
    "Add-ClusterGenericServiceRole",
    "Add-ClusterResource",
    "Add-ClusterResourceType",
    "Add-Content",
    "Add-History",
    "Add-JobTrigger",
    "Add-Member",
    "Add-PrinterDriver",
    "Add-PSSnapin",
    "Add-Type",
    "Clear-Content",
    "Clear-Item",
    "Clear-ItemProperty",
    "Clear-Variable",
    "Complete-BitsTransfer",
    "Complete-Transaction",
    "Compress-Archive",
    "Connect-PSSession",
    "Connect-WSMan",
    "Copy-Item",
    "Copy-ItemProperty",
    "Debug-Job",
    "Debug-Process",
    "Debug-Runspace",
    "Disable-PSRemoting",
    "Disable-PSSessionConfiguration",
    "Disable-RunspaceDebug",
    "Enable-JobTrigger",
    "Enable-PSBreakpoint",
    "Enable-PSRemoting",
    "Enable-PSSessionConfiguration",
    "Enable-RunspaceDebug",
    "Enable-ScheduledJob",
    "Enable-ScheduledTask",
    "Enable-WSManCredSSP",
    "Enter-PSHostProcess",
    "Enter-PSSession",
    "Exit-PSHostProcess",
    "Expand-Archive",
    "Export-Alias",
    "Export-Clixml",
    "Export-Console",
    "Export-Csv",
    "Export-FormatData",
    "Export-ModuleMember",
    "Export-ODataEndpointProxy",
    "Export-PSSession",
    "Export-ScheduledTask",
    "ForEach-Object",
    "Import-Alias",
    "Import-Clixml",
    "Import-LocalizedData",
    "Import-Module",
    "Import-PackageProvider",
    "Import-PowerShellDataFile",
    "Import-PSSession",
    "Install-Module",
    "Install-Package",
    "Install-PackageProvider",
    "Install-Script",
    "Invoke-AsWorkflow",
    "Invoke-CauRun",
    "Invoke-CimMethod",
    "Invoke-Command",
    "Invoke-CommandInDesktopPackage",
    "Invoke-DscResource",
    "Invoke-Expression",
    "Invoke-History",
    "Invoke-Item",
    "Invoke-Pester",
    "Invoke-RestMethod",
    "Invoke-Sqlcmd",
    "Invoke-TroubleshootingPack",
    "Invoke-WebRequest",
    "Invoke-WmiMethod",
    "Invoke-WSManAction",
    "Measure-Command",
    "Move-Item",
    "Move-ItemProperty",
    "New-Alias",
    "New-CimInstance",
    "New-CimSession",
    "New-Event",
    "New-FileCatalog",
    "New-Item",
    "New-ItemProperty",
    "New-JobTrigger",
    "New-Module",
    "New-ModuleManifest",
    "New-Object",
    "New-PSDrive",
    "New-PSRoleCapabilityFile",
    "New-PSSession",
    "New-PSSessionConfigurationFile",
    "New-PSWorkflowSession",
    "New-ScheduledJobOption",
    "New-ScheduledTask",
    "New-ScheduledTaskAction",
    "New-ScriptFileInfo",
    "New-Service",
    "New-Variable",
    "New-WebGlobalModule",
    "New-WebServiceProxy",
    "New-WSManInstance",
    "Out-File",
    "Pop-Location",
    "Publish-AppvClientPackage",
    "Publish-DscConfiguration",
    "Publish-Module",
    "Publish-Script",
    "Push-Location",
    "Receive-PSSession",
    "Register-ArgumentCompleter",
    "Register-CimIndicationEvent",
    "Register-ClusteredScheduledTask",
    "Register-EngineEvent",
    "Register-ObjectEvent",
    "Register-PackageSource",
    "Register-PSRepository",
    "Register-PSSessionConfiguration",
    "Register-ScheduledJob",
    "Register-ScheduledTask",
    "Register-WmiEvent",
    "Remove-Alias",
    "Remove-CimInstance",
    "Remove-Item",
    "Remove-ItemProperty",
    "Remove-Module",
    "Remove-PSDrive",
    "Remove-PSSnapin",
    "Remove-Service",
    "Remove-TypeData",
    "Remove-Variable",
    "Remove-WmiObject",
    "Remove-WSManInstance",
    "Rename-Item",
    "Rename-ItemProperty",
    "Restore-DscConfiguration",
    "Resume-Job",
    "Save-Help",
    "Save-Module",
    "Save-Package",
    "Save-Script",
    "Set-Acl",
    "Set-Alias",
    "Set-AppvClientConfiguration",
    "Set-AuthenticodeSignature",
    "Set-BitsTransfer",
    "Set-CauClusterRole",
    "Set-CimInstance",
    "Set-ClusteredScheduledTask",
    "Set-ClusterParameter",
    "Set-Content",
    "Set-DscLocalConfigurationManager",
    "Set-ExecutionPolicy",
    "Set-Item",
    "Set-ItemProperty",
    "Set-JobTrigger",
    "Set-Location",
    "Set-PackageSource",
    "Set-PSBreakpoint",
    "Set-PSDebug",
    "Set-PSReadlineKeyHandler",
    "Set-PSRepository",
    "Set-PSSessionConfiguration",
    "Set-ScheduledJob",
    "Set-ScheduledTask",
    "Set-Service",
    "Set-StrictMode",
    "Set-TraceSource",
    "Set-Variable",
    "Set-WebGlobalModule",
    "Set-WmiInstance",
    "Set-WSManInstance",
    "Set-WSManQuickConfig",
    "Show-Command",
    "Start-AppvVirtualProcess",
    "Start-BitsTransfer",
    "Start-DscConfiguration",
    "Start-Job",
    "Start-Process",
    "Start-ScheduledTask",
    "Start-Service",
    "Start-ThreadJob",
    "Start-Transaction",
    "Start-Transcript",
    "Tee-Object",
    "Trace-Command",
    "Unblock-File",
    "Undo-Transaction",
    "Uninstall-Module",
    "Uninstall-Package",
    "Uninstall-Script",
    "Unregister-PSSessionConfiguration",
    "Update-DscConfiguration",
    "Update-FormatData",
    "Update-Help",
    "Update-List",
    "Update-Module",
    "Update-ModuleManifest",
    "Update-Script",
    "Update-TypeData",
    "Use-Transaction",
    "Use-WindowsUnattend",
    "Wait-Debugger",
    "Where-Object",
];

/// Variables that the engine reads or keeps, besides those of [`is_of_the_engine`]'s forms.
const VARIABLES: &[&str] = &[
    "_",
    "args",
    "ConsoleFileName",
    "EnabledExperimentalFeatures",
    "Error",
    "ErrorView",
    "Event",
    "EventArgs",
    "EventSubscriber",
    "ExecutionContext",
    "false",
    "foreach",
    "FormatEnumerationLimit",
    "HOME",
    "Host",
    "input",
    "IsCoreCLR",
    "IsLinux",
    "IsMacOS",
    "IsWindows",
    "LastExitCode",
    "Matches",
    "MyInvocation",
    "NestedPromptLevel",
    "null",
    "OFS",
    "OutputEncoding",
    "PID",
    "Profile",
    "PWD",
    "Sender",
    "ShellId",
    "SourceArgs",
    "SourceEventArgs",
    "StackTrace",
    "switch",
    "this",
    "Transcript",
    "true",
];

/// Refuses a cmdlet of this name, if it is one of the list.
pub(super) fn cmdlet(name: &str) -> Result<(), PipelineError> {
    if CMDLETS.iter().any(|it| it.eq_ignore_ascii_case(name)) {
        let text = format!(
            "{name} runs program text or changes what names mean, and is not let through; send the commands by their own names (`Invoke-Command -Session $s {{ Get-Mailbox -Identity 'x' }}`, `AddCommand`)"
        );
        return Err(PipelineError::refused("executing-cmdlet", text));
    }
    Ok(())
}

/// Refuses an argument that has the engine write to anything but an ordinary variable: `OutVariable` and its like, with the
/// name of a variable as their value. A name that could be the beginning of theirs counts as theirs.
pub(super) fn variable(
    argument: &Argument,
    unresolved: &[ParameterName],
) -> Result<(), PipelineError> {
    let (name, value) = match argument {
        Argument::Named(name, plain) => (name, Some(&plain.value)),
        Argument::NameOnly(name) => (name, None),
        Argument::Unnamed(_) => return Ok(()),
    };
    let is_beginning = |full: &str| {
        let start = full.as_bytes().get(..name.as_str().len());
        start.is_some_and(|it| it.eq_ignore_ascii_case(name.as_str().as_bytes()))
    };
    let is_whole = !unresolved.contains(name);
    let is_one = COMMON
        .iter()
        .filter(|it| it.names_variable)
        .any(|it| name.is(it.name) || !is_whole && is_beginning(it.name));
    let is_ordinary = match value {
        Some(Value::Text(text)) => is_ordinary(text),
        Some(
            Value::Bool(_) | Value::List(_) | Value::Null | Value::Number(_) | Value::Table(_),
        )
        | None => false,
    };
    if is_one && !is_ordinary {
        let text = format!(
            "`{}` names a variable, which may only be a plain one of your own (letters, digits, `_`), and none that PowerShell itself reads; write its name in full, with another variable",
            shown(name.as_str())
        );
        return Err(PipelineError::refused("engine-variable", text));
    }
    Ok(())
}

/// Whether it is a plain name, with or without a `+` before it, and not the engine's: no scope, drive or wildcard.
fn is_ordinary(text: &str) -> bool {
    const LONGEST: usize = 64;
    let name = text.strip_prefix('+').unwrap_or(text);
    name.len() <= LONGEST
        && name.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_')
        && name
            .bytes()
            .all(|it| it.is_ascii_alphanumeric() || it == b'_')
        && !is_of_the_engine(name)
}

fn is_of_the_engine(name: &str) -> bool {
    // The last two are Exchange's, which keeps the state of its sessions there.
    const BEGINNINGS: [&str; 8] = [
        "PS",
        "LogCommand",
        "LogEngine",
        "LogProvider",
        "LogSettings",
        "Maximum",
        "AdminSession",
        "Exchange",
    ];
    let name = name.to_ascii_lowercase();
    name.ends_with("preference")
        || BEGINNINGS
            .iter()
            .any(|it| name.starts_with(&it.to_ascii_lowercase()))
        || VARIABLES.iter().any(|it| it.eq_ignore_ascii_case(&name))
}
