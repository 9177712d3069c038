//! Free ports of this host.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, TcpListener};

use super::config::PortRange;
use super::error::{Failure, Outcome};

/// Gives out ports that nobody listens on and that were not given out before.
#[derive(Debug)]
pub(crate) struct Allocator {
    range: Option<PortRange>,
    taken: BTreeSet<u16>,
}

/// How often the host is asked for a port before we give up.
const ASKS_MAX: usize = 256;

impl Allocator {
    /// `taken` are the ports that other workloads hold, listening or not.
    pub(crate) const fn new(range: Option<PortRange>, taken: BTreeSet<u16>) -> Self {
        Self { range, taken }
    }

    /// Keeps `port` when it is still free, otherwise gives another one.
    pub(crate) fn keep_or_pick(&mut self, address: IpAddr, port: Option<u16>) -> Outcome<u16> {
        if let Some(port) = port
            && !self.taken.contains(&port)
            && self.is_free(address, port)
        {
            self.taken.insert(port);
            return Ok(port);
        }
        self.pick(address)
    }

    fn pick(&mut self, address: IpAddr) -> Outcome<u16> {
        let found = match self.range {
            Some(range) => (range.first..=range.last)
                .find(|port| !self.taken.contains(port) && self.is_free(address, *port)),
            None => (0..ASKS_MAX)
                .filter_map(|_| TcpListener::bind((address, 0)).ok()?.local_addr().ok())
                .map(|bound| bound.port())
                .find(|port| !self.taken.contains(port) && self.is_free(address, *port)),
        };
        let Some(port) = found else {
            let message = format!("no free port is left on {address}");
            return Err(Failure::unavailable(message));
        };
        self.taken.insert(port);
        Ok(port)
    }

    /// Free on the address and on every address: a service may listen on either.
    fn is_free(&self, address: IpAddr, port: u16) -> bool {
        TcpListener::bind((address, port)).is_ok() && TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn a_port_is_given_once_and_kept_while_it_is_free() {
        let mut allocator = Allocator::new(None, BTreeSet::new());
        let port = allocator.keep_or_pick(HERE, None).unwrap();
        assert_ne!(allocator.keep_or_pick(HERE, Some(port)).unwrap(), port);
        let mut another = Allocator::new(None, BTreeSet::new());
        assert_eq!(another.keep_or_pick(HERE, Some(port)).unwrap(), port);
    }

    #[test]
    fn a_port_somebody_listens_on_is_not_given() {
        let foreign = TcpListener::bind((HERE, 0)).unwrap();
        let port = foreign.local_addr().unwrap().port();
        let range = Some(PortRange {
            first: port,
            last: port,
        });
        let mut allocator = Allocator::new(range, BTreeSet::new());
        assert!(allocator.keep_or_pick(HERE, Some(port)).is_err());
    }
}
