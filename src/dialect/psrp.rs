//! The `psrp` dialect: PowerShell remoting as Exchange Server speaks it, PSRP ([MS-PSRP]) inside WS-Management SOAP.
//!
//! From the outside in: [`soap`] reads and writes envelopes, [`fragment`] puts messages together and cuts them, [`message`]
//! says where which may come, [`clixml`] reads and writes their bodies, [`pipeline`] makes commands of them, [`session`] says
//! what a request means in the state that its shell is in, and [`answer`] is what the gateway says itself.
//!
//! # How the hot path uses it (`data::remoting`)
//!
//! It keeps the [`session::Shell`]s by id, each with its owner's key, bounded in number and idle time, and for a request:
//!
//! 1. [`soap::read_head`], then [`soap::read_request`] on the whole body. Whatever is refused here, or by a step, is answered
//!    with [`soap::Fault`]'s `From<&Unreadable>` under status 500; [`Unreadable::reason`] is for the record.
//! 2. Create: [`session::Shell::open`]. All else: find the shell and [`session::Shell::step`]; an unknown one is
//!    [`soap::Fault::unknown`]. Nothing waits while a shell is locked: a step is short, and what it says is carried out after.
//! 3. [`session::Step::Decide`]: `policy::decide` on each command of the subject, all of which must pass. One whose parameters
//!    cannot be told apart says so ([`crate::model::Names`]), and passes no rule on them. [`session::Subject::Listing`] is a
//!    session call. Record, then [`session::Shell::permitted`], [`session::Shell::refused`] with the explanation and the decision's id, or, for [`session::Subject::Own`], run the cmdlet and
//!    [`session::Shell::answered`]. A refusal that must wait for approval is simply not given yet: until then the client's
//!    Receive is [`session::Step::Hold`].
//! 4. [`session::Go`]: each operation goes upstream with [`soap::write_request`] (under an id of its own), its answer comes back through [`soap::read_response`] and [`session::Shell::heard`]; a fault ends it. The client
//!    hears `answer`, or what `heard` made of the last one, from [`soap::write_response`]. How pipelines ended is in
//!    [`session::Shell::take_endings`], and what the server said of its commands in [`session::Shell::take_learned`].
//! 5. [`session::Step::Hold`] ends with [`soap::Fault::timed_out`] after the client's own timeout.
//!
//! One [`pipeline::Catalogue`] per endpoint is learnt from what servers answer; with [`pipeline::Coverage::All`] it is a list of
//! what may run at all.
//!
//! # What is not let through
//!
//! Compression, UTF-16, message-level encryption, sessions that are left and taken up again, other shells and resources,
//! nested pipelines, script blocks, scripts beyond `Name -Parameter 'literal'` pipelines, cmdlets that run program text, objects
//! of the server's own types as values. Each refusal says what to do instead.
//!
//! [MS-PSRP]: https://learn.microsoft.com/openspecs/windows_protocols/ms-psrp/
//! [`Unreadable::reason`]: crate::dialect::Unreadable::reason

pub mod answer;
mod binary;
pub mod clixml;
mod console;
pub mod fragment;
pub mod message;
pub mod pipeline;
pub mod session;
pub mod soap;
mod xml;
