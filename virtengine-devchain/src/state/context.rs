//! What a rule sees while it runs: the state, the block, the gas meter and the events so far.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use crate::genesis::Rules;
use crate::state::event::Event;
use crate::state::failure::Failure;
use crate::state::gas::{self, GasMeter};
use crate::state::store::{Overlay, View as _};
use crate::state::time::BlockTime;

/// The context of a transaction, a query or the end of a block.
pub(crate) struct Context<'a> {
    pub(crate) store: Overlay<'a>,
    pub(crate) gas: GasMeter,
    pub(crate) events: Vec<Event>,
    pub(crate) height: i64,
    pub(crate) time: BlockTime,
    pub(crate) rules: Arc<Rules>,
}

fn size(a: usize, b: usize) -> u64 {
    u64::try_from(a.saturating_add(b)).unwrap_or(u64::MAX)
}

impl Context<'_> {
    pub(crate) fn emit(&mut self, event: Event) {
        self.events.push(event);
    }

    pub(crate) fn read(&mut self, key: &[u8]) -> Result<Option<Bytes>, Failure> {
        self.gas.consume(gas::READ_FLAT, "ReadFlat")?;
        let value = self.store.get(key);
        let len = value.as_ref().map_or(0, Bytes::len);
        self.gas
            .consume(gas::READ_BYTE.saturating_mul(size(key.len(), len)), "ReadPerByte")?;
        Ok(value)
    }

    pub(crate) fn write(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<(), Failure> {
        self.gas.consume(gas::WRITE_FLAT, "WriteFlat")?;
        self.gas.consume(
            gas::WRITE_BYTE.saturating_mul(size(key.len(), value.len())),
            "WritePerByte",
        )?;
        self.store.set(key, Some(value.into()));
        Ok(())
    }

    pub(crate) fn delete(&mut self, key: Vec<u8>) -> Result<(), Failure> {
        self.gas.consume(gas::DELETE, "Delete")?;
        self.store.set(key, None);
        Ok(())
    }

    /// The record at `key`.
    pub(crate) fn load<M: Message + Default>(&mut self, key: &[u8]) -> Result<Option<M>, Failure> {
        self.read(key)?.map(|bytes| decode(&bytes)).transpose()
    }

    pub(crate) fn save<M: Message>(&mut self, key: Vec<u8>, record: &M) -> Result<(), Failure> {
        self.write(key, record.encode_to_vec())
    }

    /// All records whose key starts with `prefix`.
    pub(crate) fn list<M: Message + Default>(&mut self, prefix: &[u8]) -> Result<Vec<M>, Failure> {
        self.list_raw(prefix)?.iter().map(|bytes| decode(bytes)).collect()
    }

    /// The same, not decoded.
    pub(crate) fn list_raw(&mut self, prefix: &[u8]) -> Result<Vec<Bytes>, Failure> {
        let mut out = Vec::new();
        for (key, value) in self.store.scan(prefix) {
            self.gas.consume(gas::ITERATE, "IterNextFlat")?;
            self.gas.consume(
                gas::READ_BYTE.saturating_mul(size(key.len(), value.len())),
                "ValuePerByte",
            )?;
            out.push(value);
        }
        Ok(out)
    }

    /// The next number of the sequence `name`, starting at 1.
    pub(crate) fn next_number(&mut self, name: &str) -> Result<u64, Failure> {
        let key = crate::state::keys::named("sequence", name);
        let last = self
            .read(&key)?
            .and_then(|b| b.as_ref().try_into().ok().map(u64::from_be_bytes))
            .unwrap_or(0);
        let next = last.saturating_add(1);
        self.write(key, next.to_be_bytes().to_vec())?;
        Ok(next)
    }

    /// Runs `work` in its own layer: kept if it succeeds, dropped with its events if not.
    pub(crate) fn atomically<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let events = self.events.len();
        self.store.open();
        let result = work(self);
        if result.is_ok() {
            self.store.keep();
        } else {
            self.store.drop_layer();
            self.events.truncate(events);
        }
        result
    }
}

pub(crate) fn decode<M: Message + Default>(bytes: &Bytes) -> Result<M, Failure> {
    M::decode(bytes.as_ref()).map_err(|e| Failure::panic(format!("corrupt record: {e}")))
}
