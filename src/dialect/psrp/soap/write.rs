//! Envelopes of our own: one spelling, all namespaces at the root, nothing that was not understood.

use std::fmt::Write as _;
use std::time::Duration;

use uuid::Uuid;

use crate::dialect::psrp::binary;
use crate::dialect::psrp::xml::escape;

use super::{
    ADDRESSING, ANONYMOUS, CommandState, ENVELOPE, FAULT, Fault, MICROSOFT, Operation, POWERSHELL,
    Received, Request, Response, SHELL, Signal, TRANSFER, WSMAN,
};

/// Who the envelope goes to or comes from.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'a> {
    /// The URL: the server's in a request, the gateway's in an answer.
    pub url: &'a str,
    /// The configuration, such as `Microsoft.Exchange`.
    pub configuration: &'a str,
    /// The host's name that faults show.
    pub machine: &'a str,
    /// Whose shell it is, in the answer to Create.
    pub owner: &'a str,
}

/// Writes a request to the server.
pub fn write_request(request: &Request, peer: &Peer<'_>) -> Vec<u8> {
    /// What the server may answer with if the client does not say: the size that Windows asks for.
    const MAX_ENVELOPE: u32 = 512_000;
    let Request {
        frame,
        shell,
        operation,
    } = request;
    let mut out = Writer::new();
    out.element("a:To", peer.url);
    let resource = format!("{POWERSHELL}/{}", peer.configuration);
    out.marked("w:ResourceURI", &resource);
    out.raw("<a:ReplyTo>");
    out.marked("a:Address", ANONYMOUS);
    out.raw("</a:ReplyTo>");
    out.marked("a:Action", &operation.action());
    let size = frame.max_envelope.unwrap_or(MAX_ENVELOPE).to_string();
    out.marked("w:MaxEnvelopeSize", &size);
    out.element("a:MessageID", &wire_id(frame.message));
    for (tag, language) in [
        ("w:Locale", &frame.locale),
        ("p:DataLocale", &frame.data_locale),
    ] {
        if let Some(language) = language {
            out.raw(&format!("<{tag} s:mustUnderstand=\"false\" xml:lang=\""));
            out.text(language);
            out.raw("\"/>");
        }
    }
    if let Some(session) = frame.session {
        out.raw("<p:SessionId s:mustUnderstand=\"false\">");
        out.raw(&wire_id(session));
        out.raw("</p:SessionId>");
    }
    if let Some((name, value)) = option(operation) {
        out.raw("<w:OptionSet s:mustUnderstand=\"true\"><w:Option Name=\"");
        out.raw(name);
        out.raw("\" MustComply=\"true\">");
        out.text(value);
        out.raw("</w:Option></w:OptionSet>");
    }
    let shell = shell_id(*shell);
    if !matches!(operation, Operation::Create { .. }) {
        out.raw(&selector(&shell));
    }
    if let Some(timeout) = frame.timeout {
        out.element("w:OperationTimeout", &duration(timeout));
    }
    out.body();
    match operation {
        Operation::Command { command, arguments } => {
            let command = shell_id(*command);
            out.raw(&format!(
                "<rsp:CommandLine CommandId=\"{command}\"><rsp:Command/>"
            ));
            out.element("rsp:Arguments", &binary::encode(arguments));
            out.raw("</rsp:CommandLine>");
        }
        Operation::Create { creation, .. } => {
            let creation = binary::encode(creation);
            out.raw(&format!(
                "<rsp:Shell ShellId=\"{shell}\"><rsp:InputStreams>stdin pr</rsp:InputStreams>\
                 <rsp:OutputStreams>stdout</rsp:OutputStreams>\
                 <creationXml xmlns=\"{POWERSHELL}\">{creation}</creationXml></rsp:Shell>"
            ));
        }
        Operation::Delete => {}
        Operation::Receive { command, .. } => {
            out.raw("<rsp:Receive><rsp:DesiredStream");
            out.command(*command);
            out.raw(">stdout</rsp:DesiredStream></rsp:Receive>");
        }
        Operation::Send {
            command,
            stream,
            data,
        } => {
            out.raw(&format!("<rsp:Send><rsp:Stream Name=\"{}\"", stream.name()));
            out.command(*command);
            out.raw(">");
            out.raw(&binary::encode(data));
            out.raw("</rsp:Stream></rsp:Send>");
        }
        Operation::Signal { command, signal } => {
            out.raw("<rsp:Signal");
            out.command(Some(*command));
            out.raw(">");
            let code = match signal {
                // As Windows spells it.
                Signal::Stop => "powershell/signal/crtl_c".to_owned(),
                Signal::Terminate => format!("{SHELL}/signal/terminate"),
            };
            out.element("rsp:Code", &code);
            out.raw("</rsp:Signal>");
        }
    }
    out.finish()
}

/// Writes an answer, with an id of its own, to the request `relates`, if that could be read.
pub fn write_response(
    response: &Response,
    message: Uuid,
    relates: Option<Uuid>,
    peer: &Peer<'_>,
) -> Vec<u8> {
    let mut out = Writer::new();
    out.element("a:Action", &response.action());
    out.element("a:MessageID", &wire_id(message));
    out.element("a:To", ANONYMOUS);
    if let Some(relates) = relates {
        out.element("a:RelatesTo", &wire_id(relates));
    }
    out.body();
    match response {
        Response::Created { shell } => created(&mut out, *shell, peer),
        Response::Deleted => {}
        Response::Fault(fault) => write_fault(&mut out, fault, peer),
        Response::Received(received) => write_received(&mut out, received),
        Response::Sent => out.raw("<rsp:SendResponse/>"),
        Response::Signalled => out.raw("<rsp:SignalResponse/>"),
        Response::Started { command } => {
            out.raw("<rsp:CommandResponse>");
            out.element("rsp:CommandId", &shell_id(*command));
            out.raw("</rsp:CommandResponse>");
        }
    }
    out.finish()
}

fn option(operation: &Operation) -> Option<(&'static str, &str)> {
    match operation {
        Operation::Command { .. } => Some(("WINRS_SKIP_CMD_SHELL", "FALSE")),
        Operation::Create { protocol, .. } => protocol.as_deref().map(|it| ("protocolversion", it)),
        Operation::Receive {
            keep_alive: true, ..
        } => Some(("WSMAN_CMDSHELL_OPTION_KEEPALIVE", "TRUE")),
        Operation::Delete
        | Operation::Receive { .. }
        | Operation::Send { .. }
        | Operation::Signal { .. } => None,
    }
}

fn created(out: &mut Writer, shell: Uuid, peer: &Peer<'_>) {
    let shell = shell_id(shell);
    let resource = format!("{POWERSHELL}/{}", peer.configuration);
    out.raw(&format!("<x:ResourceCreated xmlns:x=\"{TRANSFER}\">"));
    out.element("a:Address", peer.url);
    out.raw("<a:ReferenceParameters>");
    out.element("w:ResourceURI", &resource);
    out.raw(&selector(&shell));
    out.raw("</a:ReferenceParameters></x:ResourceCreated><rsp:Shell>");
    out.element("rsp:ShellId", &shell);
    out.element("rsp:ResourceUri", &resource);
    out.element("rsp:Owner", peer.owner);
    out.raw(
        "<rsp:InputStreams>stdin pr</rsp:InputStreams><rsp:OutputStreams>stdout</rsp:OutputStreams>\
         <rsp:CompressionMode>NoCompression</rsp:CompressionMode><rsp:State>Connected</rsp:State></rsp:Shell>",
    );
}

fn write_received(out: &mut Writer, received: &Received) {
    let Received { output, state } = received;
    out.raw("<rsp:ReceiveResponse>");
    for (command, data) in output {
        out.raw("<rsp:Stream Name=\"stdout\"");
        out.command(*command);
        out.raw(">");
        out.raw(&binary::encode(data));
        out.raw("</rsp:Stream>");
    }
    if let Some((command, state)) = state {
        let state = match state {
            CommandState::Done => "Done",
            CommandState::Running => "Running",
        };
        out.raw("<rsp:CommandState");
        out.command(Some(*command));
        out.raw(&format!(" State=\"{SHELL}/CommandState/{state}\"/>"));
    }
    out.raw("</rsp:ReceiveResponse>");
}

fn write_fault(out: &mut Writer, fault: &Fault, peer: &Peer<'_>) {
    let Fault {
        code,
        subcode,
        text,
    } = fault;
    out.raw(&format!(
        "<s:Fault><s:Code><s:Value>s:{}</s:Value><s:Subcode><s:Value>{}:{}</s:Value></s:Subcode></s:Code>\
         <s:Reason><s:Text xml:lang=\"en-US\">",
        subcode.side(),
        subcode.prefix(),
        subcode.name()
    ));
    out.text(text);
    out.raw(&format!(
        "</s:Text></s:Reason><s:Detail><f:WSManFault xmlns:f=\"{FAULT}\" Code=\"{code}\" Machine=\""
    ));
    out.text(peer.machine);
    out.raw("\">");
    out.element("f:Message", text);
    out.raw("</f:WSManFault></s:Detail></s:Fault>");
}

fn selector(shell: &str) -> String {
    format!("<w:SelectorSet><w:Selector Name=\"ShellId\">{shell}</w:Selector></w:SelectorSet>")
}

/// Clients compare ids with their case.
fn shell_id(id: Uuid) -> String {
    id.hyphenated().to_string().to_ascii_uppercase()
}

fn wire_id(id: Uuid) -> String {
    format!("uuid:{}", shell_id(id))
}

fn duration(time: Duration) -> String {
    format!("PT{}.{:03}S", time.as_secs(), time.subsec_millis())
}

struct Writer(String);

impl Writer {
    fn new() -> Self {
        Self(format!(
            "<s:Envelope xmlns:s=\"{ENVELOPE}\" xmlns:a=\"{ADDRESSING}\" xmlns:w=\"{WSMAN}\" \
             xmlns:p=\"{MICROSOFT}\" xmlns:rsp=\"{SHELL}\"><s:Header>"
        ))
    }

    fn body(&mut self) {
        self.raw("</s:Header><s:Body>");
    }

    fn finish(mut self) -> Vec<u8> {
        self.raw("</s:Body></s:Envelope>");
        self.0.into_bytes()
    }

    fn element(&mut self, tag: &str, text: &str) {
        // Writing to a string does not fail.
        let _ = write!(self.0, "<{tag}>");
        escape(text, &mut self.0);
        let _ = write!(self.0, "</{tag}>");
    }

    /// An element that the server must understand.
    fn marked(&mut self, tag: &str, text: &str) {
        let _ = write!(self.0, "<{tag} s:mustUnderstand=\"true\">");
        escape(text, &mut self.0);
        let _ = write!(self.0, "</{tag}>");
    }

    fn command(&mut self, command: Option<Uuid>) {
        if let Some(command) = command {
            let _ = write!(self.0, " CommandId=\"{}\"", shell_id(command));
        }
    }

    fn text(&mut self, text: &str) {
        escape(text, &mut self.0);
    }

    fn raw(&mut self, text: &str) {
        self.0.push_str(text);
    }
}
