//! The `psrp` dialect: PowerShell remoting as Exchange Server speaks it, PSRP inside WS-Management SOAP.

pub mod answer;
mod binary;
pub mod clixml;
pub mod fragment;
pub mod message;
pub mod pipeline;
pub mod session;
pub mod soap;
mod xml;
