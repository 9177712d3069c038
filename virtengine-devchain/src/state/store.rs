//! The committed state as keys and values, its past, and the layers of uncommitted writes above it.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use sha2::{Digest, Sha256};

/// How many past heights can be queried. Older ones are forgotten to bound memory.
pub(crate) const HISTORY_BLOCKS_MAX: usize = 10_000;

/// Uncommitted writes; `None` deletes.
pub(crate) type Writes = BTreeMap<Vec<u8>, Option<Bytes>>;

/// Something that can be read like a state.
pub(crate) trait View {
    fn get(&self, key: &[u8]) -> Option<Bytes>;
    /// Everything whose key starts with `prefix`, in key order.
    fn scan(&self, prefix: &[u8]) -> BTreeMap<Vec<u8>, Bytes>;
}

/// The committed state with enough of its past to answer queries at older heights.
#[derive(Debug, Default, Clone)]
pub(crate) struct Store {
    map: BTreeMap<Vec<u8>, Bytes>,
    /// For each height what the values were before it, newest last.
    past: VecDeque<(u64, Writes)>,
}

impl Store {
    /// Applies the writes of the block at `height`.
    pub(crate) fn commit(&mut self, height: u64, writes: &Writes) {
        let mut before = Writes::new();
        for (key, value) in writes {
            let old = match value {
                Some(value) => self.map.insert(key.clone(), value.clone()),
                None => self.map.remove(key),
            };
            before.insert(key.clone(), old);
        }
        self.past.push_back((height, before));
        if self.past.len() > HISTORY_BLOCKS_MAX {
            self.past.pop_front();
        }
    }

    /// The state as it was after the block at `height`; `None` when that is forgotten.
    pub(crate) fn at(&self, height: u64) -> Option<Past<'_>> {
        let oldest = self.past.front().map_or(0, |(h, _)| h.saturating_sub(1));
        if height < oldest {
            return None;
        }
        let mut changed = Writes::new();
        for (_, before) in self.past.iter().rev().take_while(|(h, _)| *h > height) {
            changed.extend(before.iter().map(|(k, v)| (k.clone(), v.clone())));
        }
        Some(Past { store: self, changed })
    }
}

impl View for Store {
    fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.map.get(key).cloned()
    }

    fn scan(&self, prefix: &[u8]) -> BTreeMap<Vec<u8>, Bytes> {
        self.map
            .range(prefix.to_vec()..)
            .take_while(|(k, _)| k.starts_with(prefix))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    }
}

/// An older state.
#[derive(Debug)]
pub(crate) struct Past<'a> {
    store: &'a Store,
    changed: Writes,
}

impl View for Past<'_> {
    fn get(&self, key: &[u8]) -> Option<Bytes> {
        match self.changed.get(key) {
            Some(value) => value.clone(),
            None => self.store.get(key),
        }
    }

    fn scan(&self, prefix: &[u8]) -> BTreeMap<Vec<u8>, Bytes> {
        let mut found = self.store.scan(prefix);
        lay_over(&mut found, &self.changed, prefix);
        found
    }
}

fn lay_over(found: &mut BTreeMap<Vec<u8>, Bytes>, writes: &Writes, prefix: &[u8]) {
    for (key, value) in writes
        .range(prefix.to_vec()..)
        .take_while(|(k, _)| k.starts_with(prefix))
    {
        match value {
            Some(value) => found.insert(key.clone(), value.clone()),
            None => found.remove(key),
        };
    }
}

/// A view with a stack of write layers: the block, the transaction, the message.
pub(crate) struct Overlay<'a> {
    base: &'a dyn View,
    layers: Vec<Writes>,
}

impl<'a> Overlay<'a> {
    /// Over `base`, starting with the writes made so far.
    pub(crate) fn new(base: &'a dyn View, writes: Writes) -> Self {
        Self {
            base,
            layers: vec![writes],
        }
    }

    /// Opens a layer; what is written from now on can be dropped.
    pub(crate) fn open(&mut self) {
        self.layers.push(Writes::new());
    }

    /// Keeps the newest layer.
    pub(crate) fn keep(&mut self) {
        if self.layers.len() > 1 {
            let top = self.layers.pop().unwrap_or_default();
            if let Some(below) = self.layers.last_mut() {
                below.extend(top);
            }
        }
    }

    /// Drops the newest layer.
    pub(crate) fn drop_layer(&mut self) {
        if self.layers.len() > 1 {
            self.layers.pop();
        }
    }

    pub(crate) fn set(&mut self, key: Vec<u8>, value: Option<Bytes>) {
        if let Some(top) = self.layers.last_mut() {
            top.insert(key, value);
        }
    }

    /// All writes, layers joined.
    pub(crate) fn into_writes(self) -> Writes {
        let mut all = Writes::new();
        for layer in self.layers {
            all.extend(layer);
        }
        all
    }
}

impl View for Overlay<'_> {
    fn get(&self, key: &[u8]) -> Option<Bytes> {
        for layer in self.layers.iter().rev() {
            if let Some(value) = layer.get(key) {
                return value.clone();
            }
        }
        self.base.get(key)
    }

    fn scan(&self, prefix: &[u8]) -> BTreeMap<Vec<u8>, Bytes> {
        let mut found = self.base.scan(prefix);
        for layer in &self.layers {
            lay_over(&mut found, layer, prefix);
        }
        found
    }
}

/// The application hash after a block: the hash before it and everything the block wrote, in key order.
pub(crate) fn app_hash(before: &[u8; 32], writes: &Writes) -> [u8; 32] {
    if writes.is_empty() {
        return *before;
    }
    let mut hash = Sha256::new();
    hash.update(before);
    for (key, value) in writes {
        hash.update((key.len() as u64).to_be_bytes());
        hash.update(key);
        match value {
            Some(value) => {
                hash.update((value.len() as u64).to_be_bytes());
                hash.update(value);
            }
            None => hash.update(u64::MAX.to_be_bytes()),
        }
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writes(items: &[(&str, Option<&str>)]) -> Writes {
        items
            .iter()
            .map(|(k, v)| {
                (
                    k.as_bytes().to_vec(),
                    v.map(|v| Bytes::copy_from_slice(v.as_bytes())),
                )
            })
            .collect()
    }

    #[test]
    fn an_older_height_shows_the_older_values() {
        let mut store = Store::default();
        store.commit(1, &writes(&[("a", Some("1")), ("b", Some("1"))]));
        store.commit(2, &writes(&[("a", Some("2")), ("b", None), ("c", Some("2"))]));
        let past = store.at(1).unwrap();
        assert_eq!(past.get(b"a").unwrap(), "1");
        assert_eq!(past.scan(b"").len(), 2);
        assert_eq!(store.at(2).unwrap().get(b"a").unwrap(), "2");
        assert!(store.at(0).unwrap().scan(b"").is_empty());
    }

    #[test]
    fn a_dropped_layer_leaves_no_trace() {
        let mut store = Store::default();
        store.commit(1, &writes(&[("a", Some("1"))]));
        let mut overlay = Overlay::new(&store, Writes::new());
        overlay.open();
        overlay.set(b"a".to_vec(), None);
        assert_eq!(overlay.get(b"a"), None);
        assert!(overlay.scan(b"").is_empty());
        overlay.drop_layer();
        assert_eq!(overlay.get(b"a").unwrap(), "1");
        assert!(overlay.into_writes().is_empty());
    }
}
