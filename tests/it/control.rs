//! The control listener, as a load balancer and a monitoring system ask it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::gateway::Gateway;

impl Gateway {
    /// Status and body of a path of the control listener.
    pub(crate) fn ask_control(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.control()).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: control\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    /// The value of a series, as the metrics name it with all its labels; 0 if it is not there yet.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let (status, text) = self.ask_control("/metrics");
        assert_eq!(status, 200);
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0.0, |it| it.parse().unwrap())
    }
}
