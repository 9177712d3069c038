use std::sync::Mutex;
use std::time::Duration;

use virtengine_provider_core::ports::clock::Clock;
use virtengine_provider_core::time::Timestamp;

/// A clock that is set by hand.
#[derive(Debug)]
pub(crate) struct TestClock(Mutex<Timestamp>);

impl TestClock {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Timestamp::from_seconds(1_700_000_000)))
    }

    pub(crate) fn advance(&self, by: Duration) {
        let mut now = self.0.lock().unwrap();
        *now = now.plus(by);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}
